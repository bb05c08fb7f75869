//! Files of variables (`env_file`), as bytes: `NAME=value` lines, quotes, comments, `export`, `${…}`. Refuses what it does not
//! understand with its line; says nothing about any value.

use crate::{
    interpolate::{MAX_SUBSTITUTED, VariableError, Variables},
    model::EnvFormat,
    names::shorten,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// Bytes of an env file.
pub const MAX_ENV_FILE: usize = 1 << 20;
/// Variables of an env file.
pub const MAX_ENV_ENTRIES: usize = 4096;

/// Why an env file was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvFileError {
    /// Over the bound.
    #[error("expected an env file of at most {limit} bytes, got {actual}")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// Not text.
    #[error("expected UTF-8 text without NUL characters, got byte {byte:#04x} at offset {offset}")]
    NotText {
        /// Offset of the first byte that is not.
        offset: usize,
        /// That byte.
        byte: u8,
    },
    /// Over the bound of entries.
    #[error("line {line}: expected at most {limit} variables, got more")]
    TooMany {
        /// Line of the first one over.
        line: usize,
        /// Variables allowed.
        limit: usize,
    },
    /// A line that is none.
    #[error("line {line}: expected {expected}; the line is not shown, it may hold a secret")]
    Line {
        /// Line, from 1.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// `${NAME:?message}` without a value.
    #[error("line {line}: expected a value for the variable {name}, got none: {message}")]
    Required {
        /// Line, from 1.
        line: usize,
        /// The variable.
        name: String,
        /// What the file says about it.
        message: String,
    },
}

/// Variables of an env file in their order, `None` for a name without `=` that `variables` does not know. A name written twice is there
/// twice; the last one counts.
///
/// # Errors
/// The first thing that is not understood.
pub fn parse(
    bytes: &[u8],
    format: EnvFormat,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, Option<String>)>, EnvFileError> {
    if bytes.len() > MAX_ENV_FILE {
        return Err(EnvFileError::TooLarge {
            limit: MAX_ENV_FILE,
            actual: bytes.len(),
        });
    }
    let not_text = |offset: usize| EnvFileError::NotText {
        offset,
        byte: bytes.get(offset).copied().unwrap_or(0),
    };
    let text = std::str::from_utf8(bytes).map_err(|error| not_text(error.valid_up_to()))?;
    if let Some(offset) = text.find('\0') {
        return Err(not_text(offset));
    }
    let mut reader = EnvReader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        entries: Vec::new(),
        known: BTreeMap::new(),
        written: 0,
    };
    while !reader.rest.is_empty() {
        reader.entry(format, variables)?;
    }
    Ok(reader.entries)
}

struct EnvReader<'t> {
    rest: &'t str,
    line: usize,
    entries: Vec<(String, Option<String>)>,
    known: BTreeMap<String, String>,
    written: usize,
}

const NAME: &str = "NAME=value, a comment beginning with #, or an empty line";

impl<'t> EnvReader<'t> {
    fn fail(&self, expected: &'static str) -> EnvFileError {
        EnvFileError::Line {
            line: self.line,
            expected,
        }
    }

