//! `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`, `${NAME?message}`, `${NAME:+other}`,
//! `${NAME+other}`, `$$`. Refuses a lone `$`, an open brace, and results over the bound.

use std::{cell::Cell, cell::RefCell, collections::BTreeSet};

/// Bytes substitution may write for one file, all values together.
pub const MAX_SUBSTITUTED: usize = 4 << 20;
const MAX_NESTING: usize = 8;

/// Looks variables up and remembers which had no value.
pub(crate) struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: RefCell<BTreeSet<String>>,
    left: Cell<usize>,
    given: Cell<bool>,
}

/// Why text could not be substituted; says nothing about any value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VariableError {
    Malformed,
    Required { name: String, message: String },
    TooLarge,
}

impl<'a> Variables<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            unset: RefCell::default(),
            left: Cell::new(MAX_SUBSTITUTED),
            given: Cell::new(false),
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name);
        self.given.set(self.given.get() || value.is_some());
        value
    }

    /// Whether a variable that has a value has a part in what `text` becomes.
    pub(crate) fn decides(&self, text: &str) -> bool {
        self.given.set(false);
        // What cannot be substituted is reported by who reads it.
        let _ = self.expand(text, 0);
        self.given.get()
    }

    pub(crate) fn into_unset(self) -> BTreeSet<String> {
        self.unset.into_inner()
    }

    /// `text` with its variables replaced.
    pub(crate) fn substitute(&self, text: &str) -> Result<String, VariableError> {
        let result = self.expand(text, 0)?;
        let left = self.left.get().checked_sub(result.len());
        self.left.set(left.ok_or(VariableError::TooLarge)?);
        Ok(result)
    }

    fn expand(&self, text: &str, nesting: usize) -> Result<String, VariableError> {
        if nesting > MAX_NESTING {
            return Err(VariableError::Malformed);
        }
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            rest = match after.chars().next() {
                Some('$') => {
                    result.push('$');
                    after.strip_prefix('$').unwrap_or(after)
                }
                Some('{') => {
                    let (inside, after) = braced(after).ok_or(VariableError::Malformed)?;
                    result.push_str(&self.braces(inside, nesting)?);
                    after
                }
                _ => {
                    let (name, after) = split_name(after).ok_or(VariableError::Malformed)?;
                    result.push_str(&self.plain(name));
                    after
                }
            };
            if result.len() > self.left.get() {
                return Err(VariableError::TooLarge);
            }
        }
        result.push_str(rest);
        Ok(result)
    }

    fn plain(&self, name: &str) -> String {
        self.value(name).unwrap_or_else(|| {
            self.unset.borrow_mut().insert(name.to_owned());
            String::new()
        })
    }

    fn braces(&self, inside: &str, nesting: usize) -> Result<String, VariableError> {
        let (name, rest) = split_name(inside).ok_or(VariableError::Malformed)?;
        if rest.is_empty() {
            return Ok(self.plain(name));
        }
        let (rest, empty_counts) = match rest.strip_prefix(':') {
            Some(rest) => (rest, false),
            None => (rest, true),
        };
        let value = self.value(name).filter(|value| empty_counts || !value.is_empty());
        let mut letters = rest.chars();
        let operator = letters.next();
        let argument = letters.as_str();
        match (operator, value) {
            (Some('-' | '?'), Some(value)) => Ok(value),
            (Some('-'), None) | (Some('+'), Some(_)) => self.expand(argument, nesting + 1),
            (Some('+'), None) => Ok(String::new()),
            (Some('?'), None) => Err(VariableError::Required {
                name: name.to_owned(),
                message: argument.to_owned(),
            }),
            _ => Err(VariableError::Malformed),
        }
    }
}

/// A name at the beginning and what follows.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    sound.then_some((name, rest))
}

/// The inside of the braces `text` begins with and what follows them.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut dollar = false;
    for (offset, c) in text.char_indices() {
        match c {
            '{' if dollar || offset == 0 => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(1..offset)?, text.get(offset + 1..)?));
        }
        dollar = c == '$' && !dollar;
    }
    None
}
