//! Starts a node: store, keys, chain, log, listener; and stops it in the other order.

mod error;
pub(crate) mod parts;

pub use error::StartError;
pub(crate) use parts::{height_floor, open_store};

use crate::{
    app::App,
    authority::Authority,
    config::{Config, Seal},
    http::{self, ServeLimits},
    log::ReleaseLog,
    root::INTEL_ROOT,
    selfcheck,
    store::Store,
    tls::{self, NodeCertificate},
};
use authority_bridge::audit::Audit;
use authority_bridge::{Bridge, Clock, Recorder};
use kms_protocol::Epochs;
use parts::{
    HeadSigner, UPKEEP, app, audit, io_error, open_root, own_evidence, recorder, upkeep, watch_database,
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use td_quote::Td;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// How long a development node waits for the chain before it opens its root.
const CHAIN_WAIT: Duration = Duration::from_secs(30);

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
    recorder: Option<Recorder>,
    audit: Option<Audit>,
}

impl Node {
    /// Starts a node that asks the chain in its configuration.
    ///
    /// # Errors
    /// When a part does not start; nothing is left running.
    pub async fn start(config: Config, deps: Deps) -> Result<RunningNode, StartError> {
        config.check()?;
        let store = open_store(&config).await?;
        let floors = Arc::new(height_floor(&config, &store));
        let bridge = Bridge::start(config.chain.bridge()?, floors, Arc::clone(&deps.clock)).await?;
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
        refuse_outside_development(&config, &*authority)?;
        let epochs = Epochs::new(open_root(&config, &deps.td).await?);
        let keys = Arc::clone(epochs.newest_first().next().ok_or(StartError::NoEpoch)?);
        let own = own_evidence(&config, &deps.td)?;
        let signer = Arc::new(HeadSigner {
            log_keys: epochs
                .newest_first()
                .map(|keys| keys.identity().log_public_key)
                .collect(),
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
        let recorder = recorder(&app);
        let audit = audit(&app);
        let (stop, stopped) = watch::channel(false);
        let limits = ServeLimits {
            connections: app.config.server.max_connections,
            connections_per_peer: app.config.server.max_connections_per_peer,
            idle_timeout: Duration::from_millis(app.config.server.idle_timeout_ms),
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
            tokio::spawn(watch_database(Arc::clone(&app), stopped.clone())),
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
            recorder,
            audit,
        })
    }
}

fn refuse_outside_development(config: &Config, authority: &dyn Authority) -> Result<(), StartError> {
    if !config.needs_development() {
        return Ok(());
    }
    // K4: what only a development network may have is not opened in another. Without a key file the chain may come later:
    // then the node's check of itself refuses.
    match authority.network() {
        Ok(network) if network.attestation_roots.contains(&INTEL_ROOT) => Err(StartError::NotDevelopment {
            contract: config.chain.contract,
        }),
        Err(error) if config.keys.seal == Seal::Keyfile => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl RunningNode {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it may release, and why not.
    ///
    /// # Errors
    /// Why it may not release, in words for the operator: not checked yet, its own quote refused, the chain's word against
    /// it or none.
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
            recorder,
            audit,
            ..
        } = self;
        app.draining.store(true, Ordering::Relaxed);
        stop.send_replace(true);
        for task in std::iter::once(serving).chain(tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the node failed");
            }
        }
        if let Some(recorder) = recorder {
            recorder.stop().await;
        }
        if let Some(audit) = audit {
            audit.shutdown().await;
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
