//! One place of the tree with the path to it: typed values out, problems in. A problem shows the text of the file, not what a variable
//! made of it.

use crate::{
    error::{At, Problem, ProblemKind},
    interpolate::{VariableError, Variables},
    names::{NameError, shorten},
    tree::{Kind, Node},
};
use std::{cell::RefCell, ops::RangeInclusive, str::FromStr};

/// Entries of one list or mapping.
pub const MAX_ENTRIES: usize = 1024;

/// What one file's reading shares.
pub(crate) struct Reader<'a> {
    pub(crate) variables: Variables<'a>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>, problems: Vec<Problem>) -> Self {
        Self {
            variables: Variables::new(lookup),
            problems: RefCell::new(problems),
        }
    }

    pub(crate) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn finish(self) -> (Vec<Problem>, Variables<'a>) {
        (self.problems.into_inner(), self.variables)
    }
}

#[derive(Clone)]
pub(crate) struct Cursor<'r> {
    pub(crate) reader: &'r Reader<'r>,
    pub(crate) node: &'r Node,
    pub(crate) path: String,
}

impl<'r> Cursor<'r> {
    /// The whole file.
    pub(crate) fn root(reader: &'r Reader<'r>, node: &'r Node) -> Self {
        Self {
            reader,
            node,
            path: String::new(),
        }
    }

    pub(crate) fn at(&self) -> At {
        self.node.at
    }

