//! A strict look at a JSON document before it is read into types: no key twice in an object, no more than [`MAX_DEPTH`] levels.
//!
//! Two parsers that take different ones of two equal keys see two documents under one hash; so neither is taken.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeSet, fmt};

/// Levels of arrays and objects.
pub const MAX_DEPTH: usize = 16;
/// How much of a key an error repeats.
const SHOWN: usize = 64;

/// Why a document is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct JsonError {
    /// From 1.
    pub line: usize,
    /// From 1; 0 at the start of a line.
    pub column: usize,
    /// What was expected, what came.
    pub problem: String,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let problem = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        Self {
            line,
            column,
            problem,
        }
    }
}

/// Checks the whole document and gives the keys of its outermost object, in order.
///
/// # Errors
/// When it is no JSON, has a key twice in one object, or more than [`MAX_DEPTH`] levels.
pub fn top_level_keys(document: &[u8]) -> Result<Vec<String>, JsonError> {
    let mut keys = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(document);
    let walk = Walk {
        depth: 0,
        keys: Some(&mut keys),
    };
    walk.deserialize(&mut reader)?;
    reader.end()?;
    Ok(keys)
}

/// One value at some depth; `keys` collects those of the outermost object.
struct Walk<'a> {
    depth: usize,
    keys: Option<&'a mut Vec<String>>,
}

impl Walk<'_> {
    fn inside<E: Error>(&self) -> Result<usize, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!(
                "expected at most {MAX_DEPTH} levels, got more"
            )));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.inside()?;
        while items.next_element_seed(Walk { depth, keys: None })?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let depth = self.inside()?;
        let mut seen = BTreeSet::new();
        let mut order = self.keys;
        while let Some(key) = members.next_key::<String>()? {
            members.next_value_seed(Walk { depth, keys: None })?;
            if let Some(order) = &mut order {
                order.push(key.clone());
            }
            if let Some(key) = seen.replace(key) {
                let shown: String = key.chars().take(SHOWN).collect();
                return Err(A::Error::custom(format_args!(
                    "expected the key {shown:?} once, got it twice"
                )));
            }
        }
        Ok(())
    }
}
