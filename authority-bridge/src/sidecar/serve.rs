//! Accepts connections: HTTP/1.1 in the clear, bounded in number and in the time a request head may take; drains on stop.

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServeLimits {
    pub(super) connections: usize,
    pub(super) read_timeout: Duration,
    pub(super) drain_timeout: Duration,
}

/// Request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;

/// Serves until `stop` turns true, then lets requests under way finish.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    connections: metrics::Gauge,
    mut stop: watch::Receiver<bool>,
) {
    let builder = builder(limits.read_timeout);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: give the connections that end a moment.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // Above the bound a connection is closed at once; waiting ones would take memory too.
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let served = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let served = graceful.watch(served);
        let connections = connections.clone();
        tokio::spawn(async move {
            connections.increment(1.0);
            if let Err(error) = served.await {
                tracing::debug!(error, "connection ended");
            }
            connections.decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: they did not finish within the drain timeout");
    }
}

fn builder(read_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    // A peer that sends its request byte by byte, or none, must not hold a connection.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
}
