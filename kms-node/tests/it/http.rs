//! The edge: oversize, slow, malformed, unknown.

use crate::support::{World, client::outcome};
use kms_wire::{MAX_BODY, ProblemCode};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

async fn code(response: reqwest::Response) -> ProblemCode {
    outcome::<serde_json::Value>(response).await.unwrap_err().code
}

async fn raw(
    world: &World,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(world.identity.ca_certificate.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(world.node().addr()).await?;
    let name = ServerName::try_from("kms.kedge.internal").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[tokio::test]
async fn tls_1_2_is_refused() {
    let world = World::start().await;
    assert!(raw(&world, TLS13).await.is_ok());
    assert!(raw(&world, &[&rustls::version::TLS12]).await.is_err());
}

#[tokio::test]
async fn q8_oversized_bodies_are_refused_before_they_are_read() {
    let world = World::start().await;
    let client = world.client();
    let url = format!("{}/v1/app-keys", client.base);
    let post = |body: reqwest::Body| {
        client
            .http
            .post(&url)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let declared = post(vec![b' '; MAX_BODY + 1].into()).await;
    if let Ok(response) = declared {
        assert_eq!(code(response).await, ProblemCode::TooLarge);
    }
    // Only the length is declared; nothing of the body is ever sent.
    let mut stream = raw(&world, TLS13).await.unwrap();
    let head = format!(
        "POST /v1/app-keys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        MAX_BODY + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    let response = client
        .http
        .post(format!("{}/v1/challenges", client.base))
        .body(vec![b'x'; 65])
        .send()
        .await;
    assert_eq!(
        code(response.unwrap()).await,
        ProblemCode::TooLarge,
        "a challenge needs no body"
    );
}

#[tokio::test]
async fn q8_fields_above_their_bounds_are_refused() {
    use crate::support::app_boot;
    use kms_types::{EventLogEntry, ReportTag};
    let world = World::start().await;
    let client = world.client();
    let boot = app_boot(1, 1);
    let asking = client
        .evidence(&world, &world.td(&boot), boot.instance_seed, ReportTag::Release)
        .await;
    let good = serde_json::to_value(&asking.evidence).unwrap();
    let event = EventLogEntry::runtime("x", b"").unwrap();
    let changes: [(&str, serde_json::Value); 6] = [
        ("quote", "00".repeat(16 * 1024 + 1).into()),
        ("vm_config", "x".repeat(64 * 1024 + 1).into()),
        ("image_proof", "00".repeat(2000).into()),
        ("challenge", "00".repeat(63).into()),
        ("hpke_public_key", "00".repeat(31).into()),
        ("event_log", serde_json::to_value(vec![event; 1025]).unwrap()),
    ];
    for (field, value) in changes {
        let mut evidence = good.clone();
        evidence[field] = value;
        let response = client.post("/v1/app-keys", &evidence).await;
        assert_eq!(code(response).await, ProblemCode::Malformed, "{field}");
    }
    client.app_keys(&asking.evidence).await.unwrap();
}

#[tokio::test]
async fn malformed_requests_get_problem_documents() {
    let world = World::start().await;
    let client = world.client();
    let post = |path: &str, kind: &str, body: &'static str| {
        client
            .http
            .post(format!("{}{path}", client.base))
            .header("content-type", kind)
            .body(body)
            .send()
    };
    for (kind, body) in [
        ("application/json", "{"),
        ("application/json", "{}"),
        ("application/json", "[]"),
        ("application/json", "{\"challenge\": 5}"),
        ("text/plain", "{}"),
    ] {
        let response = post("/v1/app-keys", kind, body).await.unwrap();
        assert_eq!(code(response).await, ProblemCode::Malformed, "{kind} {body}");
    }
    for (path, expected) in [
        ("/", ProblemCode::NotFound),
        ("/v1/nothing", ProblemCode::NotFound),
        ("/v1/kms-keys", ProblemCode::NotFound),
        ("/v1/apps/xyz/env-public-key", ProblemCode::Malformed),
        ("/v1/log/inclusion", ProblemCode::Malformed),
        ("/v1/log/inclusion?index=0&tree_size=1", ProblemCode::NotFound),
        ("/v1/log/inclusion?index=-1&tree_size=1", ProblemCode::Malformed),
        ("/v1/log/entries?start=0&no_such=1", ProblemCode::Malformed),
        ("/v1/log/head", ProblemCode::NotFound),
        ("/v1/log/consistency?first=0&second=0", ProblemCode::NotFound),
        ("/v1/policy/decisions?start=-1", ProblemCode::Malformed),
        ("/v1/policy/decisions?app_id=0x12", ProblemCode::Malformed),
        ("/v1/policy/decisions/one/evidence", ProblemCode::Malformed),
        ("/v1/policy/decisions/7/evidence", ProblemCode::NotFound),
        (
            "/v1/policy/decisions/18446744073709551615/evidence",
            ProblemCode::NotFound,
        ),
    ] {
        assert_eq!(code(client.get(path).await).await, expected, "{path}");
    }
    let response = client.get("/v1/app-keys").await;
    assert_eq!(response.status(), 405);
    assert_eq!(code(response).await, ProblemCode::Malformed);
}

#[tokio::test]
async fn k6_slow_heads_and_bodies_are_cut_off() {
    let world = World::with("[server]\nread_timeout_ms = 300").await;
    let mut head = raw(&world, TLS13).await.unwrap();
    head.write_all(b"POST /v1/app-keys HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), head.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "a head that does not end is cut off");

    let mut body = raw(&world, TLS13).await.unwrap();
    let text = "POST /v1/app-keys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    body.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(5), body.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 400") && text.contains("time limit"),
        "{text}"
    );

    let mut silent = TcpStream::connect(world.node().addr()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut [0; 16])).await;
    assert!(ended.is_ok(), "a handshake that does not begin is cut off");
}

#[tokio::test]
async fn k6_connections_above_the_bound_are_closed() {
    let world = World::with("[server]\nmax_connections = 4").await;
    let mut open = Vec::new();
    let refused = loop {
        match raw(&world, TLS13).await {
            Ok(stream) => open.push(stream),
            Err(_) => break true,
        }
        if open.len() > 8 {
            break false;
        }
    };
    assert!(refused && open.len() <= 4, "{} open", open.len());
}

#[tokio::test]
async fn k6_connections_without_a_request_end_and_do_not_starve_another() {
    let settings = "[server]\nmax_connections = 8\nmax_connections_per_peer = 4\nread_timeout_ms = 2000";
    let world = World::with(settings).await;
    let mut silent = Vec::new();
    while let Ok(stream) = raw(&world, TLS13).await {
        silent.push(stream);
        assert!(silent.len() <= 4, "more than one peer may hold");
    }
    // Another address of the loopback network is another peer.
    let other = crate::support::client::https(&world.identity)
        .local_address(std::net::IpAddr::from([127, 0, 0, 2]))
        .build()
        .unwrap();
    let answer = other
        .get(format!("https://{}/healthz", world.node().addr()))
        .send();
    assert_eq!(answer.await.unwrap().status(), 200);
    for mut stream in silent {
        let end = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 16])).await;
        assert!(
            !matches!(end, Err(_) | Ok(Ok(1..))),
            "a silent connection is closed: {end:?}"
        );
    }
    assert_eq!(world.client().get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn k6_http2_peer_that_only_keeps_alive_is_closed() {
    let world = World::with("[server]\nidle_timeout_ms = 300").await;
    let client = world.client();
    client.get("/healthz").await;
    // The client answers pings and keeps its connection; only the node can end it.
    let open = async {
        loop {
            let mut only = client.get("/metrics").await.text().await.unwrap();
            only.retain(|c| c != '\r');
            if only.contains("kedge_kms_connections 1\n") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), open).await.unwrap();
    let fresh = crate::support::client::https(&world.identity)
        .http1_only()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let closed = async {
        loop {
            let url = format!("{}/metrics", client.base);
            let text = fresh.get(url).send().await.unwrap().text().await.unwrap();
            if text.contains("kedge_kms_connections 1\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .unwrap();
}

#[tokio::test]
async fn k6_peer_above_its_rate_is_refused_and_health_is_not() {
    let world = World::with("[limits]\npeer_per_s = 1\npeer_burst = 3").await;
    let client = world.client();
    let mut last = ProblemCode::Internal;
    for _ in 0..4 {
        let response = client.get("/v1/log/head").await;
        last = code(response).await;
    }
    assert_eq!(last, ProblemCode::RateLimited);
    assert_eq!(client.get("/healthz").await.status(), 200);
    assert_eq!(client.get("/readyz").await.status(), 200);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(client.get("/metrics").await.status().as_u16());
    }
    assert!(statuses.contains(&429), "metrics cost work: {statuses:?}");
}

#[tokio::test]
async fn both_http_versions_answer_and_metrics_count() {
    let world = World::start().await;
    let client = world.client();
    assert_eq!(client.get("/v1/meta").await.version(), reqwest::Version::HTTP_2);
    let http1 = crate::support::client::https(&world.identity)
        .http1_only()
        .build()
        .unwrap();
    let response = http1
        .get(format!("{}/v1/meta", client.base))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.version(), response.status().as_u16()),
        (reqwest::Version::HTTP_11, 200)
    );
    let boot = crate::support::app_boot(1, 1);
    let tag = kms_types::ReportTag::Release;
    let asking = client
        .evidence(&world, &world.td(&boot), boot.instance_seed, tag)
        .await;
    client.app_keys(&asking.evidence).await.unwrap();
    let metrics = client.get("/metrics").await.text().await.unwrap();
    for line in [
        "kedge_kms_requests_total{route=\"/v1/meta\",status=\"200\"} 2",
        "kedge_kms_stage_seconds_count{stage=\"decode\"} 1",
        "kedge_kms_node_allowed 1",
        "kedge_kms_chain_head_number 100",
        "kedge_kms_chain_connected 1",
        "kedge_kms_chain_endpoint_healthy{endpoint=\"https://one.example\"} 1",
        "kedge_kms_chain_endpoint_agrees{endpoint=\"https://two.example\"} 0",
        "kedge_kms_chain_endpoint_lies_total{endpoint=\"https://two.example\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_node_that_is_ready_says_which_endpoint_of_the_chain_is_not() {
    let world = World::start().await;
    let answer = world.client().get("/readyz").await;
    assert_eq!(answer.status(), 200);
    let expected = "ready\ndegraded: https://two.example: latest block: HTTP status 429\n";
    assert_eq!(answer.text().await.unwrap(), expected);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_frees_the_port() {
    let mut world = World::start().await;
    let address = world.node().addr();
    let mut idle = raw(&world, TLS13).await.unwrap();
    world.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    world.run().await;
    world.until_ready().await;
}

#[tokio::test]
async fn k6_large_bodies_in_work_are_bounded() {
    let world = World::start().await;
    let head = "POST /v1/app-keys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n{";
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut stream = raw(&world, TLS13).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    // All 32 are being read once one more is refused.
    let refused = async {
        loop {
            let mut stream = raw(&world, TLS13).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = vec![0; 4096];
            let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut answer)).await;
            if let Ok(Ok(read)) = read {
                return String::from_utf8_lossy(&answer[..read]).into_owned();
            }
            held.push(stream);
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(5), refused)
        .await
        .unwrap();
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("busy"),
        "{text}"
    );
    let client = world.client();
    client.challenge().await;
}
