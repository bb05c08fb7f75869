//! Starts a node: store, keys, chain, log, listener; and stops it in the other order.

use crate::{
    app::App,
    authority::Authority,
    collateral::{CollateralCache, CollateralError, PcsClient},
    config::{Config, ConfigError, Seal},
    http::{self, ServeLimits},
    limits::Limits,
    log::{LogError, LogReader, ReleaseLog, TreeSigner},
    metrics::Metrics,
    root::{self, INTEL_ROOT, RootError},
    selfcheck::{self, OwnEvidence},
    standing::StandingCell,
    store::{FloorStore, Store, StoreError},
    tls::{self, NodeCertificate, TlsError},
};
use attestation::Verifier;
use authority_bridge::{Bridge, BridgeConfig, BridgeError, Clock};
use kms_keys::EpochKeys;
use kms_protocol::{Challenges, Epochs};
use kms_wire::UnixTime;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use td_quote::Td;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use url::Url;
use zeroize::Zeroizing;

/// Certifications of platforms that are remembered.
const CERTIFICATIONS: usize = 4096;
/// Requests near the largest size in work at once: some 75 MB.
const LARGE_BODIES: usize = 32;
/// How long a development node waits for the chain before it opens its root.
const CHAIN_WAIT: Duration = Duration::from_secs(30);
/// How often old state is let go.
const UPKEEP: Duration = Duration::from_secs(5);
const RENEW_CERTIFICATE: Duration = Duration::from_secs(86_400);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The chain.
    #[error("chain")]
    Chain(#[from] BridgeError),
    /// The release log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The collateral client.
    #[error(transparent)]
    Collateral(#[from] CollateralError),
    /// A file or a socket.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A URL that the checks let through.
    #[error("URL")]
    Url(#[from] url::ParseError),
    /// The instance seed.
    #[error("td.instance_seed")]
    Seed(#[from] kms_types::ParseBytesError),
    /// The metrics.
    #[error("metrics: {0}")]
    Metrics(String),
    /// A key file where none may be.
    #[error(
        "keys.seal = \"keyfile\" is for development networks, but the network at {contract} accepts Intel's root"
    )]
    NotDevelopment {
        /// Which network.
        contract: kms_types::ChainAddress,
    },
    /// No root.
    #[error("the root file holds no epoch")]
    NoEpoch,
}

/// What a node is given.
pub struct Deps {
    /// The TD it runs in.
    pub td: Arc<dyn Td>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Starts nodes.
#[derive(Debug)]
pub struct Node;

/// A node that serves.
pub struct RunningNode {
    address: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    log_writer: JoinHandle<()>,
}

impl Node {
    /// Starts a node that asks the chain in its configuration.
    ///
    /// # Errors
    /// When a part does not start; nothing is left running.
    pub async fn start(config: Config, deps: Deps) -> Result<RunningNode, StartError> {
        config.check()?;
        let store = open_store(&config).await?;
        let floors = Arc::new(FloorStore::new(store.clone(), config.chain.chain_id));
        let bridge = Bridge::start(bridge_config(&config)?, floors, Arc::clone(&deps.clock)).await?;
        if config.keys.seal == Seal::Keyfile {
            // K4: the file with the key lies beside the root, so the network must be proven to be for development first.
            bridge.ready(CHAIN_WAIT).await?;
        }
        Self::start_with(config, deps, store, Arc::new(bridge)).await
    }

    /// Starts a node that asks another authority. The release path is the same.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_with(
        config: Config,
        deps: Deps,
        store: Store,
        authority: Arc<dyn Authority>,
    ) -> Result<RunningNode, StartError> {
        config.check()?;
        if config.keys.seal == Seal::Keyfile && authority.network()?.attestation_roots.contains(&INTEL_ROOT) {
            return Err(StartError::NotDevelopment {
                contract: config.chain.contract,
            });
        }
        let epochs = Epochs::new(open_root(&config, &deps.td).await?);
        let keys = Arc::clone(epochs.newest_first().next().ok_or(StartError::NoEpoch)?);
        let own = own_evidence(&config, &deps.td)?;
        let signer = Arc::new(HeadSigner {
            keys: Arc::clone(&keys),
            clock: Arc::clone(&deps.clock),
        });
        let (log, log_writer) = ReleaseLog::start(store.clone(), signer).await?;
        let certificate = Arc::new(NodeCertificate::issue(
            &keys,
            &config.server.names,
            deps.clock.now(),
        )?);
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(Arc::clone(&certificate))?));
        let listener = TcpListener::bind(config.server.listen).await;
        let listener = listener.map_err(io_error(format!("listen on {}", config.server.listen)))?;
        let address = listener
            .local_addr()
            .map_err(io_error("address of the listener".to_owned()))?;
        let app = Arc::new(app(config, deps, store, authority, epochs, log)?);
        let (stop, stopped) = watch::channel(false);
        let limits = ServeLimits {
            connections: app.config.server.max_connections,
            read_timeout: app.config.server.read_timeout(),
            drain_timeout: Duration::from_millis(app.config.server.drain_timeout_ms),
        };
        let gauge = app.metrics.connections.clone();
        let router = http::router(Arc::clone(&app));
        let serving = tokio::spawn(http::serve(
            listener,
            acceptor,
            router,
            limits,
            gauge,
            stopped.clone(),
        ));
        let tasks = vec![
            tokio::spawn(selfcheck::run(Arc::clone(&app), own, stopped.clone())),
            tokio::spawn(upkeep(Arc::clone(&app), keys, certificate, stopped)),
        ];
        tracing::info!(%address, "listening");
        Ok(RunningNode {
            address,
            app,
            stop,
            serving,
            tasks,
            log_writer,
        })
    }
}

