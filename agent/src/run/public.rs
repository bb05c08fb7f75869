//! The public page's connections. Anyone on the network may open one: their number, the time for a head and the time an answer may
//! stay unread are bounded, and one too many is closed unread.

use crate::socket::stream::Patient;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 128;
/// Time for a client to send a head, also between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a head.
const MAX_HEAD: usize = 16 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// Serves `listener` until the task is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "public page: a connection was not accepted");
                // Out of descriptors: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // G8: every connection is a descriptor; strangers must not take those the lease and the app need.
        let Ok(place) = room.clone().try_acquire_owned() else {
            continue;
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(Patient::new(stream)),
                TowerToHyperService::new(router.clone()),
            );
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "public page: a connection ended");
            }
        });
    }
}
