//! The parts of a node, each from its section of the configuration, and their upkeep.

use super::{Deps, StartError};
use crate::{
    app::App,
    authority::Authority,
    collateral::{CollateralCache, PcsClient},
    config::{CollateralConfig, Config},
    limits::Limits,
    log::{LogReader, ReleaseLog, TreeSigner},
    metrics::Metrics,
    root,
    selfcheck::OwnEvidence,
    standing::StandingCell,
    store::{FloorStore, Store, StoreError},
    tls::NodeCertificate,
};
use attestation::Verifier;
use authority_bridge::{
    ChainStore, Clock, Recorder, RecorderConfig,
    audit::Audit,
    store::{FloorCopy, GuardedFloor, Retention},
};
use kms_keys::EpochKeys;
use kms_protocol::{Challenges, Epochs};
use kms_wire::UnixTime;
use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use td_quote::Td;
use tokio::sync::{Semaphore, watch};
use url::Url;
use zeroize::Zeroizing;

/// Certifications of platforms that are remembered.
const CERTIFICATIONS: usize = 4096;
/// Name of the floor's copy.
const FLOOR_COPY: &str = "chain-floor.json";
/// Requests near the largest size in work at once: some 75 MB.
const LARGE_BODIES: usize = 32;
/// How often old state is let go.
pub(super) const UPKEEP: Duration = Duration::from_secs(5);
/// How often the database is asked whether it answers.
const DATABASE_CHECK: Duration = Duration::from_secs(1);
const RENEW_CERTIFICATE: Duration = Duration::from_secs(86_400);

pub(crate) async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let database = &config.database;
    Store::open(
        &database.url,
        database.max_connections,
        Duration::from_millis(database.timeout_ms),
    )
    .await
}

/// What the database holds of the chain.
pub(crate) fn chain_store(config: &Config, store: &Store) -> ChainStore {
    ChainStore::new(store.pool().clone(), config.chain.chain_id, config.chain.contract)
}

/// The height floor, with its copy beside the root.
pub(crate) fn height_floor(config: &Config, store: &Store) -> GuardedFloor {
    let path = config.keys.root_file.with_file_name(FLOOR_COPY);
    let copy = FloorCopy::new(path, config.chain.chain_id);
    GuardedFloor::new(chain_store(config, store), copy)
}

/// Longest evidence of a decision that is kept, in bytes: a hundred slots deep in the trie of a large chain, and the codes.
const MAX_EVIDENCE: usize = 1 << 20;

/// Starts filing decisions, when that is wanted and the authority's decisions can be proven.
pub(super) fn recorder(app: &App) -> Option<Recorder> {
    let history = &app.config.history;
    if history.decisions_keep == 0 {
        return None;
    }
    let config = RecorderConfig {
        keep: Retention {
            count: history.decisions_keep,
            age_s: history.decisions_keep_days.saturating_mul(86_400),
        },
        kms_every_s: history.decisions_kms_every_s,
        max_evidence: MAX_EVIDENCE,
    };
    let recorder = app
        .authority
        .record(app.chain.clone(), Arc::clone(&app.clock), config)?;
    let _ = app.filed.set(Arc::clone(recorder.counts()));
    Some(recorder)
}

/// Starts the audit trail, where there is a chain to read it from.
pub(super) fn audit(app: &App) -> Option<Audit> {
    let from = u64::try_from(app.config.history.from_block).ok();
    let audit = app.authority.audit(app.chain.clone(), from)?;
    let _ = app.audited.set(audit.status());
    Some(audit)
}

pub(super) async fn open_root(config: &Config, td: &Arc<dyn Td>) -> Result<Vec<EpochKeys>, StartError> {
    let (config, td) = (config.clone(), Arc::clone(td));
    let opened = tokio::task::spawn_blocking(move || root::open(&config, &*td)).await;
    Ok(opened.map_err(|error| io_error("root file".to_owned())(io::Error::other(error)))??)
}