impl RunningNode {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it may release, and why not.
    pub fn standing(&self) -> Result<(), String> {
        match self.app.standing.get() {
            crate::standing::Standing::Allowed(_) => Ok(()),
            crate::standing::Standing::Not(why) => Err(why),
        }
    }

    /// Lets requests under way finish, then stops everything.
    pub async fn shutdown(self) {
        let Self {
            app,
            stop,
            serving,
            tasks,
            log_writer,
            ..
        } = self;
        app.draining.store(true, Ordering::Relaxed);
        stop.send_replace(true);
        for task in std::iter::once(serving).chain(tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the node failed");
            }
        }
        app.authority.stop().await;
        let store = app.store.clone();
        // The writer ends with the last handle to the log; a connection that was cut off may hold one a moment longer.
        drop(app);
        if tokio::time::timeout(UPKEEP, log_writer).await.is_err() {
            tracing::warn!("the log writer was still waiting for entries");
        }
        store.close().await;
        tracing::info!("stopped");
    }
}

async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let database = &config.database;
    Store::open(
        &database.url,
        database.max_connections,
        Duration::from_millis(database.timeout_ms),
    )
    .await
}

async fn open_root(config: &Config, td: &Arc<dyn Td>) -> Result<Vec<EpochKeys>, StartError> {
    let (config, td) = (config.clone(), Arc::clone(td));
    let opened = tokio::task::spawn_blocking(move || root::open(&config, &*td)).await;
    Ok(opened.map_err(|error| io_error("root file".to_owned())(io::Error::other(error)))??)
}

fn own_evidence(config: &Config, td: &Arc<dyn Td>) -> Result<OwnEvidence, StartError> {
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

fn app(
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
        collateral: Arc::new(collateral(&config, &store)?),
        reader: LogReader::new(&store),
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
        config,
    })
}

fn collateral(config: &Config, store: &Store) -> Result<CollateralCache, StartError> {
    let section = &config.collateral;
    let root_crl = (!section.root_crl_url.is_empty())
        .then(|| Url::parse(&section.root_crl_url))
        .transpose()?;
    let timeout = Duration::from_millis(section.request_timeout_ms);
    let client = PcsClient::new(&Url::parse(&section.pcs_url)?, root_crl.as_ref(), timeout)?;
    let floors = FloorStore::new(store.clone(), config.chain.chain_id);
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

fn bridge_config(config: &Config) -> Result<BridgeConfig, StartError> {
    let chain = &config.chain;
    let mut bridge = BridgeConfig::new(chain.chain_id, chain.contract, Url::parse(&chain.http)?);
    bridge.ws = (!chain.ws.is_empty())
        .then(|| Url::parse(&chain.ws))
        .transpose()?;
    bridge.max_head_age_s = chain.max_head_age_s;
    bridge.request_timeout = Duration::from_millis(chain.request_timeout_ms);
    bridge.poll_interval = Duration::from_millis(chain.poll_interval_ms);
    bridge.gas_limit = chain.gas_limit;
    bridge.development = chain.development;
    Ok(bridge)
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { what, source }
}

struct HeadSigner {
    keys: Arc<EpochKeys>,
    clock: Arc<dyn Clock>,
}

impl TreeSigner for HeadSigner {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.keys.sign_log(bytes)
    }
    fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

async fn upkeep(
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
