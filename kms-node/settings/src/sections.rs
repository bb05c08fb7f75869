//! Takes the layered table apart, section by section; what nobody takes is refused.

use super::{ConfigError, ConfigProblem};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// A layered table and what was wrong with its layers.
#[derive(Debug)]
pub struct Sections {
    table: Table,
    problems: Vec<ConfigProblem>,
}

impl Sections {
    pub(crate) const fn new(table: Table, problems: Vec<ConfigProblem>) -> Self {
        Self { table, problems }
    }

    /// Takes one section; what is wrong with it is kept for the end.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self
            .table
            .remove(name)
            .unwrap_or_else(|| Value::Table(Table::new()));
        value
            .try_into()
            .map_err(|error: toml::de::Error| {
                self.problems.push(ConfigProblem::Section {
                    section: name.to_owned(),
                    message: error.message().to_owned(),
                });
            })
            .ok()
    }

    /// Ends with the configuration `read` makes of its sections, when `check` refuses nothing.
    ///
    /// # Errors
    /// With every problem of layers, sections and values for which `counts` holds.
    pub fn finish<T>(
        mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
        check: impl FnOnce(&T) -> Result<(), ConfigError>,
        counts: impl Fn(&ConfigProblem) -> bool,
    ) -> Result<T, ConfigError> {
        let config = read(&mut self);
        let Self { table, mut problems } = self;
        for (section, _) in table {
            problems.push(ConfigProblem::Section {
                section,
                message: "no such section".to_owned(),
            });
        }
        if let Some(Err(ConfigError(more))) = config.as_ref().map(check) {
            problems.extend(more.into_iter().filter(counts));
        }
        config
            .filter(|_| problems.is_empty())
            .ok_or(ConfigError(problems))
    }
}