    /// The rest of this line; the reader stands behind it.
    fn take_line(&mut self) -> &'t str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn entry(
        &mut self,
        format: EnvFormat,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), EnvFileError> {
        let before = self.rest;
        let line = self.take_line();
        let trimmed = line.trim_start_matches([' ', '\t']);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.line += 1;
            return Ok(());
        }
        if self.entries.len() >= MAX_ENV_ENTRIES {
            return Err(EnvFileError::TooMany {
                line: self.line,
                limit: MAX_ENV_ENTRIES,
            });
        }
        let declared = match format {
            EnvFormat::Compose => trimmed
                .strip_prefix("export")
                .filter(|rest| rest.starts_with([' ', '\t']))
                .map_or(trimmed, |rest| rest.trim_start_matches([' ', '\t'])),
            EnvFormat::Raw => trimmed,
        };
        let end = declared
            .find(|c: char| c == '=' || c.is_whitespace() || c == '#')
            .unwrap_or(declared.len());
        let (name, after) = declared.split_at_checked(end).ok_or_else(|| self.fail(NAME))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !(1..=255).contains(&name.len())
            || !name.chars().all(is_name)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(self.fail(NAME));
        }
        let name = name.to_owned();
        let blanks = after.trim_start_matches([' ', '\t']);
        let Some(value) = blanks.strip_prefix('=') else {
            if !blanks.is_empty() && !blanks.starts_with('#') {
                return Err(self.fail(NAME));
            }
            self.line += 1;
            let value = variables(&name);
            self.entries.push((name, value));
            return Ok(());
        };
        let value = match format {
            EnvFormat::Raw => {
                self.line += 1;
                value.to_owned()
            }
            EnvFormat::Compose => {
                // A quoted value may go over several lines, so it is read from the text, not from the line.
                let offset = line.len().saturating_sub(value.len());
                self.rest = before.get(offset..).ok_or_else(|| self.fail(NAME))?;
                self.value(variables)?
            }
        };
        // Each value may stand for the ones before it several times over.
        self.written = self.written.saturating_add(value.len());
        if self.written > MAX_SUBSTITUTED {
            return Err(self.fail("values of at most 4 MiB in all after substitution"));
        }
        self.known.insert(name.clone(), value.clone());
        self.entries.push((name, Some(value)));
        Ok(())
    }

    fn value(&mut self, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, EnvFileError> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            let line = self.take_line();
            let comment = line
                .char_indices()
                .zip(std::iter::once(' ').chain(line.chars()))
                .find(|((_, c), before)| *c == '#' && before.is_whitespace());
            let end = comment.map_or(line.len(), |((offset, _), _)| offset);
            let value = self.substitute(line.get(..end).unwrap_or(line).trim_end(), variables)?;
            self.line += 1;
            return Ok(value);
        };
        let raw = self.quoted(quote)?;
        // Escapes first: a variable's value is never read as escapes.
        let value = match quote {
            '"' => self.substitute(&unescape(&raw), variables)?,
            _ => raw.clone(),
        };
        let tail = self.take_line().trim_start_matches([' ', '\t']).to_owned();
        self.line += raw.matches('\n').count();
        if !tail.is_empty() && !tail.starts_with('#') {
            return Err(self.fail("nothing after the closing quote"));
        }
        self.line += 1;
        Ok(value)
    }

    /// The text between the quotes, escapes as they stand; the reader stands behind it.
    fn quoted(&mut self, quote: char) -> Result<String, EnvFileError> {
        let inside = self.rest.strip_prefix(quote).unwrap_or(self.rest);
        let mut escaped = false;
        for (offset, c) in inside.char_indices() {
            if c == quote && !escaped {
                let value = inside.get(..offset).unwrap_or_default().to_owned();
                self.rest = inside.get(offset + 1..).unwrap_or_default();
                return Ok(value);
            }
            escaped = quote == '"' && c == '\\' && !escaped;
        }
        Err(self.fail("a closing quote"))
    }

    fn substitute(
        &self,
        text: &str,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, EnvFileError> {
        let lookup = |name: &str| variables(name).or_else(|| self.known.get(name).cloned());
        Variables::new(&lookup)
            .substitute(text)
            .map_err(|error| match error {
                VariableError::Malformed => self.fail("$NAME or ${NAME}, and $$ for a dollar sign"),
                VariableError::TooLarge => self.fail("a value of at most 4 MiB after substitution"),
                VariableError::Required { name, message } => EnvFileError::Required {
                    line: self.line,
                    name: shorten(&name),
                    message: shorten(&message),
                },
            })
    }
}

/// `\n`, `\r`, `\t`, `\"`, `\\` replaced, `\$` as substitution wants it; other backslashes stay.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some(c @ ('"' | '\\')) => plain.push(c),
            Some('$') => plain.push_str("$$"),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}
