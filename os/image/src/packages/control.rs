//! Debian's control format: paragraphs of `Field: value`, as in Packages and Release files (Debian Policy, chapter 5), and the
//! grammar of relations (chapter 7). Lines that are neither a field nor its continuation are refused.

use std::collections::BTreeMap;

/// Longest index that is read, bytes.
pub const MAX_INDEX: usize = 256 << 20;

/// Text that is not of the control format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ControlError {
    /// A line of another shape.
    #[error("line {line}: expected `Field: value` or a continuation, got {got:?}")]
    Line {
        /// From 1.
        line: usize,
        /// The line, shortened.
        got: String,
    },
    /// A field that a paragraph must have.
    #[error("a paragraph ({paragraph}) has no {field}")]
    Missing {
        /// What is known of the paragraph.
        paragraph: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A relation of another shape.
    #[error("expected a relation such as `libc6 (>= 2.36)`, got {0:?}")]
    Relation(String),
}

/// One paragraph: fields by their name in lower case; a continuation is kept with its line break.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph(BTreeMap<String, String>);

impl Paragraph {
    /// A field's value, without the blanks around it.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(&field.to_ascii_lowercase()).map(String::as_str)
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// [`ControlError::Missing`].
    pub fn need(&self, field: &'static str) -> Result<&str, ControlError> {
        self.get(field).ok_or_else(|| ControlError::Missing {
            paragraph: self.get("Package").unwrap_or("unnamed").to_owned(),
            field,
        })
    }
}

/// Reads every paragraph.
///
/// # Errors
/// [`ControlError::Line`] with the first line of another shape.
pub fn paragraphs(text: &str) -> Result<Vec<Paragraph>, ControlError> {
    let mut all = Vec::new();
    let mut current = Paragraph::default();
    let mut field: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            if !current.0.is_empty() {
                all.push(std::mem::take(&mut current));
            }
            field = None;
            continue;
        }
        let refused = || ControlError::Line {
            line: number + 1,
            got: line.chars().take(80).collect(),
        };
        if line.starts_with([' ', '\t']) {
            let value = field
                .as_ref()
                .and_then(|name| current.0.get_mut(name))
                .ok_or_else(refused)?;
            value.push('\n');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(refused)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refused());
        }
        let name = name.to_ascii_lowercase();
        if current.0.insert(name.clone(), value.trim().to_owned()).is_some() {
            return Err(refused());
        }
        field = Some(name);
    }
    if !current.0.is_empty() {
        all.push(current);
    }
    Ok(all)
}

/// How a version must stand to the one that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<<`
    Before,
    /// `<=`
    AtMost,
    /// `=`
    Is,
    /// `>=`
    AtLeast,
    /// `>>`
    After,
}

/// One alternative of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Package, real or provided.
    pub name: String,
    /// Bound on its version.
    pub version: Option<(Comparison, String)>,
}

/// A `Depends` field: all of the groups, any alternative of each.
///
/// # Errors
/// [`ControlError::Relation`] with the alternative that is of another shape.
pub fn relations(field: &str) -> Result<Vec<Vec<Wanted>>, ControlError> {
    field
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(|one| alternative(one.trim())).collect())
        .collect()
}

fn alternative(text: &str) -> Result<Wanted, ControlError> {
    let refused = || ControlError::Relation(text.to_owned());
    let (name, bound) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')').ok_or_else(refused)?)),
    };
    let name = name.split(':').next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(refused());
    }
    let version = bound
        .map(|bound| {
            let (operator, version) = bound.trim().split_once(' ').ok_or_else(refused)?;
            let comparison = match operator {
                "<<" => Comparison::Before,
                "<=" => Comparison::AtMost,
                "=" => Comparison::Is,
                ">=" => Comparison::AtLeast,
                ">>" => Comparison::After,
                _ => return Err(refused()),
            };
            Ok((comparison, version.trim().to_owned()))
        })
        .transpose()?;
    Ok(Wanted {
        name: name.to_owned(),
        version,
    })
}
