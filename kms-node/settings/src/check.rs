//! Collects refused values. A URL that is refused is not repeated.

use super::{ConfigError, ConfigProblem};

/// Collects refused values.
#[derive(Debug, Default)]
pub struct Checker(Vec<ConfigProblem>);

impl Checker {
    /// Refuses `actual` of `key` unless it `holds`.
    pub fn require(&mut self, holds: bool, key: &'static str, expected: &'static str, actual: impl ToString) {
        if !holds {
            self.0.push(ConfigProblem::Value {
                key,
                expected,
                actual: actual.to_string(),
            });
        }
    }

    /// Refuses what is not a URL with a host and one of `schemes`.
    pub fn url(&mut self, key: &'static str, schemes: &[&str], expected: &'static str, text: &str) {
        let holds = url::Url::parse(text)
            .is_ok_and(|url| schemes.contains(&url.scheme()) && url.host_str().is_some());
        // A URL may carry a key in its path or user part: the problem does not repeat it.
        self.require(
            holds,
            key,
            expected,
            if text.is_empty() {
                "nothing"
            } else {
                "another text"
            },
        );
    }

    /// Refuses a number outside `range`.
    pub fn between(
        &mut self,
        key: &'static str,
        expected: &'static str,
        range: std::ops::RangeInclusive<u64>,
        n: u64,
    ) {
        self.require(range.contains(&n), key, expected, n);
    }

    /// Nothing was refused.
    ///
    /// # Errors
    /// With all that was.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(self.0))
        }
    }
}
