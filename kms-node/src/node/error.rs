//! Why a node does not start. Each variant is a different thing to repair.

use crate::{
    collateral::CollateralError, config::ConfigError, log::LogError, root::RootError, store::StoreError,
    tls::TlsError,
};
use authority_bridge::BridgeError;
use std::io;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The chain.
    #[error("chain")]
    Chain(#[from] BridgeError),
    /// The release log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The collateral client.
    #[error(transparent)]
    Collateral(#[from] CollateralError),
    /// A file or a socket.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A URL that the checks let through.
    #[error("URL")]
    Url(#[from] url::ParseError),
    /// The instance seed.
    #[error("td.instance_seed")]
    Seed(#[from] kms_types::ParseBytesError),
    /// The metrics.
    #[error("metrics: {0}")]
    Metrics(String),
    /// A key file or a simulated TD where none may be.
    #[error(
        "keys.seal = \"keyfile\" and td.device = \"socket:…\" are for development networks, but the network at \
         {contract} accepts Intel's root"
    )]
    NotDevelopment {
        /// Which network.
        contract: kms_types::ChainAddress,
    },
    /// No root.
    #[error("the root file holds no epoch")]
    NoEpoch,
}
