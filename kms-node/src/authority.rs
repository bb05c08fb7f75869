//! Who decides. In the program this is the bridge to the chain and nothing else; the trait is the set of powers the
//! release path has over it.

use async_trait::async_trait;
use authority_bridge::{
    Bridge, BridgeError, ChainStatus, ChainStore, Clock, Decided, NetworkState, Recorder, RecorderConfig,
    Subject, audit::Audit,
};
use kms_types::{BootRecord, UnixTime};
use std::sync::Arc;
use tokio::sync::watch;

/// Decides about boot records.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// The decision about a record.
    ///
    /// # Errors
    /// Whenever there is none; an error never allows.
    async fn decide(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError>;
    /// What the network says of itself.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    fn network(&self) -> Result<NetworkState, BridgeError>;
    /// How well the chain is known.
    fn status(&self) -> ChainStatus;
    /// Moves with every new head.
    fn changes(&self) -> watch::Receiver<ChainStatus>;
    /// Time of the newest verified block.
    fn time_floor(&self) -> Option<UnixTime>;
    /// Starts filing every decision with its evidence; none where decisions cannot be proven.
    fn record(&self, store: ChainStore, clock: Arc<dyn Clock>, config: RecorderConfig) -> Option<Recorder> {
        let _ = (store, clock, config);
        None
    }
    /// Starts storing the policy events of finalized blocks; none where there is no chain to read them from.
    fn audit(&self, store: ChainStore, from: Option<u64>) -> Option<Audit> {
        let _ = (store, from);
        None
    }
    /// Stops following.
    async fn stop(&self);
}

#[async_trait]
impl Authority for Bridge {
    async fn decide(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        Self::decide(self, subject, record).await
    }
    fn network(&self) -> Result<NetworkState, BridgeError> {
        Self::network(self)
    }
    fn status(&self) -> ChainStatus {
        Self::status(self)
    }
    fn changes(&self) -> watch::Receiver<ChainStatus> {
        Self::changes(self)
    }
    fn time_floor(&self) -> Option<UnixTime> {
        Self::time_floor(self)
    }
    fn record(&self, store: ChainStore, clock: Arc<dyn Clock>, config: RecorderConfig) -> Option<Recorder> {
        Some(Recorder::start(self, store, clock, config))
    }
    fn audit(&self, store: ChainStore, from: Option<u64>) -> Option<Audit> {
        Some(Self::audit(self, store, from))
    }
    async fn stop(&self) {
        self.shutdown().await;
    }
}
