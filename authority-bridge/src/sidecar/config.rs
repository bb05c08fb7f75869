//! Configuration of the service: its sections and which values may start it.

use kms_settings::{Checker, ConfigError, Layers, Sections};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{ChainSection, store::Engine};

/// The commented defaults.
pub const DEFAULT: &str = include_str!("default.toml");
/// Prefix of the environment's overrides.
pub const ENV_PREFIX: &str = "KEDGE_BRIDGE__";

const LAYERS: Layers = Layers {
    defaults: DEFAULT,
    env_prefix: ENV_PREFIX,
};

/// The whole configuration. The comments of the default file say what each value means.
#[derive(Debug, Clone)]
pub struct SidecarConfig {
    /// Listening and its bounds.
    pub server: ServerSection,
    /// The chain to answer from.
    pub chain: ChainSection,
    /// Where the height floor survives a restart.
    pub database: DatabaseSection,
    /// Own log output.
    pub log: LogSection,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Address and port.
    pub listen: SocketAddr,
    /// Whether another than a loopback address is accepted.
    pub allow_remote: bool,
    /// Open connections.
    pub max_connections: usize,
    /// Requests in work.
    pub max_in_flight: usize,
    /// Bound on head and body, each, and on a connection without a request.
    pub read_timeout_ms: u64,
    /// Bound on a request.
    pub request_timeout_ms: u64,
    /// Bound on draining.
    pub drain_timeout_ms: u64,
}

/// `[database]`; the URL may hold a password, so it is never logged.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// `sqlite:…` or `postgres://…`
    pub url: String,
    /// Connections.
    pub max_connections: u32,
    /// Waiting for one.
    pub timeout_ms: u64,
    /// Second copy of the height floor.
    pub floor_copy: PathBuf,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// Shape of a line.
    pub format: LogFormat,
    /// Filter directives.
    pub filter: String,
}

/// Shape of the log output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl std::fmt::Debug for DatabaseSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSection")
            .field("max_connections", &self.max_connections)
            .field("timeout_ms", &self.timeout_ms)
            .field("floor_copy", &self.floor_copy)
            .finish_non_exhaustive()
    }
}

impl ServerSection {
    pub(super) const fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }
    pub(super) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
    pub(super) const fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

impl SidecarConfig {
    /// Reads the defaults, then `file`, then `variables` (the process environment in the program).
    ///
    /// # Errors
    /// With every problem found.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        LAYERS.load(file, variables).finish(read, Self::check, |_| true)
    }

    /// Reads a text over the defaults, without the environment.
    ///
    /// # Errors
    /// With every problem found.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        LAYERS.text(text).finish(read, Self::check, |_| true)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// With all that are refused.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut checker = Checker::default();
        self.check_server(&mut checker);
        self.chain.check(&mut checker);
        let database = &self.database;
        checker.require(
            Engine::of_url(&database.url).is_some(),
            "database.url",
            "sqlite:PATH or postgres://…",
            "another scheme",
        );
        let connections = u64::from(database.max_connections);
        checker.between("database.max_connections", "1 to 64", 1..=64, connections);
        checker.between(
            "database.timeout_ms",
            "100 to 60000",
            100..=60_000,
            database.timeout_ms,
        );
        let copy = !database.floor_copy.as_os_str().is_empty();
        checker.require(copy, "database.floor_copy", "a path", "nothing");
        checker.finish()
    }

    fn check_server(&self, checker: &mut Checker) {
        let server = &self.server;
        // C1: in the clear whoever is on the way says "allowed" in the contract's place.
        checker.require(
            server.listen.ip().is_loopback() || server.allow_remote,
            "server.listen",
            "a loopback address (or allow_remote = true where nobody can be on the way)",
            server.listen,
        );
        let (connections, in_flight) = (server.max_connections as u64, server.max_in_flight as u64);
        checker.between("server.max_connections", "1 to 65536", 1..=65_536, connections);
        checker.between("server.max_in_flight", "1 to 65536", 1..=65_536, in_flight);
        checker.between(
            "server.read_timeout_ms",
            "100 to 60000",
            100..=60_000,
            server.read_timeout_ms,
        );
        checker.between(
            "server.request_timeout_ms",
            "100 to 120000",
            100..=120_000,
            server.request_timeout_ms,
        );
        checker.between(
            "server.drain_timeout_ms",
            "0 to 120000",
            0..=120_000,
            server.drain_timeout_ms,
        );
    }
}

fn read(sections: &mut Sections) -> Option<SidecarConfig> {
    let server = sections.take("server");
    let chain = sections.take("chain");
    let database = sections.take("database");
    let log = sections.take("log");
    Some(SidecarConfig {
        server: server?,
        chain: chain?,
        database: database?,
        log: log?,
    })
}
