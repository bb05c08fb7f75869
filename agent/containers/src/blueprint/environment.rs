//! A container's variables: the image's, under those of env files, under those of the service.

use std::collections::BTreeMap;
use std::path::Path;

use compose_file::{EnvFormat, Service};

use crate::error::RuntimeError;
use crate::files;

const MAX_ENV_FILE: u64 = 1024 * 1024;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn resolve(
    service: &Service,
    image: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<BTreeMap<String, String>, RuntimeError> {
    let mut all = image.clone();
    all.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    for file in &service.env_file {
        let path = folder.join(&file.path);
        let bytes = match files::read_bounded(&path, MAX_ENV_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !file.required => continue,
            Err(error) => return Err(RuntimeError::io(path, "reading variables")(error)),
        };
        let text = String::from_utf8(bytes).map_err(|_| RuntimeError::Malformed {
            what: path.display().to_string(),
            expected: "UTF-8",
            got: "other bytes".to_owned(),
        })?;
        read_lines(&text, file.format, &mut all);
    }
    for (name, value) in &service.environment {
        match value {
            Some(value) => all.insert(name.clone(), value.clone()),
            None => all.remove(name),
        };
    }
    Ok(all)
}

fn read_lines(text: &str, format: EnvFormat, all: &mut BTreeMap<String, String>) {
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let value = match format {
            EnvFormat::Raw => value,
            EnvFormat::Compose => unquote(value.trim()),
        };
        all.insert(name.trim().to_owned(), value.to_owned());
    }
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}
