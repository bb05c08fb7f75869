//! The local network as a library: a real Anvil, the deployed contracts, a software TDX platform with its collateral
//! service, KMS nodes as the real program, software TDs that ask them for keys.
//!
//! Everything started here ends with the value that stands for it, also when the process is killed. Nothing here is part
//! of a production system: the chain's accounts are public and the platform vouches for nothing.
#![forbid(unsafe_code)]

mod accounts;
pub mod action;
mod anvil;
pub mod bench;
pub mod binaries;
mod description;
mod folder;
mod network;
mod node;
mod operate;
mod options;
mod pcs;
pub mod ports;
pub mod process;
mod spec;

pub use accounts::{APP_OWNER_KEY, Account, NETWORK_OWNER_KEY};
pub use action::{Action, Mined};
pub use anvil::{Anvil, AnvilOptions, CHAIN_ID, FINALITY, Mining};
pub use description::{Description, KmsDescription};
pub use folder::Folder;
pub use network::{KMS_COMPOSE, Network};
pub use node::{Node, NodeOptions, Prepared};
pub use options::NetworkOptions;
pub use pcs::Pcs;
pub use spec::{AppSpec, OS_IMAGE};
