//! docker-compose.yml to a checked project. No I/O but what the caller hands in.
//!
//! What is not understood is refused with its line and what to do instead, never ignored: the file's hash is what an app's owner
//! allowed, so every line of it must mean what it says.
#![forbid(unsafe_code)]

pub mod env_file;
mod error;
mod image;
mod interpolate;
mod keys;
mod model;
mod names;
mod read;
mod tree;
mod units;

pub use error::{At, ComposeFileError, MAX_PROBLEMS, Problem, ProblemKind};
pub use image::{ImageDigest, ImageRef, MAX_REFERENCE};
pub use interpolate::MAX_SUBSTITUTED;
pub use keys::{SECTIONS, Section, Support};
pub use model::*;
pub use names::{
    ConfigName, ContainerName, HostName, MAX_NAME, NameError, NetworkName, ProfileName, ProjectName,
    SecretName, ServiceName, VolumeName,
};
pub use read::{
    MAX_CONTAINERS, MAX_DECLARED, MAX_ENTRIES, MAX_NETWORKS, MAX_PORTS, MAX_REPLICAS, MAX_SERVICES,
};
pub use tree::{MAX_DEPTH, MAX_KEY, MAX_NODES};
pub use units::{ByteSize, FileMode, MAX_DURATION, MilliCpus, duration};

/// Bytes of a file.
pub const MAX_FILE: usize = 1 << 20;

/// Reads a compose file. `variables` answers `${…}` and environment entries without a value; nothing else is asked of outside.
///
/// # Errors
/// Everything that is wrong, each with line, column, key and what to do; nothing when the file is too large or not text.
pub fn parse(yaml: &[u8], variables: &dyn Fn(&str) -> Option<String>) -> Result<Project, ComposeFileError> {
    if yaml.len() > MAX_FILE {
        return Err(ComposeFileError::TooLarge {
            limit: MAX_FILE,
            actual: yaml.len(),
        });
    }
    let text = std::str::from_utf8(yaml).map_err(|error| ComposeFileError::NotText {
        offset: error.valid_up_to(),
        byte: yaml.get(error.valid_up_to()).copied().unwrap_or(0),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, problems) = tree::load(text).map_err(refused)?;
    let reader = read::Reader::new(variables, problems);
    let project = read::project(read::Cursor::root(&reader, &root));
    let (problems, variables) = reader.finish();
    match project {
        Some(mut project) if problems.is_empty() => {
            project.unset_variables = variables.into_unset();
            Ok(project)
        }
        _ => Err(refused(problems)),
    }
}

fn refused(mut problems: Vec<Problem>) -> ComposeFileError {
    problems.sort_by_key(|problem| problem.at);
    // A mapping used through an alias is read once for each use; its problem is told once.
    problems.dedup_by(|a, b| a.at == b.at && a.expected == b.expected && a.actual == b.actual);
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if let (1.., Some(last)) = (more, problems.last().cloned()) {
        problems.push(Problem {
            key: String::new(),
            kind: ProblemKind::Bound,
            expected: format!("at most {MAX_PROBLEMS} problems"),
            actual: format!("{more} more"),
            advice: "correct these first".to_owned(),
            ..last
        });
    }
    ComposeFileError::Problems(problems)
}
