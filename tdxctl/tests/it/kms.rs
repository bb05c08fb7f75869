//! A KMS without a chain: real TLS, challenges, verification, derivation, sealing and signing; only the decision is made up,
//! and a test may spoil one thing.

use crate::guest::{NOW, platform};
use attestation::{Collateral, ConfigIdPolicy, TrustRoots, verify_td};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::post,
    serve::Listener,
};
use kms_keys::{EpochKeys, EpochRoot, KMS_SERVER_NAME, Secret, Validity};
use kms_protocol::{Challenges, Purpose, Refusal, VerifiedEvidence, release};
use kms_types::{
    AppId, Blob, BlockHash, ChainAddress, ChainId, KeyEpoch, KmsIdentity, ProvenBlock, ReportData, UnixTime,
};
use kms_wire::{
    AppKeysResponse, CertificateRequest, CertificateResponse, ChallengeResponse, Decision, EpochIdentity,
    Evidence, LeaseResponse, LeaseTranscript, LogPosition, Problem, ReleaseTranscript, SignedTreeHead,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use zeroize::Zeroizing;

pub(crate) const CHAIN: u64 = 31337;
pub(crate) const CONTRACT: [u8; 20] = [0xc0; 20];

type Spoil = Box<dyn Fn(&mut AppKeysResponse, &VerifiedEvidence) + Send + Sync>;
type SpoilLease = Box<dyn Fn(&mut LeaseResponse, &VerifiedEvidence) + Send + Sync>;
type SpoilChain = Box<dyn Fn(&mut CertificateResponse, &VerifiedEvidence) + Send + Sync>;

/// What this KMS does wrong.
#[derive(Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Changes the signed answer.
    Answer(Spoil),
    /// Changes the signed lease.
    Lease(SpoilLease),
    /// Changes the issued chain.
    Chain(SpoilChain),
    /// Names another KMS with its challenge.
    Challenge(KmsIdentity),
    /// Refuses.
    Problem(Box<Problem>),
    /// Says this instead of an answer.
    Words(u16, Vec<u8>),
    /// Sends the asker elsewhere.
    Redirect(String),
}

/// Which chain it presents.
pub(crate) enum Chain {
    /// Its own.
    Honest,
    /// Its own leaf without the CA.
    LeafOnly,
    /// The leaf of another KMS under the certificate of this one's CA, which is public.
    OtherLeaf(Box<EpochKeys>),
}

pub(crate) struct Kms {
    pub(crate) url: String,
    pub(crate) keys: Arc<EpochKeys>,
    _runtime: Runtime,
}

struct Node {
    keys: Arc<EpochKeys>,
    challenges: Challenges,
    fault: Fault,
}

pub(crate) fn epoch_keys(root: u8) -> EpochKeys {
    EpochKeys::derive(EpochRoot::from_secret(
        KeyEpoch::FIRST,
        Secret::new(Box::new([root; 32])),
    ))
    .unwrap()
}

impl Kms {
    pub(crate) fn honest() -> Self {
        Self::start(Fault::None, Chain::Honest)
    }

    pub(crate) fn spoiling(
        spoil: impl Fn(&mut AppKeysResponse, &VerifiedEvidence) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Fault::Answer(Box::new(spoil)), Chain::Honest)
    }

    pub(crate) fn start(fault: Fault, chain: Chain) -> Self {
        let keys = Arc::new(epoch_keys(1));
        let tls = tls(&keys, &chain);
        let node = Arc::new(Node {
            keys: keys.clone(),
            challenges: Challenges::new(&Zeroizing::new([9; 32])),
            fault,
        });
        let router = Router::new()
            .route("/v1/challenges", post(challenge))
            .route("/v1/app-keys", post(app_keys))
            .route("/v1/leases", post(leases))
            .route("/v1/certificates", post(certificates))
            .with_state(node);
        let runtime = Runtime::new().unwrap();
        let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}", tcp.local_addr().unwrap());
        let listener = TlsListener { tcp, tls };
        runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            keys,
            _runtime: runtime,
        }
    }

    /// Its identity document.
    pub(crate) fn identity(&self) -> EpochIdentity {
        let public = self.keys.identity();
        EpochIdentity {
            key_epoch: public.key_epoch,
            kms_identity: public.kms_identity,
            k256_public_key: Blob::new(public.k256_public_key.to_vec()).unwrap(),
            hpke_public_key: Blob::new(public.hpke_public_key.to_vec()).unwrap(),
            log_public_key: Blob::new(public.log_public_key.to_vec()).unwrap(),
            ca_certificate: public.ca_certificate.clone(),
        }
    }
}

/// Signs an answer again after it was changed, as a KMS that lies would.
pub(crate) fn sign(answer: &mut AppKeysResponse, keys: &EpochKeys, report_data: &ReportData) {
    let digest = ReleaseTranscript::digest(report_data, answer);
    answer.signature = Blob::new(keys.sign_prehash(&digest).unwrap().to_vec()).unwrap();
}

/// Signs a lease again after it was changed, as a KMS that lies would.
pub(crate) fn sign_lease(answer: &mut LeaseResponse, keys: &EpochKeys, report_data: &ReportData) {
    let digest = LeaseTranscript::digest(report_data, answer);
    answer.signature = Blob::new(keys.sign_prehash(&digest).unwrap().to_vec()).unwrap();
}

