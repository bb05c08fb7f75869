//! Deployment and management transactions: used alike by the command line, the harness and the tests.
//!
//! Reproducible: addresses follow from the sender and its nonce, and the order of transactions is fixed, so the same
//! key on a fresh chain gives the same network. A transaction that would revert is not sent; its error is named.

mod app;
mod error;
mod network;
mod sender;
mod timelock;

pub use app::{AppParams, DeployedApp, deploy_app};
pub use error::DeployError;
pub use network::{DeployedNetwork, NetworkParams, deploy_network, record_key_epoch};
pub use sender::{Sender, connect};
pub use timelock::{TimelockParams, deploy_timelock, execute_ownership, propose_ownership};
