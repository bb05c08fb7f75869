//! Who decides. In the program this is the bridge to the chain and nothing else; the trait is the set of powers the
//! release path has over it.

use async_trait::async_trait;
use authority_bridge::{Bridge, BridgeError, ChainStatus, Decided, NetworkState, Subject};
use kms_types::{BootRecord, UnixTime};
use tokio::sync::watch;

/// Decides about boot records.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// The decision about a record.
    async fn decide(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError>;
    /// What the network says of itself.
    async fn network(&self) -> Result<NetworkState, BridgeError>;
    /// How well the chain is known.
    fn status(&self) -> ChainStatus;
    /// Moves with every new head.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Time of the newest verified block.
    fn time_floor(&self) -> Option<UnixTime>;
    /// Stops following.
    async fn stop(&self);
}
