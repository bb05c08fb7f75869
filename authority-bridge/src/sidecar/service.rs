//! One running service: starts its parts in order, stops them in the other.

use super::{
    app::App,
    config::SidecarConfig,
    floor::WatchedFloor,
    metrics::Metrics,
    routes,
    serve::{ServeLimits, serve},
};
use crate::{Bridge, BridgeError, Clock, store::StoreError};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// How often the floor is looked at and metrics are folded.
const UPKEEP: Duration = Duration::from_secs(1);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database does not serve.
    #[error("database.url: it does not serve")]
    Store(#[from] StoreError),
    /// An endpoint serves another chain or contradicts what was final.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// A URL of the configuration cannot be read.
    #[error("configuration: {0}")]
    Url(#[from] url::ParseError),
    /// The address cannot be listened on.
    #[error("server.listen {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The recorder cannot be made.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// A running service.
pub struct Service {
    app: Arc<App>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts. A chain that cannot be reached yet is not an error: questions are answered `503` until it can.
    ///
    /// # Errors
    /// When the database, the chain's identity or the address forbid it.
    pub async fn start(config: SidecarConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let floor = Arc::new(WatchedFloor::open(&config).await?);
        let metrics = Metrics::new().map_err(|error| StartError::Metrics(error.to_string()))?;
        let server = &config.server;
        let address = server.listen;
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = ServeLimits {
            connections: server.max_connections,
            read_timeout: server.read_timeout(),
            drain_timeout: server.drain_timeout(),
        };
        let chain = config.chain.bridge()?;
        let (names, needed) = (chain.names(), chain.needed());
        let bridge = Bridge::start(chain, Arc::clone(&floor) as _, Arc::clone(&clock)).await?;
        let app = Arc::new(App {
            in_flight: Semaphore::new(config.server.max_in_flight),
            config,
            names,
            needed,
            bridge,
            floor,
            clock,
            metrics,
            draining: AtomicBool::new(false),
            gateway: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let router = routes::router(Arc::clone(&app));
        let connections = app.metrics.connections.clone();
        let tasks = vec![
            tokio::spawn(serve(listener, router, limits, connections, stopped.clone())),
            tokio::spawn(upkeep(Arc::clone(&app), stopped)),
        ];
        Ok(Self {
            app,
            address,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking requests, lets those under way finish, stops following the chain.
    pub async fn shutdown(self) {
        self.app.draining.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that panicked has stopped as well.
            let _ = task.await;
        }
        self.app.bridge.shutdown().await;
        self.app.floor.close().await;
    }
}

async fn upkeep(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        app.floor.look().await;
        app.metrics.upkeep();
    }
}
