//! What the handlers share, and the two questions they put to the contract.

use super::{answer::Failure, config::SidecarConfig, floor::WatchedFloor, metrics::Metrics};
use crate::{Bridge, BridgeError, Clock, Facts, Subject, Verdict};
use alloy::sol_types::SolCall;
use authority_contracts::abi::KmsAuthority;
use kms_types::{BlockHash, BootInfo};
use kms_wire::ProblemCode;
use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicBool};
use tokio::sync::Semaphore;

/// Longest gateway id that is passed on, in bytes.
const MAX_GATEWAY: usize = 256;

/// One service.
pub(crate) struct App {
    pub(crate) config: SidecarConfig,
    pub(crate) bridge: Bridge,
    pub(crate) floor: Arc<WatchedFloor>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: Semaphore,
    /// Endpoints, without path and credentials.
    pub(crate) names: Vec<String>,
    /// How many of them must agree.
    pub(crate) needed: usize,
    pub(crate) draining: AtomicBool,
    /// The gateway's app id at a block.
    pub(crate) gateway: Mutex<Option<(BlockHash, String)>>,
}

impl App {
    /// The contract's decision, with the gateway's app id beside it.
    pub(crate) async fn decide(
        &self,
        subject: Subject,
        info: BootInfo,
    ) -> Result<(Verdict, String), Failure> {
        let decided = self.bridge.ask(subject, &Facts::Info(info)).await?;
        let gateway = self.gateway(decided.head.hash).await;
        let gateway = match (&decided.verdict, gateway) {
            (_, Ok(gateway)) => gateway,
            // A denial is the contract's; it must not turn into "could not ask" for want of a name.
            (Verdict::Denied { .. }, Err(_)) => String::new(),
            (Verdict::Allowed, Err(failure)) => return Err(failure),
        };
        tracing::info!(
            allowed = decided.is_allowed(),
            head = %decided.head.block_ref(),
            finalized = %decided.finalized.block_ref(),
            record = %decided.record_hash,
            "decided"
        );
        Ok((decided.verdict, gateway))
    }

    /// The gateway's app id; empty when the contract has none. A contract that tells its network's state is believed when head
    /// and finalized block say the same; an older one is asked at the head.
    pub(crate) async fn gateway(&self, head: BlockHash) -> Result<String, Failure> {
        if let Ok(network) = self.bridge.network() {
            return Ok(network.gateway_app_id);
        }
        let known = self
            .gateway
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, gateway)) = known.filter(|(block, _)| *block == head) {
            return Ok(gateway);
        }
        let call = KmsAuthority::gatewayAppIdCall {};
        let gateway = self.read(&call).await?.unwrap_or_default();
        if gateway.len() > MAX_GATEWAY || gateway.chars().any(char::is_control) {
            let detail = format!("contract: gatewayAppId: expected at most {MAX_GATEWAY} printable bytes");
            return Err(Failure::new(ProblemCode::ChainUnavailable, detail));
        }
        *self.gateway.lock().unwrap_or_else(PoisonError::into_inner) = Some((head, gateway.clone()));
        Ok(gateway)
    }

    /// A view call; `None` when the contract knows no such function or reverts.
    pub(crate) async fn read<C: SolCall>(&self, call: &C) -> Result<Option<C::Return>, Failure> {
        let called = match self.bridge.call(call.abi_encode().into()).await {
            Ok(called) => called,
            Err(BridgeError::Contract { fault, .. }) if reverted(&fault) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        C::abi_decode_returns_validate(&called.output)
            .map(Some)
            .map_err(|error| {
                let detail = format!("contract: {}: {error}", C::SIGNATURE);
                Failure::new(ProblemCode::ChainUnavailable, detail)
            })
    }
}

const fn reverted(fault: &authority_policy::PolicyError) -> bool {
    matches!(fault, authority_policy::PolicyError::Reverted { .. })
}