    /// The same place one step down.
    pub(crate) fn below(&self, key: &str, node: &'r Node) -> Self {
        let key = shorten(key);
        let path = if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        };
        Self {
            reader: self.reader,
            node,
            path,
        }
    }

    pub(crate) fn report(&self, kind: ProblemKind, expected: &str, actual: String, advice: &str) {
        self.reader.report(Problem {
            at: self.at(),
            key: self.path.clone(),
            kind,
            expected: expected.to_owned(),
            actual,
            advice: advice.to_owned(),
        });
    }

    /// What stands here, for a message.
    pub(crate) fn shown(&self) -> String {
        match &*self.node.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Text { text, .. } => format!("`{}`", shorten(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    /// What names this entry in the file: its text in a list, its key in a mapping.
    pub(crate) fn label(&self) -> String {
        match self.path.rsplit('.').next() {
            Some(key) if !self.is_text() => format!("`{key}`"),
            _ => self.shown(),
        }
    }

    /// A value of the wrong shape or outside its range.
    pub(crate) fn wrong(&self, expected: &str, advice: &str) {
        self.report(ProblemKind::Value, expected, self.shown(), advice);
    }

    /// A name that leads nowhere, or two things in each other's way.
    pub(crate) fn clash(&self, expected: &str, advice: &str) {
        self.report(ProblemKind::Reference, expected, self.shown(), advice);
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(*self.node.kind, Kind::Null)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(*self.node.kind, Kind::Text { .. })
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(*self.node.kind, Kind::Map(_))
    }

    /// Text with its variables replaced; problems are told about here.
    pub(crate) fn text(&self, expected: &str) -> Option<String> {
        let Kind::Text { text, .. } = &*self.node.kind else {
            self.wrong(expected, "");
            return None;
        };
        let error = match self.reader.variables.substitute(text) {
            Ok(value) if value.contains('\0') => {
                self.wrong("text without a NUL character", "");
                return None;
            }
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        match error {
            VariableError::Malformed => self.report(
                ProblemKind::Variable,
                "$NAME, ${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+other}",
                self.shown(),
                "write $$ for a dollar sign",
            ),
            VariableError::TooLarge => self.report(
                ProblemKind::Bound,
                "values of at most 4 MiB in all after substitution",
                self.shown(),
                "",
            ),
            VariableError::Required { name, message } => self.report(
                ProblemKind::Variable,
                &format!("a value for the variable {}", shorten(&name)),
                "none".to_owned(),
                &shorten(&message),
            ),
        }
        None
    }

    /// Whether a variable that has a value decides about something in here.
    pub(crate) fn is_from_environment(&self) -> bool {
        fn of(node: &Node, variables: &Variables<'_>) -> bool {
            match &*node.kind {
                Kind::Null => false,
                Kind::Text { text, .. } => variables.decides(text),
                Kind::List(items) => items.iter().any(|item| of(item, variables)),
                Kind::Map(entries) => entries.iter().any(|entry| of(&entry.value, variables)),
            }
        }
        of(self.node, &self.reader.variables)
    }

    /// Text that is not empty.
    pub(crate) fn words(&self, expected: &str) -> Option<String> {
        let text = self.text(expected)?;
        if text.is_empty() {
            self.wrong(expected, "");
            return None;
        }
        Some(text)
    }

    /// Text of a type that knows what it expects.
    pub(crate) fn parse<T: FromStr<Err = NameError>>(&self) -> Option<T> {
        self.convert(str::parse)
    }

    pub(crate) fn convert<T>(&self, read: impl Fn(&str) -> Result<T, NameError>) -> Option<T> {
        let Kind::Text { .. } = &*self.node.kind else {
            // An empty text is never right here, so its error says what is.
            match read("") {
                Err(error) => self.wrong(error.expected, ""),
                Ok(_) => self.wrong("text", ""),
            }
            return None;
        };
        let value = read(&self.text("text")?);
        value.map_err(|error| self.wrong(error.expected, "")).ok()
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let expected = "true or false";
        match self.text(expected)?.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => {
                self.wrong(expected, "");
                None
            }
        }
    }

    pub(crate) fn number(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let text = self.text(&expected)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(number) if digits && range.contains(&number) => Some(number),
            _ => {
                self.wrong(&expected, "");
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = names.join(", ");
        let text = self.text(&expected)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            self.wrong(&expected, "");
        }
        found.map(|(_, value)| *value)
    }

    fn bounded<T>(&self, entries: &[T]) -> bool {
        if entries.len() > MAX_ENTRIES {
            let expected = format!("at most {MAX_ENTRIES} entries");
            self.report(ProblemKind::Bound, &expected, entries.len().to_string(), "");
        }
        entries.len() <= MAX_ENTRIES
    }

    pub(crate) fn list(&self) -> Option<Vec<Self>> {
        let Kind::List(items) = &*self.node.kind else {
            self.wrong("a list", "");
            return None;
        };
        let cursors = items.iter().enumerate().map(|(index, node)| Self {
            reader: self.reader,
            node,
            path: format!("{}[{index}]", self.path),
        });
        self.bounded(items).then(|| cursors.collect())
    }

    /// A list, or one text that stands for a list of one.
    pub(crate) fn list_or_text(&self) -> Option<Vec<Self>> {
        if self.is_text() {
            return Some(vec![self.clone()]);
        }
        if !matches!(*self.node.kind, Kind::List(_)) {
            self.wrong("a list, or one text", "");
            return None;
        }
        self.list()
    }

    /// A mapping whose keys are names of the author's choice.
    pub(crate) fn entries(&self) -> Option<Vec<(&'r str, Self)>> {
        let Kind::Map(entries) = &*self.node.kind else {
            self.wrong("a mapping", "");
            return None;
        };
        let cursors = entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.below(&entry.key, &entry.value)));
        self.bounded(entries).then(|| cursors.collect())
    }

    /// As `entries`, with each key checked. The problem of a key stands at the key.
    pub(crate) fn named<T: FromStr<Err = NameError>>(&self) -> Option<Vec<(T, Self)>> {
        let Kind::Map(entries) = &*self.node.kind else {
            self.wrong("a mapping", "");
            return None;
        };
        let name = |entry: &'r crate::tree::Entry| match entry.key.parse::<T>() {
            Ok(name) => Some((name, self.below(&entry.key, &entry.value))),
            Err(error) => {
                self.reader.report(Problem {
                    at: entry.at,
                    key: self.path.clone(),
                    kind: ProblemKind::Value,
                    expected: error.expected.to_owned(),
                    actual: format!("`{}`", shorten(&entry.key)),
                    advice: String::new(),
                });
                None
            }
        };
        self.bounded(entries)
            .then(|| entries.iter().filter_map(name).collect())
    }
}
