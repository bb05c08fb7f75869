//! A chain whose answers a test sets: the seam [`Authority`], scripted.

use async_trait::async_trait;
use authority_bridge::{
    BridgeError, ChainStatus, Decided, EndpointStatus, Finality, NetworkState, Subject, Verdict,
};
use authority_policy::EpochIdentity as ChainIdentity;
use kms_node::authority::Authority;
use kms_types::{AppId, AttestationRoot, BlockHash, BootRecord, KeyEpoch, ProvenBlock, UnixTime};
use kms_wire::EpochIdentity;
use std::{
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

pub struct State {
    pub app: Verdict,
    pub kms: Verdict,
    pub network: NetworkState,
    pub failure: Option<BridgeError>,
    /// Verdict about apps after this many questions about them, for revocations seen half-way.
    pub then: Option<(u32, Verdict)>,
    pub asked: u32,
    pub last_record: Option<BootRecord>,
}

pub struct Script {
    state: Mutex<State>,
    status: watch::Sender<ChainStatus>,
}

pub fn block(number: u64) -> ProvenBlock {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    ProvenBlock {
        number,
        hash: BlockHash::new([number as u8; 32]),
        state_root: BlockHash::new([0x11; 32]),
        timestamp: UnixTime(now),
    }
}

impl Script {
    pub fn new(root: AttestationRoot, identity: &EpochIdentity) -> Self {
        let network = NetworkState {
            attestation_roots: vec![root],
            key_epoch: Some(KeyEpoch::FIRST),
            min_key_epoch: KeyEpoch::FIRST,
            release_paused: false,
            kms_app_id: Some(super::KMS_APP),
            gateway_app_id: AppId::new([0xaa; 20]).to_string(),
            min_tcb_evaluation_data_number: 0,
            identity: Some(ChainIdentity {
                k256_pubkey: identity.k256_public_key.as_bytes().try_into().unwrap(),
                ca: identity.kms_identity,
                hpke_key: identity.hpke_public_key.as_bytes().try_into().unwrap(),
            }),
            head: block(100),
            finalized: block(90),
        };
        let status = status(&network);
        let state = State {
            app: Verdict::Allowed,
            kms: Verdict::Allowed,
            network,
            failure: None,
            then: None,
            asked: 0,
            last_record: None,
        };
        Self {
            state: Mutex::new(state),
            status: watch::channel(status).0,
        }
    }

    /// Changes what the chain says, at a new head.
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        state.network.head = block(state.network.head.number + 1);
        change(&mut state);
        self.status.send_replace(status(&state.network));
    }

    pub fn last_record(&self) -> BootRecord {
        self.state.lock().unwrap().last_record.clone().unwrap()
    }
}

fn status(network: &NetworkState) -> ChainStatus {
    ChainStatus {
        head: Some(network.head),
        finalized: Some(network.finalized),
        connected: true,
        endpoints: vec![
            endpoint("https://one.example", None),
            endpoint(
                "https://two.example",
                Some("https://two.example: latest block: HTTP status 429"),
            ),
        ],
        ..ChainStatus::default()
    }
}

fn endpoint(name: &str, error: Option<&str>) -> EndpointStatus {
    EndpointStatus {
        name: name.to_owned(),
        agrees: error.is_none(),
        healthy: error.is_none(),
        last_error: error.map(str::to_owned),
        lies: if error.is_some() { 3 } else { 0 },
        ..EndpointStatus::default()
    }
}

#[async_trait]
impl Authority for Script {
    async fn decide(&self, subject: Subject, record: &BootRecord) -> Result<Decided, BridgeError> {
        let mut state = self.state.lock().unwrap();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let verdict = match subject {
            Subject::Kms => state.kms.clone(),
            Subject::App => {
                state.last_record = Some(record.clone());
                state.asked += 1;
                if let Some((after, verdict)) = state.then.clone().filter(|(after, _)| state.asked == *after)
                {
                    let _ = after;
                    state.app = verdict;
                    state.network.head = block(state.network.head.number + 1);
                    let before = Decided {
                        verdict: Verdict::Allowed,
                        decided_by: Finality::Head,
                        head: block(state.network.head.number - 1),
                        finalized: state.network.finalized,
                        record_hash: BlockHash::new([5; 32]),
                    };
                    self.status.send_replace(status(&state.network));
                    return Ok(before);
                }
                state.app.clone()
            }
        };
        Ok(Decided {
            verdict,
            decided_by: Finality::Head,
            head: state.network.head,
            finalized: state.network.finalized,
            record_hash: BlockHash::new([5; 32]),
        })
    }
    fn network(&self) -> Result<NetworkState, BridgeError> {
        let state = self.state.lock().unwrap();
        state
            .failure
            .clone()
            .map_or_else(|| Ok(state.network.clone()), Err)
    }
    fn status(&self) -> ChainStatus {
        self.status.borrow().clone()
    }
    fn changes(&self) -> watch::Receiver<ChainStatus> {
        self.status.subscribe()
    }
    fn time_floor(&self) -> Option<UnixTime> {
        Some(self.state.lock().unwrap().network.head.timestamp)
    }
    async fn stop(&self) {}
}
