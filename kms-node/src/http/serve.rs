//! Accepts connections: TLS 1.3 alone, bounded in number (in all and a peer), in the time a handshake or a request head
//! may take, in idle time and in age; drains on stop.

use super::slots::Slots;
use axum::{Router, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;

/// Address of the peer, on every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServeLimits {
    pub(crate) connections: usize,
    pub(crate) connections_per_peer: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) drain_timeout: Duration,
}

/// Streams one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;
/// Request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// A connection this old takes no further requests.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Serves until `stop` turns true, then lets requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Router,
    limits: ServeLimits,
    connections: metrics::Gauge,
    mut stop: watch::Receiver<bool>,
) {
    let builder = Arc::new(builder(limits.read_timeout));
    let slots = Slots::new(limits.connections, limits.connections_per_peer, connections);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, most likely: give the connections that end a moment.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // K6: above a bound a connection is closed at once; waiting ones would take memory too.
        let Some(slot) = slots.take(peer.ip()) else {
            continue;
        };
        let (builder, tls, router, stop) = (Arc::clone(&builder), tls.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let Some(stream) = handshake(tls, stream, limits.read_timeout).await else {
                return;
            };
            attend(&builder, stream, (router, peer), limits, stop).await;
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout, slots.all_free()).await.is_err() {
        tracing::warn!("requests were cut off: they did not finish within the drain timeout");
    }
}

/// Requests of one connection in work, and how many it has had.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    in_work: usize,
    had: u64,
}

/// Serves one connection until it ends by itself or has to.
async fn attend(
    builder: &Builder<TokioExecutor>,
    stream: TlsStream<TcpStream>,
    (router, peer): (Router, SocketAddr),
    limits: ServeLimits,
    mut stop: watch::Receiver<bool>,
) {
    let (uses, used) = watch::channel(Use::default());
    let served = builder.serve_connection(TokioIo::new(stream), service(router, peer, Arc::new(uses)));
    let mut served = std::pin::pin!(served);
    let stopping = tokio::select! {
        ended = &mut served => {
            if let Err(error) = ended {
                tracing::debug!(error, "connection ended");
            }
            return;
        }
        () = has_to_end(used.clone(), limits) => false,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    served.as_mut().graceful_shutdown();
    let grace = async {
        let mut used = used;
        // The requests have bounds of their own; an answer nobody reads, or a peer that does not hang up, has this one.
        let _ = used.wait_for(|used| used.in_work == 0).await;
        tokio::time::sleep(limits.read_timeout).await;
    };
    tokio::select! {
        _ = served => {}
        () = grace => tracing::debug!(stopping, "connection cut off"),
    }
}

/// Returns once the connection sent no request in time, has been idle for too long, or is old.
async fn has_to_end(mut used: watch::Receiver<Use>, limits: ServeLimits) {
    let old = sleep_until(Instant::now() + MAX_AGE);
    let unused = async {
        loop {
            let now = *used.borrow_and_update();
            // K6: no bytes before the first request, or pings for ever after it, hold a slot of everyone's.
            let patience = match now {
                Use { in_work: 1.., .. } => None,
                Use { had: 0, .. } => Some(limits.read_timeout),
                Use { .. } => Some(limits.idle_timeout),
            };
            let changed = async {
                if used.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            match patience {
                None => changed.await,
                Some(patience) => {
                    if timeout(patience, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = old => {}
        () = unused => {}
    }
}

fn builder(read_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // K6: a peer that sends its request byte by byte must not hold a connection.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(read_timeout)
        .keep_alive_timeout(read_timeout);
    builder
}

async fn handshake(tls: TlsAcceptor, stream: TcpStream, patience: Duration) -> Option<TlsStream<TcpStream>> {
    stream.set_nodelay(true).ok()?;
    timeout(patience, tls.accept(stream)).await.ok()?.ok()
}

fn service(
    router: Router,
    peer: SocketAddr,
    uses: Arc<watch::Sender<Use>>,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Send
+ 'static {
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (router, using) = (router.clone(), Using::begin(&uses));
        async move {
            let _using = using;
            router.oneshot(request).await
        }
    })
}

/// A request in work, counted for its connection however it ends.
struct Using(Arc<watch::Sender<Use>>);

impl Using {
    fn begin(uses: &Arc<watch::Sender<Use>>) -> Self {
        uses.send_modify(|used| {
            used.in_work += 1;
            used.had += 1;
        });
        Self(Arc::clone(uses))
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.0.send_modify(|used| used.in_work -= 1);
    }
}
