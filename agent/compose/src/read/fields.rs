//! A mapping with keys of this format. What no reader took is reported: unsupported with what to do instead, or unknown.

use super::cursor::Cursor;
use crate::{
    error::{Problem, ProblemKind},
    keys::{Section, Support},
    names::shorten,
    tree::{Entry, Kind},
};
use std::{cell::RefCell, collections::BTreeSet};

pub(crate) struct Fields<'r> {
    pub(crate) cursor: Cursor<'r>,
    section: &'static Section,
    entries: &'r [Entry],
    taken: RefCell<BTreeSet<&'static str>>,
}

impl<'r> Fields<'r> {
    /// The keys of the mapping at `cursor`; a problem if it is none.
    pub(crate) fn open(cursor: Cursor<'r>, section: &'static Section) -> Option<Self> {
        let Kind::Map(entries) = &*cursor.node.kind else {
            cursor.wrong("a mapping", "");
            return None;
        };
        Some(Self {
            cursor,
            section,
            entries,
            taken: RefCell::default(),
        })
    }

    /// The value of `key`, if it is written.
    pub(crate) fn take(&self, key: &'static str) -> Option<Cursor<'r>> {
        debug_assert_eq!(self.section.support(key), Some(Support::Yes), "{key}");
        self.taken.borrow_mut().insert(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.cursor.below(key, &entry.value))
    }

    /// The value of a key that says what a container may do to the guest: written out, since the environment is not measured.
    pub(crate) fn take_measured(&self, key: &'static str) -> Option<Cursor<'r>> {
        let value = self.take(key)?;
        // G16: who may change the environment must not thereby change privileges or mounts past the contract.
        if value.is_from_environment() {
            value.report(
                ProblemKind::Variable,
                "a value written out",
                "a variable that the environment sets".to_owned(),
                "write the value itself: only what is in the file is measured",
            );
            return None;
        }
        Some(value)
    }

    /// The value of a key that must be written.
    pub(crate) fn require(&self, key: &'static str, advice: &str) -> Option<Cursor<'r>> {
        let value = self.take(key);
        if value.is_none() {
            self.cursor.report(
                ProblemKind::Missing,
                &format!("the key `{key}`"),
                "none".to_owned(),
                advice,
            );
        }
        value
    }

    pub(crate) fn flag(&self, key: &'static str) -> Option<bool> {
        self.take(key)?.flag()
    }

    /// Reports every key nobody took.
    pub(crate) fn finish(self) {
        let taken = self.taken.borrow();
        let left = self
            .entries
            .iter()
            .filter(|entry| !taken.contains(entry.key.as_str()));
        for entry in left.filter(|entry| !entry.key.starts_with("x-")) {
            let shown = format!("`{}`", shorten(&entry.key));
            let (kind, expected, advice) = match self.section.support(&entry.key) {
                Some(Support::No(advice)) => (
                    ProblemKind::Unsupported,
                    "a supported key".to_owned(),
                    advice.to_owned(),
                ),
                _ => {
                    let advice = match self.section.near(&entry.key) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "correct or remove it; names beginning with x- are yours".to_owned(),
                    };
                    let expected = format!("a key of {}", self.section.title);
                    (ProblemKind::Unknown, expected, advice)
                }
            };
            self.cursor.reader.report(Problem {
                at: entry.at,
                key: self.cursor.below(&entry.key, &entry.value).path,
                kind,
                expected,
                actual: shown,
                advice,
            });
        }
    }
}
