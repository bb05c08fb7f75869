//! Lays one layer of configuration over another, key by key.

use super::{ConfigProblem, Sections};
use std::path::Path;
use toml::{Table, Value};

/// Where a service's configuration comes from.
#[derive(Debug, Clone, Copy)]
pub struct Layers {
    /// The commented defaults.
    pub defaults: &'static str,
    /// Prefix of the environment's overrides; `SECTION__KEY` follows it.
    pub env_prefix: &'static str,
}

impl Layers {
    /// Reads the defaults, then `file`, then `variables` (the process environment in a program).
    pub fn load(
        &self,
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Sections {
        let (mut table, mut problems) = self.base();
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => over(&mut table, &path.display().to_string(), &text, &mut problems),
                Err(source) => problems.push(ConfigProblem::Unreadable {
                    path: path.to_owned(),
                    source,
                }),
            }
        }
        environment(&mut table, self.env_prefix, variables, &mut problems);
        Sections::new(table, problems)
    }

    /// Reads a text over the defaults, without the environment.
    pub fn text(&self, text: &str) -> Sections {
        let (mut table, mut problems) = self.base();
        over(&mut table, "text", text, &mut problems);
        Sections::new(table, problems)
    }

    fn base(&self) -> (Table, Vec<ConfigProblem>) {
        let (mut table, mut problems) = (Table::new(), Vec::new());
        over(&mut table, "defaults", self.defaults, &mut problems);
        (table, problems)
    }
}

fn over(table: &mut Table, origin: &str, text: &str, problems: &mut Vec<ConfigProblem>) {
    match text.parse::<Table>() {
        Ok(layer) => lay(table, layer),
        Err(error) => problems.push(ConfigProblem::Syntax {
            origin: origin.to_owned(),
            message: error.message().to_owned(),
        }),
    }
}

fn lay(table: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

fn environment(
    table: &mut Table,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    problems: &mut Vec<ConfigProblem>,
) {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(prefix) else {
            continue;
        };
        let path = path.to_ascii_lowercase();
        let Some((section, key)) = path.split_once("__").filter(|(_, key)| !key.contains("__")) else {
            let message = format!("expected {prefix}SECTION__KEY");
            problems.push(ConfigProblem::Syntax {
                origin: name,
                message,
            });
            continue;
        };
        let entry = table
            .entry(section.to_owned())
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = entry {
            let value = typed(section.get(key), &text);
            section.insert(key.to_owned(), value);
        }
    }
}

/// Reads the text as the type of the value it replaces; what does not fit stays text and is refused with its section.
fn typed(below: Option<&Value>, text: &str) -> Value {
    let as_toml = || format!("value = {text}").parse::<Table>().ok()?.remove("value");
    match below {
        Some(Value::Integer(_) | Value::Boolean(_) | Value::Array(_)) => {
            as_toml().unwrap_or_else(|| Value::String(text.to_owned()))
        }
        _ => Value::String(text.to_owned()),
    }
}
