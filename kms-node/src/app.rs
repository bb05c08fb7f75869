//! What the handlers share, and the powers they have over it.

use crate::{
    authority::Authority,
    collateral::CollateralCache,
    config::Config,
    http::ApiError,
    limits::Limits,
    log::{LogReader, ReleaseLog},
    metrics::Metrics,
    standing::StandingCell,
    store::Store,
};
use attestation::{ConfigIdPolicy, Verifier, verification_time};
use authority_bridge::audit::AuditStatus;
use authority_bridge::{ChainStore, Clock, RecorderCounts};
use kms_protocol::{Challenges, EpochRule, Epochs};
use kms_types::UnixTime;
use kms_wire::ProblemCode;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{Semaphore, watch};

/// One node.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) authority: Arc<dyn Authority>,
    pub(crate) challenges: Challenges,
    pub(crate) epochs: Epochs,
    pub(crate) verifier: Verifier,
    pub(crate) collateral: Arc<CollateralCache>,
    pub(crate) store: Store,
    pub(crate) chain: ChainStore,
    /// What became of decisions, while they are filed.
    pub(crate) filed: OnceLock<Arc<RecorderCounts>>,
    /// How the audit trail does, while there is one.
    pub(crate) audited: OnceLock<watch::Receiver<AuditStatus>>,
    pub(crate) log: ReleaseLog,
    pub(crate) reader: LogReader,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: Semaphore,
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) cpu: Arc<Semaphore>,
    pub(crate) standing: StandingCell,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) draining: AtomicBool,
    /// Whether the database answered when it was last asked.
    pub(crate) database_up: AtomicBool,
}

impl App {
    /// The time to judge at: the clock, but never before the newest verified block.
    pub(crate) fn now(&self) -> Result<UnixTime, ApiError> {
        let floor = self.authority.time_floor().unwrap_or(UnixTime(0));
        // C5: a clock behind the chain is this node's fault, not the asker's.
        verification_time(self.clock.now(), floor).map_err(|error| {
            tracing::error!(%error, "the clock of this node is behind the chain");
            ApiError::new(
                ProblemCode::NodeNotAllowed,
                "the clock of this node is behind the chain",
            )
        })
    }

    /// What the network says of itself, with the rule for epochs.
    pub(crate) fn network(&self) -> Result<(authority_bridge::NetworkState, EpochRule), ApiError> {
        let network = self.authority.network()?;
        let Some(current) = network.key_epoch else {
            return Err(ApiError::new(
                ProblemCode::NodeNotAllowed,
                "the network has no key epoch yet",
            ));
        };
        let rule = EpochRule {
            current,
            minimum: network.min_key_epoch,
            block: network.head.block_ref(),
        };
        Ok((network, rule))
    }

    /// What MRCONFIGID must say here.
    pub(crate) const fn config_id(&self) -> ConfigIdPolicy {
        if self.config.td.allow_zero_config_id {
            ConfigIdPolicy::AllowZero
        } else {
            ConfigIdPolicy::RequireBinding
        }
    }

    /// Runs work that keeps a core busy off the threads that serve connections, no more of it at once than there are cores.
    /// Inline it halved the releases a second: the log writer waited behind it for its turn on the reactor.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.cpu).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|error| ApiError::internal(&error))
    }

    /// True once the node is to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
