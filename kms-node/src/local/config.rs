//! Configuration of a local key provider: commented defaults, a file, the environment. Refuses an empty list of roots.

use crate::config::{CollateralConfig, ConfigError, DatabaseConfig, LogConfig};
use kms_settings::{Checker, Layers};
use kms_types::{AttestationRoot, TcbStatus};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The commented defaults.
pub const DEFAULT: &str = include_str!("default.toml");

const LAYERS: Layers = Layers {
    defaults: DEFAULT,
    env_prefix: "KEDGE_LOCAL__",
};

/// The whole configuration. The comments of the default file say what each value means.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The provider.
    pub local: LocalSection,
    /// Where collateral comes from.
    pub collateral: CollateralConfig,
    /// Floors.
    pub database: DatabaseConfig,
    /// Own log output.
    pub log: LogConfig,
}

/// What keeps the sealing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sealing {
    /// A TPM 2.0 of this machine.
    Tpm,
    /// A key file.
    File,
}

/// `[local]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSection {
    /// Where guests ask.
    pub listen: SocketAddr,
    /// The sealing secret.
    pub root_file: PathBuf,
    /// What keeps it.
    pub sealing: Sealing,
    /// The TPM, as a TCTI of tpm2-tss.
    pub tpm: String,
    /// What wraps the file, where no TPM keeps the secret.
    pub keyfile: PathBuf,
    /// Roots a guest's quote may lead to.
    pub attestation_roots: Vec<AttestationRoot>,
    /// TCB statuses a guest's platform may have.
    pub tcb_statuses: Vec<TcbStatus>,
    /// `tsm`, `socket:PATH` or `none`.
    pub td: String,
    /// Connections at once.
    pub max_connections: usize,
    /// Time for one.
    pub timeout_ms: u64,
}

impl LocalConfig {
    /// Reads the defaults, then `file`, then `variables`.
    ///
    /// # Errors
    /// With every problem found.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        LAYERS.load(file, variables).finish(
            |sections| {
                let local = sections.take("local");
                let collateral = sections.take("collateral");
                let database = sections.take("database");
                let log = sections.take("log");
                Some(Self {
                    local: local?,
                    collateral: collateral?,
                    database: database?,
                    log: log?,
                })
            },
            |config| {
                let (mut checker, local) = (Checker::default(), &config.local);
                let roots = local.attestation_roots.len();
                checker.require(
                    (1..=8).contains(&roots),
                    "local.attestation_roots",
                    "1 to 8 roots",
                    roots,
                );
                let connections = local.max_connections;
                checker.require(
                    (1..=1024).contains(&connections),
                    "local.max_connections",
                    "1 to 1024",
                    connections,
                );
                checker.between(
                    "local.timeout_ms",
                    "100 to 120000",
                    100..=120_000,
                    local.timeout_ms,
                );
                checker.finish()
            },
            |_| true,
        )
    }
}
