//! What is wrong with a file: every problem at once, each with its place, what was expected, what came, and what to do. Text that
//! came from a variable is shown as it stands in the file, never with its value.

use std::fmt;
use thiserror::Error;

/// Problems told about at most; a file with more is told so.
pub const MAX_PROBLEMS: usize = 100;

/// A place in the file, both counted from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// Not YAML, or YAML this format has no use for.
    Syntax,
    /// Over a bound.
    Bound,
    /// A key Compose has and this runtime does not support.
    Unsupported,
    /// A key nobody knows here.
    Unknown,
    /// A key or an entry twice.
    Duplicate,
    /// A key that must be there.
    Missing,
    /// A value of the wrong shape or outside its range.
    Value,
    /// `${…}` that cannot be substituted.
    Variable,
    /// A name that leads nowhere, a cycle, a clash.
    Reference,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// Path of keys, such as `services.web.ports[0]`; empty for the whole file.
    pub key: String,
    /// Kind.
    pub kind: ProblemKind,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub actual: String,
    /// What to do; empty when `expected` says it.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: ", self.at.line, self.at.column)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        write!(out, "expected {}, got {}", self.expected, self.actual)?;
        if !self.advice.is_empty() {
            write!(out, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ComposeFileError {
    /// Over the bound, so not looked at.
    #[error("expected a compose file of at most {limit} bytes, got {actual}")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// Not text.
    #[error("expected UTF-8 text, got byte {byte:#04x} at offset {offset}")]
    NotText {
        /// Offset of the first byte that is not UTF-8.
        offset: usize,
        /// That byte.
        byte: u8,
    },
    /// Everything that is wrong, in the order of the file.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

impl ComposeFileError {
    /// The problems by place; empty when the file was not looked at.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems(problems) => problems,
            _ => &[],
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
