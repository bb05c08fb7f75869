//! A container's variables: the image's, under those of env files, under those of the service.

use std::collections::BTreeMap;
use std::path::Path;

use compose_file::{Service, env_file};

use crate::error::RuntimeError;
use crate::files;

const MAX_ENV_FILE: u64 = env_file::MAX_ENV_FILE as u64;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn resolve(
    service: &Service,
    image: &BTreeMap<String, String>,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, RuntimeError> {
    let mut all = image.clone();
    all.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    for file in &service.env_file {
        let path = Path::new(&file.path);
        let bytes = match files::read_of_project(folder, path, MAX_ENV_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !file.required => continue,
            Err(error) => return Err(RuntimeError::io(path, "reading variables")(error)),
        };
        let variables = |name: &str| environment.get(name).cloned();
        let entries =
            env_file::parse(&bytes, file.format, &variables).map_err(|error| RuntimeError::Malformed {
                what: path.display().to_string(),
                expected: "an env file",
                got: error.to_string(),
            })?;
        all.extend(
            entries
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    }
    for (name, value) in &service.environment {
        match value {
            Some(value) => all.insert(name.clone(), value.clone()),
            None => all.remove(name),
        };
    }
    Ok(all)
}
