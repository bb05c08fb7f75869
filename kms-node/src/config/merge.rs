//! Lays one layer of configuration over another, key by key.

use super::{ConfigProblem, DEFAULT, ENV_PREFIX};
use toml::{Table, Value};

pub(super) fn defaults(problems: &mut Vec<ConfigProblem>) -> Table {
    let mut table = Table::new();
    file(&mut table, "defaults", DEFAULT, problems);
    table
}

pub(super) fn file(table: &mut Table, origin: &str, text: &str, problems: &mut Vec<ConfigProblem>) {
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

pub(super) fn environment(
    table: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
    problems: &mut Vec<ConfigProblem>,
) {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let path = path.to_ascii_lowercase();
        let Some((section, key)) = path.split_once("__").filter(|(_, key)| !key.contains("__")) else {
            let message = format!("expected {ENV_PREFIX}SECTION__KEY");
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
