//! Accepts connections: TLS 1.3 alone, bounded in number and in the time a handshake or a request head may take; drains
//! on stop.

use axum::{Router, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Address of the peer, on every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServeLimits {
    pub(crate) connections: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) drain_timeout: Duration,
}

/// Streams one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;
/// Request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;

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
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
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
        // K6: above the bound a connection is closed at once; waiting ones would take memory too.
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let service = service(router.clone(), peer);
        let (builder, tls, watcher) = (Arc::clone(&builder), tls.clone(), graceful.watcher());
        let open = Open::new(slot, connections.clone());
        tokio::spawn(async move {
            let _open = open;
            let Some(stream) = handshake(tls, stream, limits.read_timeout).await else {
                return;
            };
            let connection = builder
                .serve_connection(TokioIo::new(stream), service)
                .into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were cut off: they did not finish within the drain timeout");
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

async fn handshake(
    tls: TlsAcceptor,
    stream: TcpStream,
    timeout: Duration,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    stream.set_nodelay(true).ok()?;
    tokio::time::timeout(timeout, tls.accept(stream)).await.ok()?.ok()
}

fn service(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Send
+ 'static {
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    })
}

/// An open connection, counted.
struct Open {
    _slot: OwnedSemaphorePermit,
    gauge: metrics::Gauge,
}

impl Open {
    fn new(slot: OwnedSemaphorePermit, gauge: metrics::Gauge) -> Self {
        gauge.increment(1.0);
        Self { _slot: slot, gauge }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}
