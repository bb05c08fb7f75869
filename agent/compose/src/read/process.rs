//! What a container runs: command, environment, files of variables; and the lists of `KEY=value` that labels, annotations and sysctls
//! share. Refuses a name twice and variable names no environment can hold.

use super::{cursor::Cursor, fields::Fields, mount::host_path, shell};
use crate::{
    error::ProblemKind,
    keys,
    model::{EnvFile, EnvFormat},
    names::shorten,
};
use std::collections::BTreeMap;

/// `command` or `entrypoint`: a list, or a line to split; nothing clears it... but only when written as `[]` or `""`.
pub(crate) fn command(cursor: &Cursor<'_>) -> Option<Vec<String>> {
    if cursor.is_null() {
        return None;
    }
    if cursor.is_text() {
        let line = cursor.text("a command")?;
        let words = shell::split(&line);
        if words.is_none() {
            cursor.wrong(
                "a command with its quotes closed",
                "write it as a list: [\"program\", \"argument\"]",
            );
        }
        return words;
    }
    texts(cursor, "an argument")
}

/// A list of texts.
pub(crate) fn texts(cursor: &Cursor<'_>, expected: &str) -> Option<Vec<String>> {
    let items = cursor.list()?;
    Some(items.iter().filter_map(|item| item.text(expected)).collect())
}

/// A key with its value, absent when none is written, and where it stands.
pub(crate) struct Pair<'r> {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) cursor: Cursor<'r>,
}

/// `KEY=value` entries, or a mapping. Separators may be more than one character; the first to stand in an entry counts.
pub(crate) fn pairs<'r>(cursor: &Cursor<'r>, separators: &[char]) -> Option<Vec<Pair<'r>>> {
    let mut pairs: Vec<Pair<'r>> = Vec::new();
    if cursor.is_map() {
        for (key, cursor) in cursor.entries()? {
            let value = if cursor.is_null() {
                None
            } else {
                Some(cursor.text("a value: text, a number, true or false")?)
            };
            pairs.push(Pair {
                key: key.to_owned(),
                value,
                cursor,
            });
        }
        return Some(pairs);
    }
    let mut seen = std::collections::BTreeSet::new();
    for cursor in cursor.list()? {
        let Some(entry) = cursor.text("KEY=value") else {
            continue;
        };
        let (key, value) = match entry.split_once(separators) {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (entry, None),
        };
        if !seen.insert(key.clone()) {
            let actual = format!("{} again", cursor.shown());
            cursor.report(ProblemKind::Duplicate, "each name once", actual, "remove one");
            continue;
        }
        pairs.push(Pair { key, value, cursor });
    }
    Some(pairs)
}

/// `labels` and `annotations`.
pub(crate) fn labels(cursor: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for pair in pairs(cursor, &['='])? {
        if pair.key.is_empty() || pair.key.len() > 255 || pair.key.contains(char::is_whitespace) {
            pair.cursor.wrong(
                "a name of 1–255 characters without blanks, with or without =value",
                "",
            );
        }
        labels.insert(pair.key, pair.value.unwrap_or_default());
    }
    Some(labels)
}

/// `environment`; an entry without a value takes the caller's, and is not set if there is none.
pub(crate) fn environment(cursor: &Cursor<'_>) -> Option<BTreeMap<String, Option<String>>> {
    let mut environment = BTreeMap::new();
    for pair in pairs(cursor, &['='])? {
        if !is_variable(&pair.key) {
            let expected = "a variable name of 1–255 characters without blanks or =";
            let actual = format!("`{}`", shorten(&pair.key));
            // The name may be made by a variable; only a mapping's key is sure to be the file's own text.
            let actual = if cursor.is_map() {
                actual
            } else {
                pair.cursor.shown()
            };
            pair.cursor.report(ProblemKind::Value, expected, actual, "");
            continue;
        }
        let value = pair.value.or_else(|| cursor.reader.variables.value(&pair.key));
        if value.as_ref().is_some_and(|value| value.contains('\0')) {
            pair.cursor.wrong("a value without a NUL character", "");
        }
        environment.insert(pair.key, value);
    }
    Some(environment)
}

fn is_variable(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
}

/// `env_file`: a path, a list of paths, or of mappings.
pub(crate) fn env_files(cursor: &Cursor<'_>) -> Option<Vec<EnvFile>> {
    let entries = if cursor.is_map() {
        vec![cursor.clone()]
    } else {
        cursor.list_or_text()?
    };
    Some(entries.iter().filter_map(env_file).collect())
}

fn env_file(cursor: &Cursor<'_>) -> Option<EnvFile> {
    let plain = |path| EnvFile {
        path,
        required: true,
        format: EnvFormat::Compose,
    };
    if !cursor.is_map() {
        return host_path(cursor).map(plain);
    }
    let fields = Fields::open(cursor.clone(), keys::ENV_FILE)?;
    let path = fields.require("path", "").and_then(|path| host_path(&path));
    let required = fields.flag("required").unwrap_or(true);
    let format = fields
        .take("format")
        .and_then(|format| format.choice(&[("raw", EnvFormat::Raw), ("compose", EnvFormat::Compose)]));
    fields.finish();
    Some(EnvFile {
        path: path?,
        required,
        format: format.unwrap_or(EnvFormat::Compose),
    })
}