pub(super) fn own_evidence(config: &Config, td: &Arc<dyn Td>) -> Result<OwnEvidence, StartError> {
    let path = &config.td.image_proof_file;
    let image_proof = if path.as_os_str().is_empty() {
        Vec::new()
    } else {
        std::fs::read(path).map_err(io_error(format!("td.image_proof_file {}", path.display())))?
    };
    Ok(OwnEvidence {
        td: Arc::clone(td),
        image_proof,
        seed: config.td.seed()?,
    })
}

pub(super) fn app(
    config: Config,
    deps: Deps,
    store: Store,
    authority: Arc<dyn Authority>,
    epochs: Epochs,
    log: ReleaseLog,
) -> Result<App, StartError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(App {
        authority,
        challenges: Challenges::new(&Zeroizing::new(rand::random())),
        epochs,
        verifier: Verifier::new(CERTIFICATIONS),
        collateral: Arc::new(collateral(&config.collateral, &store)?),
        reader: LogReader::new(&store),
        chain: chain_store(&config, &store),
        filed: OnceLock::new(),
        audited: OnceLock::new(),
        store,
        log,
        limits: Limits::new(&config.limits),
        metrics: Metrics::new().map_err(|error| StartError::Metrics(error.to_string()))?,
        in_flight: Semaphore::new(config.server.max_in_flight),
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
        cpu: Arc::new(Semaphore::new(cores)),
        standing: StandingCell::default(),
        clock: deps.clock,
        draining: AtomicBool::new(false),
        database_up: AtomicBool::new(false),
        config,
    })
}

pub(crate) fn collateral(section: &CollateralConfig, store: &Store) -> Result<CollateralCache, StartError> {
    let root_crl = (!section.root_crl_url.is_empty())
        .then(|| Url::parse(&section.root_crl_url))
        .transpose()?;
    let timeout = Duration::from_millis(section.request_timeout_ms);
    let client = PcsClient::new(&Url::parse(&section.pcs_url)?, root_crl.as_ref(), timeout)?;
    let floors = FloorStore::new(store.clone());
    CollateralCache::new(
        client,
        &section.cache_dir,
        floors,
        section.refresh_before_s,
        section.refresh_every_s,
    )
    .map_err(io_error(format!(
        "collateral.cache_dir {}",
        section.cache_dir.display()
    )))
}

pub(super) fn io_error(what: String) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { what, source }
}

/// Signs tree heads with the log key of the newest epoch; verifies with those of all.
pub(super) struct HeadSigner {
    pub(super) log_keys: Vec<[u8; 32]>,
    pub(super) keys: Arc<EpochKeys>,
    pub(super) clock: Arc<dyn Clock>,
}

impl TreeSigner for HeadSigner {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.keys.sign_log(bytes)
    }
    fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.log_keys
            .iter()
            .any(|key| kms_keys::verify_log(key, bytes, signature).is_ok())
    }
    fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// Keeps what `/readyz` says of the database current.
pub(super) async fn watch_database(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let is_up = tokio::select! {
            is_up = app.store.is_up() => is_up,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if app.database_up.swap(is_up, Ordering::Relaxed) != is_up {
            tracing::info!(is_up, "database");
        }
        tokio::select! {
            () = tokio::time::sleep(DATABASE_CHECK) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
}

pub(super) async fn upkeep(
    app: Arc<App>,
    keys: Arc<EpochKeys>,
    certificate: Arc<NodeCertificate>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(UPKEEP);
    let mut renew =
        tokio::time::interval_at(tokio::time::Instant::now() + RENEW_CERTIFICATE, RENEW_CERTIFICATE);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                app.metrics.upkeep();
                app.limits.forget_silent();
            }
            _ = renew.tick() => {
                if let Err(error) = certificate.renew(&keys, &app.config.server.names, app.clock.now()) {
                    tracing::error!(%error, "the node's certificate is not renewed");
                }
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
}
