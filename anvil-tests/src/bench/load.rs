//! Releases a second: requests made beforehand, fired over kept connections, each connection waiting for its answer before
//! it sends the next.

use super::{COMPOSE, evidence::Requester, percentile, rounded};
use crate::{Network, Node, process::Process};
use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use kms_keys::KMS_SERVER_NAME;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Map, Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Requests of one run. A challenge lives a minute, and making a request takes part of it.
const REQUESTS: usize = 12_000;
/// Connections.
const CONNECTIONS: usize = 24;
/// Requests before those that count.
const WARM_UP: usize = 500;

type Connection = SendRequest<Full<Bytes>>;

pub(super) async fn measure(network: &mut Network, figures: &mut Map<String, Value>) -> Result<()> {
    let app = network.create_app_for(COMPOSE).await?;
    network.finalize().await?;
    let requester = Arc::new(Requester::boot(network, app)?);
    let tls = Arc::new(tls(network.node()?)?);
    let port = network.node()?.port();
    let first = make(&requester, &tls, port, WARM_UP).await?;
    fire(&tls, port, first).await?;
    eprintln!("bench: making {REQUESTS} requests");
    let bodies = make(&requester, &tls, port, REQUESTS).await?;
    eprintln!("bench: firing them over {CONNECTIONS} connections");
    let before = node_process(network)?.cpu_time()?;
    let run = fire(&tls, port, bodies).await?;
    let spent = node_process(network)?.cpu_time()?.saturating_sub(before);
    let mut times: Vec<f64> = run.times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    let resident = node_process(network)?.resident_bytes()? as f64 / 1e6;
    figures.insert(
        "releases_per_s".to_owned(),
        rounded(REQUESTS as f64 / run.took.as_secs_f64()),
    );
    figures.insert("release_p50_ms".to_owned(), rounded(percentile(&mut times, 50.0)));
    figures.insert("release_p99_ms".to_owned(), rounded(percentile(&mut times, 99.0)));
    figures.insert("release_connections".to_owned(), json!(CONNECTIONS));
    figures.insert("release_requests".to_owned(), json!(REQUESTS));
    let each = spent.as_secs_f64() * 1e6 / REQUESTS as f64;
    figures.insert("node_cpu_us_per_release".to_owned(), rounded(each));
    figures.insert("node_rss_mb".to_owned(), rounded(resident));
    Ok(())
}

fn node_process(network: &mut Network) -> Result<&mut Process> {
    Ok(network.nodes().first_mut().context("node")?.process())
}

/// A client that accepts this node's KMS alone.
fn tls(node: &Node) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(
        CertificateDer::from_pem_slice(node.identity().ca_certificate.as_bytes())
            .context("CA certificate")?,
    )?;
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

async fn connect(tls: &Arc<ClientConfig>, port: u16) -> Result<Connection> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let stream = tokio_rustls::TlsConnector::from(tls.clone())
        .connect(ServerName::try_from(KMS_SERVER_NAME)?, stream)
        .await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Posts a body; the answer's body comes back with its status.
async fn post(connection: &mut Connection, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes)> {
    let request = Request::post(path)
        .header("host", KMS_SERVER_NAME)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// Fetches challenges and makes a request of each.
async fn make(
    requester: &Arc<Requester>,
    tls: &Arc<ClientConfig>,
    port: u16,
    count: usize,
) -> Result<Vec<Vec<u8>>> {
    let mut makers = Vec::new();
    for share in shares(count) {
        let (requester, mut connection) = (requester.clone(), connect(tls, port).await?);
        makers.push(tokio::spawn(async move {
            let mut bodies = Vec::with_capacity(share);
            for _ in 0..share {
                let (status, challenge) = post(&mut connection, "/v1/challenges", b"{}".to_vec()).await?;
                ensure!(status == StatusCode::OK, "challenge: {status}");
                bodies.push(requester.body(&challenge)?);
            }
            anyhow::Ok(bodies)
        }));
    }
    let mut bodies = Vec::with_capacity(count);
    for maker in makers {
        bodies.extend(maker.await??);
    }
    Ok(bodies)
}

struct Run {
    took: Duration,
    times: Vec<Duration>,
}

async fn fire(tls: &Arc<ClientConfig>, port: u16, bodies: Vec<Vec<u8>>) -> Result<Run> {
    let count = bodies.len();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(connect(tls, port).await?);
    }
    let bodies: Arc<Vec<std::sync::Mutex<Option<Vec<u8>>>>> = Arc::new(
        bodies
            .into_iter()
            .map(|body| std::sync::Mutex::new(Some(body)))
            .collect(),
    );
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut senders = Vec::new();
    for mut connection in connections {
        let (bodies, next) = (bodies.clone(), next.clone());
        senders.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some(slot) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let body = slot
                    .lock()
                    .ok()
                    .and_then(|mut body| body.take())
                    .context("taken twice")?;
                let sent = Instant::now();
                let (status, answer) = post(&mut connection, "/v1/app-keys", body).await?;
                if status != StatusCode::OK {
                    bail!("release: {status}: {}", String::from_utf8_lossy(&answer));
                }
                times.push(sent.elapsed());
            }
            Ok(times)
        }));
    }
    let mut times = Vec::with_capacity(count);
    for sender in senders {
        times.extend(sender.await??);
    }
    Ok(Run {
        took: begun.elapsed(),
        times,
    })
}

/// The whole, shared out over the connections.
fn shares(count: usize) -> impl Iterator<Item = usize> {
    (0..CONNECTIONS).map(move |index| count / CONNECTIONS + usize::from(index < count % CONNECTIONS))
}
