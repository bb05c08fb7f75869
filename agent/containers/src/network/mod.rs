//! Networks of a project: a bridge each, addresses from a pool that stays clear of the host's routes, published ports, names.
//! Every step can be done again after a crash at any point of it.

pub(crate) mod cni;
pub(crate) mod dns;
pub(crate) mod firewall;
pub(crate) mod link;
pub(crate) mod manager;
mod program;
pub(crate) mod subnet;

pub(crate) use manager::Networks;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Why a network is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A plugin or program answered with an error.
    #[error("{program}: {message}")]
    Program {
        /// The program.
        program: String,
        /// Its words, bounded.
        message: String,
    },
    /// A program could not be run, or did not answer in time.
    #[error("{program} could not be run")]
    NotRun {
        /// The program.
        program: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A plugin's answer is not a CNI result.
    #[error("{program} answered {got}, expected {expected}")]
    Answer {
        /// The plugin.
        program: String,
        /// What a result must have.
        expected: &'static str,
        /// What came, bounded.
        got: String,
    },
    /// No free block of addresses is left in the pool.
    #[error("no free /24 in the address pool {base}/{prefix}: {taken} are taken by the host's routes")]
    PoolExhausted {
        /// First address of the pool.
        base: Ipv4Addr,
        /// Prefix length.
        prefix: u8,
        /// Blocks in use.
        taken: usize,
    },
    /// A port to be published is in use on the host.
    #[error("port {port}/{protocol} on {ip} cannot be published: {source}; free it or publish another port")]
    PortTaken {
        /// Address it was to be published on.
        ip: IpAddr,
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// What binding it answered.
        source: std::io::Error,
    },
    /// A value of the project cannot be used.
    #[error("{what}: expected {expected}, got {got}")]
    Malformed {
        /// Which value.
        what: String,
        /// Its form.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// A file of the network's state.
    #[error("{path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl NetworkError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
