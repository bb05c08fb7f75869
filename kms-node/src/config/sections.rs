//! The sections, one struct each.

use authority_bridge::ChainSection;
use kms_settings::Sections;
use kms_types::InstanceSeed;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The whole configuration. The comments of the default file say what each value means.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listening and its bounds.
    pub server: ServerConfig,
    /// The chain to answer to.
    pub chain: ChainSection,
    /// Where collateral comes from.
    pub collateral: CollateralConfig,
    /// The TD the node runs in.
    pub td: TdConfig,
    /// Root and lifetimes.
    pub keys: KeysConfig,
    /// Release log and floors.
    pub database: DatabaseConfig,
    /// Rate limits.
    pub limits: LimitsConfig,
    /// What is kept of the past.
    pub history: HistoryConfig,
    /// Own log output.
    pub log: LogConfig,
}

macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)+ }
    };
}

section! {
    /// `[server]`
    ServerConfig {
        /// Address and port.
        listen: SocketAddr,
        /// Names beside `kms.kedge.internal`.
        names: Vec<String>,
        /// Open connections.
        max_connections: usize,
        /// Open connections of one peer.
        max_connections_per_peer: usize,
        /// Requests in work.
        max_in_flight: usize,
        /// Bound on handshake, head and body, each.
        read_timeout_ms: u64,
        /// Bound on a connection without a request.
        idle_timeout_ms: u64,
        /// Bound on a request.
        request_timeout_ms: u64,
        /// Bound on draining.
        drain_timeout_ms: u64,
    }
}
section! {
    /// `[collateral]`
    CollateralConfig {
        /// PCS or PCCS.
        pcs_url: String,
        /// Root CA's revocation list, or empty.
        root_crl_url: String,
        /// Disk cache, or empty.
        cache_dir: PathBuf,
        /// Head start of a refresh.
        refresh_before_s: u64,
        /// Longest time without a refresh.
        refresh_every_s: u64,
        /// One request.
        request_timeout_ms: u64,
    }
}
section! {
    /// `[td]`
    TdConfig {
        /// `tsm` or `socket:PATH`.
        device: String,
        /// Proof of the own image, or empty.
        image_proof_file: PathBuf,
        /// Seed of the own instance id, hex, or empty.
        instance_seed: String,
        /// Whether a zero MRCONFIGID is accepted.
        allow_zero_config_id: bool,
        /// Own quotes.
        requote_interval_s: u64,
    }
}
section! {
    /// `[keys]`
    KeysConfig {
        /// Sealed root.
        root_file: PathBuf,
        /// What seals it.
        seal: Seal,
        /// Wrapping key, or empty.
        keyfile: PathBuf,
        /// Life of a lease.
        lease_s: u64,
        /// Life of a certificate.
        certificate_s: u64,
    }
}
section! {
    /// `[database]`
    DatabaseConfig {
        /// `sqlite:…` or `postgres://…`; may hold a password, so it is never logged.
        url: String,
        /// Connections.
        max_connections: u32,
        /// Waiting for one.
        timeout_ms: u64,
    }
}
section! {
    /// `[limits]`
    LimitsConfig {
        /// Sustained, per peer.
        peer_per_s: u32,
        /// At once, per peer.
        peer_burst: u32,
        /// Sustained, per platform.
        device_per_s: u32,
        /// At once, per platform.
        device_burst: u32,
        /// Sustained, per app.
        app_per_s: u32,
        /// At once, per app.
        app_burst: u32,
    }
}
section! {
    /// `[history]`
    HistoryConfig {
        /// Decisions kept with their evidence; 0 keeps none.
        decisions_keep: u64,
        /// Days they are kept at most.
        decisions_keep_days: u64,
        /// Least time between two decisions about the same KMS node with the same verdict.
        decisions_kms_every_s: u64,
        /// First block whose policy events are stored; -1 for the first one followed.
        from_block: i64,
    }
}
section! {
    /// `[log]`
    LogConfig {
        /// Shape of a line.
        format: LogFormat,
        /// Filter directives.
        filter: String,
    }
}

/// What wraps the root at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seal {
    /// A key only this TD can have.
    Td,
    /// A key in a file; development networks alone.
    Keyfile,
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

impl ServerConfig {
    /// Bound on handshake, head and body, each.
    pub const fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }
    /// Bound on a request.
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

impl TdConfig {
    /// The seed, when there is one.
    ///
    /// # Errors
    /// When it is not 20 bytes of hex.
    pub fn seed(&self) -> Result<Option<InstanceSeed>, kms_types::ParseBytesError> {
        (!self.instance_seed.is_empty())
            .then(|| self.instance_seed.parse())
            .transpose()
    }
}

/// Reads every section, collecting what is wrong with each.
pub(super) fn read(sections: &mut Sections) -> Option<Config> {
    let server = sections.take("server");
    let chain = sections.take("chain");
    let collateral = sections.take("collateral");
    let td = sections.take("td");
    let keys = sections.take("keys");
    let database = sections.take("database");
    let limits = sections.take("limits");
    let history = sections.take("history");
    let log = sections.take("log");
    Some(Config {
        server: server?,
        chain: chain?,
        collateral: collateral?,
        td: td?,
        keys: keys?,
        database: database?,
        limits: limits?,
        history: history?,
        log: log?,
    })
}
