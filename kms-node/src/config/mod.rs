//! Configuration: the commented defaults, a file over them, the environment over both.
//!
//! Refuses unknown sections and keys, and every value that would start a node that answers to nothing; all problems are
//! told at once, before a port is opened.

mod check;
mod merge;
mod sections;

pub use sections::{
    ChainConfig, CollateralConfig, Config, DatabaseConfig, KeysConfig, LimitsConfig, LogConfig, LogFormat,
    Seal, ServerConfig, TdConfig,
};

use std::path::{Path, PathBuf};

/// The commented defaults.
pub const DEFAULT: &str = include_str!("default.toml");
/// Prefix of the environment's overrides.
pub const ENV_PREFIX: &str = "KEDGE_KMS__";

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// File or variable.
        origin: String,
        /// What the parser says.
        message: String,
    },
    /// A section that cannot be read: unknown key, wrong type, missing value.
    #[error("[{section}] {message}")]
    Section {
        /// Name of the section.
        section: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value that is not acceptable.
    #[error("{key}: expected {expected}, got {actual}")]
    Value {
        /// `section.key`.
        key: &'static str,
        /// What is acceptable.
        expected: &'static str,
        /// What is there.
        actual: String,
    },
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {} problem(s)\n{}", .0.len(), lines(.0))]
pub struct ConfigError(pub Vec<ConfigProblem>);

fn lines(problems: &[ConfigProblem]) -> String {
    problems.iter().map(|problem| format!("  {problem}\n")).collect()
}

impl Config {
    /// Reads the defaults, then `file`, then `variables` (the process environment in the program).
    ///
    /// # Errors
    /// With every problem found.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (table, problems) = layers(file, variables);
        finish(table, problems, |_| true)
    }

    /// As [`Config::load`], but without an endpoint: `bootstrap` seals the root for the chain and the contract, and asks
    /// neither.
    ///
    /// # Errors
    /// With every problem found.
    pub fn load_for_bootstrap(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (table, problems) = layers(file, variables);
        finish(
            table,
            problems,
            |problem| !matches!(problem, ConfigProblem::Value { key, .. } if *key == ENDPOINT),
        )
    }

    /// Reads a text over the defaults, without the environment.
    ///
    /// # Errors
    /// With every problem found.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut table = merge::defaults(&mut problems);
        merge::file(&mut table, "text", text, &mut problems);
        finish(table, problems, |_| true)
    }
}

/// What `bootstrap` can do without.
const ENDPOINT: &str = "chain.http";

fn layers(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> (toml::Table, Vec<ConfigProblem>) {
    let mut problems = Vec::new();
    let mut table = merge::defaults(&mut problems);
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            Ok(text) => merge::file(&mut table, &path.display().to_string(), &text, &mut problems),
            Err(source) => problems.push(ConfigProblem::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }
    merge::environment(&mut table, variables, &mut problems);
    (table, problems)
}

fn finish(
    table: toml::Table,
    mut problems: Vec<ConfigProblem>,
    counts: impl Fn(&ConfigProblem) -> bool,
) -> Result<Config, ConfigError> {
    let config = sections::read(table, &mut problems);
    if let Some(Err(ConfigError(more))) = config.as_ref().map(Config::check) {
        problems.extend(more.into_iter().filter(counts));
    }
    config
        .filter(|_| problems.is_empty())
        .ok_or(ConfigError(problems))
}
