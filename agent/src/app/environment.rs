//! The decrypted environment that setup left: already filtered by the measured list of allowed names. Refuses a file that is
//! not of its form; says nothing of its values.

use super::AppError;
use app_manifest::{EnvName, EnvValue, Environment, MAX_PLAINTEXT};
use guest_files::{FileError, read_bounded};
use serde::Deserialize;
use std::{io, path::Path};
use zeroize::Zeroize;

/// JSON escapes make the text at most this much longer.
const ESCAPES: usize = 6;

#[derive(Deserialize)]
struct Text {
    env: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    key: EnvName,
    value: String,
}

impl Drop for Variable {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// Reads the environment; an app without one has an empty one.
///
/// # Errors
/// When the file cannot be read or is of another form.
pub fn read_environment(path: &Path) -> Result<Environment, AppError> {
    let text = match read_bounded(path, MAX_PLAINTEXT.saturating_mul(ESCAPES)) {
        Ok(text) => text,
        Err(FileError::Missing { .. }) => return Ok(Environment::new()),
        Err(error) => {
            return Err(AppError::io(path, "read the environment")(io::Error::other(
                error,
            )));
        }
    };
    let malformed = || AppError::Document {
        what: "environment",
        reason: format!(
            "{}: expected {{\"env\":[{{\"key\",\"value\"}}]}}, got another text",
            path.display()
        ),
    };
    // The parser's message could repeat a part of a value.
    let mut text: Text = serde_json::from_slice(&text).map_err(|_| malformed())?;
    let mut environment = Environment::new();
    for variable in &mut text.env {
        let value = EnvValue::new(std::mem::take(&mut variable.value)).map_err(|_| malformed())?;
        environment
            .set(variable.key.clone(), value)
            .map_err(|_| malformed())?;
    }
    Ok(environment)
}