fn tls(keys: &EpochKeys, chain: &Chain) -> TlsAcceptor {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let validity = Validity::starting(UnixTime(now.as_secs() - 60), 3600);
    let issuer = match chain {
        Chain::OtherLeaf(other) => other,
        _ => keys,
    };
    let node = issuer
        .node_tls(&[KMS_SERVER_NAME], validity, &mut rand::rng())
        .unwrap();
    let own_ca = keys
        .node_tls(&[KMS_SERVER_NAME], validity, &mut rand::rng())
        .unwrap()
        .chain
        .pop()
        .unwrap();
    let leaf = node.chain.into_iter().next().unwrap();
    let presented = match chain {
        Chain::LeafOnly => vec![leaf],
        _ => vec![leaf, own_ca],
    };
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            presented.into_iter().map(CertificateDer::from).collect(),
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node.key_pkcs8.to_vec())),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.tcp.accept().await.unwrap();
            // A client that refuses the chain breaks the handshake off.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, serde_json::to_vec(problem).unwrap()).into_response()
}

async fn challenge(State(node): State<Arc<Node>>) -> Response {
    let (challenge, expires_at) = node.challenges.issue([1; 24], NOW);
    let kms_identity = match &node.fault {
        Fault::Challenge(other) => *other,
        Fault::Redirect(url) => return Redirect::temporary(url).into_response(),
        _ => node.keys.identity().kms_identity,
    };
    Json(ChallengeResponse {
        challenge,
        expires_at,
        kms_identity,
    })
    .into_response()
}

async fn app_keys(State(node): State<Arc<Node>>, Json(evidence): Json<Evidence>) -> Response {
    match &node.fault {
        Fault::Problem(refusal) => return problem(refusal),
        Fault::Words(status, words) => {
            return (StatusCode::from_u16(*status).unwrap(), words.clone()).into_response();
        }
        _ => {}
    }
    match node.release(&evidence) {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => problem(&refusal.problem()),
    }
}

async fn leases(State(node): State<Arc<Node>>, Json(evidence): Json<Evidence>) -> Response {
    let given = node.verified(&evidence, Purpose::Lease).and_then(|verified| {
        let (decision, log) = node.decided(&verified);
        let mut answer = kms_protocol::lease(&verified, decision, log, NOW, 300)?;
        if let Fault::Lease(spoil) = &node.fault {
            spoil(&mut answer, &verified);
        }
        Ok(answer)
    });
    match given {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => problem(&refusal.problem()),
    }
}

async fn certificates(State(node): State<Arc<Node>>, Json(request): Json<CertificateRequest>) -> Response {
    let given = kms_protocol::check_request(&request)
        .and_then(|()| node.verified(&request.evidence, Purpose::Certificate))
        .and_then(|verified| {
            let (decision, log) = node.decided(&verified);
            let mut answer = kms_protocol::certificate(&verified, &request, decision, &log, NOW, 3600)?;
            if let Fault::Chain(spoil) = &node.fault {
                spoil(&mut answer, &verified);
            }
            Ok(answer)
        });
    match given {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => problem(&refusal.problem()),
    }
}

impl Node {
    fn verified(&self, evidence: &Evidence, purpose: Purpose) -> Result<VerifiedEvidence, Refusal> {
        let platform = platform();
        let collateral = Collateral::from_json(&platform.collateral(NOW).unwrap().to_json().unwrap())?;
        let fresh = self.challenges.check(evidence.challenge.as_bytes(), NOW)?;
        let td = verify_td(
            evidence.quote.as_bytes(),
            &collateral,
            NOW,
            &TrustRoots::new([platform.root()]),
        )?;
        VerifiedEvidence::bind(
            &td,
            evidence,
            purpose,
            self.keys.clone(),
            fresh,
            ConfigIdPolicy::RequireBinding,
        )
    }

    fn decided(&self, verified: &VerifiedEvidence) -> (Decision, LogPosition) {
        let decision = decision();
        let root = [3; 32];
        let signed = self.keys.sign_log(&SignedTreeHead::signed_bytes(1, &root, NOW));
        let log = LogPosition {
            index: 0,
            entry: verified.log_entry(decision.head.block_ref(), NOW),
            tree_head: SignedTreeHead {
                size: 1,
                root: Blob::new(root.to_vec()).unwrap(),
                time: NOW,
                signature: Blob::new(signed.to_vec()).unwrap(),
            },
        };
        (decision, log)
    }

    fn release(&self, evidence: &Evidence) -> Result<AppKeysResponse, Refusal> {
        let verified = self.verified(evidence, Purpose::AppKeys)?;
        let (decision, log) = self.decided(&verified);
        let mut answer = release(&verified, decision, log, AppId::ZERO, &mut rand::rng())?;
        if let Fault::Answer(spoil) = &self.fault {
            spoil(&mut answer, &verified);
        }
        Ok(answer)
    }
}

pub(crate) fn block(number: u64) -> ProvenBlock {
    ProvenBlock {
        number,
        hash: BlockHash::new([number as u8; 32]),
        state_root: BlockHash::new([0x57; 32]),
        timestamp: UnixTime(NOW.0 - 1000 + number),
    }
}

fn decision() -> Decision {
    Decision {
        chain_id: ChainId(CHAIN),
        contract: ChainAddress::new(CONTRACT),
        head: block(100),
        finalized: block(90),
        record_hash: BlockHash::new([4; 32]),
    }
}
