//! Configuration: the commented defaults, a file over them, the environment over both.
//!
//! Refuses unknown sections and keys, and every value that would start a node that answers to nothing; all problems are
//! told at once, before a port is opened.

mod check;
mod sections;

pub use sections::{
    CollateralConfig, Config, DatabaseConfig, HistoryConfig, KeysConfig, LimitsConfig, LogConfig, LogFormat,
    Seal, ServerConfig, TdConfig,
};

pub use kms_settings::{ConfigError, ConfigProblem};

use kms_settings::{Layers, Sections};
use std::path::Path;

/// The commented defaults.
pub const DEFAULT: &str = include_str!("default.toml");
/// Prefix of the environment's overrides.
pub const ENV_PREFIX: &str = "KEDGE_KMS__";

const LAYERS: Layers = Layers {
    defaults: DEFAULT,
    env_prefix: ENV_PREFIX,
};

impl Config {
    /// Reads the defaults, then `file`, then `variables` (the process environment in the program).
    ///
    /// # Errors
    /// With every problem found.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        finish(LAYERS.load(file, variables), |_| true)
    }

    /// As [`Config::load`], but without an endpoint: `bootstrap` seals the root for the chain and the contract, and asks
    /// neither.
    ///
    /// # Errors
    /// With every problem found.
    pub fn load_for_bootstrap(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        finish(
            LAYERS.load(file, variables),
            |problem| !matches!(problem, ConfigProblem::Value { key, .. } if ENDPOINTS.contains(key)),
        )
    }

    /// Reads a text over the defaults, without the environment.
    ///
    /// # Errors
    /// With every problem found.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        finish(LAYERS.text(text), |_| true)
    }
}

/// What `bootstrap` can do without.
const ENDPOINTS: [&str; 2] = ["chain.endpoints", "chain.threshold"];

fn finish(sections: Sections, counts: impl Fn(&ConfigProblem) -> bool) -> Result<Config, ConfigError> {
    sections.finish(sections::read, Config::check, counts)
}
