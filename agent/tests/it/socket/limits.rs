//! What the socket refuses, and that refusing costs others nothing.

use super::support::{Answer, Boot, Instance, Mode, exchange, post, read_answer};
use agent::socket::{Method, SocketKind, bind, limits, parse};
use kms_types::{EventLogEntry, ReportData};
use proptest::prelude::*;
use serde_json::json;
use soft_td::SoftTd;
use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use td_quote::{Td, TdError};
use tokio::{io::AsyncWriteExt, net::UnixStream};
use zeroize::Zeroizing;

fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["code"], code);
}

#[tokio::test]
async fn unknown_methods_are_404_and_other_verbs_405() {
    let instance = Instance::start().await;
    for path in [
        "Nothing",
        "prpc/",
        "getkey",
        "a/GetKey",
        "prpc/Tappd.DeriveKey",
        "-.GetKey",
        ".GetKey",
    ] {
        is(&post(&instance.dstack, path, "{}").await, 404, "not_found");
    }
    let answer = exchange(&instance.dstack, b"PUT /GetKey HTTP/1.1\r\nhost: d\r\n\r\n").await;
    is(&answer, 405, "method_not_allowed");
    for method in Method::ALL {
        let name = format!("prpc/Tappd.{}", method.as_str());
        assert_ne!(post(&instance.tappd, &name, "{}").await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn malformed_requests_are_400_and_say_what_was_expected() {
    let instance = Instance::start().await;
    for (method, body) in [
        ("GetKey", "[]"),
        ("GetKey", "{"),
        ("GetKey", r#"{"path":1}"#),
        ("GetKey", r#"{"path":"a","path":"b"}"#),
        ("GetKey", r#"{"algorithm":"rsa"}"#),
        ("GetQuote", r#"{"report_data":"abc"}"#),
        ("GetQuote", r#"{"report_data":"zz"}"#),
        ("Sign", r#"{"algorithm":"secp256k1_prehashed","data":"00"}"#),
        ("Sign", r#"{"algorithm":"","data":"00"}"#),
        (
            "Verify",
            r#"{"algorithm":"ed25519","data":"","signature":"00","public_key":"00"}"#,
        ),
        (
            "Verify",
            r#"{"algorithm":"secp256k1","data":"","signature":"","public_key":""}"#,
        ),
        ("EmitEvent", "{}"),
    ] {
        let answer = post(&instance.dstack, method, body).await;
        is(&answer, 400, "malformed");
        assert!(
            answer.json()["error"].as_str().unwrap().contains("expected"),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn g8_bodies_heads_and_fields_are_bounded() {
    let instance = Instance::start().await;
    // Declared too long: refused although not one byte of it comes.
    let declared = format!(
        "POST /Sign HTTP/1.1\r\nhost: d\r\ncontent-length: {}\r\n\r\n",
        limits::MAX_BODY + 1
    );
    is(
        &exchange(&instance.dstack, declared.as_bytes()).await,
        413,
        "too_large",
    );
    // Not declared: refused once it is above the bound.
    let mut chunked = b"POST /Sign HTTP/1.1\r\nhost: d\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..5 {
        chunked.extend_from_slice(b"4000\r\n");
        chunked.extend_from_slice(&[b' '; 0x4000]);
        chunked.extend_from_slice(b"\r\n");
    }
    is(&exchange(&instance.dstack, &chunked).await, 413, "too_large");
    let mut many = String::from("GET /Version HTTP/1.1\r\nhost: d\r\n");
    for index in 0..=limits::MAX_HEADERS {
        many.push_str(&format!("x-{index}: 1\r\n"));
    }
    let answer = exchange(&instance.dstack, format!("{many}\r\n").as_bytes()).await;
    assert_eq!(answer.status, 431);
    let long = format!(
        "GET /Version HTTP/1.1\r\nhost: d\r\nx: {}\r\n\r\n",
        "a".repeat(3 * limits::MAX_HEAD)
    );
    assert_eq!(exchange(&instance.dstack, long.as_bytes()).await.status, 431);
    let path = "p".repeat(limits::MAX_KEY_PATH + 1);
    instance
        .refused("GetKey", json!({ "path": path }), 413, "too_large")
        .await;
    instance
        .refused("GetKey", json!({ "purpose": path }), 413, "too_large")
        .await;
    let names: Vec<String> = (0..17).map(|n| format!("n{n}.example")).collect();
    instance
        .refused("GetTlsKey", json!({ "alt_names": names }), 400, "malformed")
        .await;
}

#[tokio::test]
async fn g8_an_app_records_no_boot_event_and_nothing_before_the_boot_is_done() {
    let instance = Instance::start().await;
    let before = instance.td.rtmr3();
    for name in [
        "app-id",
        "compose-hash",
        "system-ready",
        "host-config",
        "kedge-lease",
        "",
        "a:b",
        "a\nb",
    ] {
        instance
            .refused(
                "EmitEvent",
                json!({ "event": name, "payload": "" }),
                400,
                "malformed",
            )
            .await;
    }
    let long = "n".repeat(limits::MAX_EVENT_NAME + 1);
    instance
        .refused("EmitEvent", json!({ "event": long }), 400, "malformed")
        .await;
    let payload = "00".repeat(limits::MAX_EVENT_PAYLOAD + 1);
    instance
        .refused(
            "EmitEvent",
            json!({ "event": "a", "payload": payload }),
            413,
            "too_large",
        )
        .await;
    assert_eq!(instance.td.rtmr3(), before);
    let booting = Instance::with(Boot::Unfinished, Mode::Kms).await;
    booting
        .refused("EmitEvent", json!({ "event": "a" }), 503, "not_ready")
        .await;
}

#[tokio::test]
async fn g8_an_app_cannot_fill_the_log_verifiers_read() {
    let instance = Instance::start().await;
    let boot = instance.td.event_log().unwrap().len();
    let payload = "00".repeat(limits::MAX_EVENT_PAYLOAD);
    let mut taken = 0;
    let refused = loop {
        let answer = post(
            &instance.dstack,
            "EmitEvent",
            &json!({ "event": "large", "payload": payload }).to_string(),
        )
        .await;
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
    };
    is(&refused, 400, "event_log_full");
    assert_eq!(
        taken,
        limits::MAX_APP_EVENT_BYTES / (limits::MAX_EVENT_PAYLOAD + 5)
    );
    // A small one still fits: the bound is on bytes.
    instance.call("EmitEvent", json!({ "event": "small" })).await;
    for index in taken + 1..limits::MAX_APP_EVENTS {
        instance.td.extend("filler", &[(index % 251) as u8]).unwrap();
    }
    let error = instance
        .refused("EmitEvent", json!({ "event": "x" }), 400, "event_log_full")
        .await;
    assert!(error.contains("512"), "{error}");
    assert_eq!(
        instance.td.event_log().unwrap().len(),
        boot + limits::MAX_APP_EVENTS
    );
}

#[tokio::test]
async fn g8_quotes_are_rationed_and_keys_are_not() {
    let instance = Instance::start().await;
    let mut refused = None;
    for _ in 0..10 * limits::QUOTE_BURST {
        let answer = post(&instance.dstack, "GetQuote", "{}").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    is(&refused.expect("quotes without end"), 429, "rate_limited");
    instance.call("GetKey", json!({})).await;
    instance.call("Info", json!({})).await;
}

/// A TD that stands still until it is let go, and counts who is inside at once.
struct Slow {
    td: Arc<SoftTd>,
    held: Mutex<bool>,
    go: Condvar,
    inside: AtomicUsize,
    together: AtomicUsize,
}

impl Slow {
    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.go.notify_all();
    }
}

impl Td for Slow {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.together.fetch_max(inside, Ordering::SeqCst);
        let mut held = self.held.lock().unwrap();
        while *held {
            held = self.go.wait(held).unwrap();
        }
        drop(held);
        let quote = self.td.quote(report_data);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        quote
    }
    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        self.td.extend(name, payload)
    }
    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        self.td.event_log()
    }
    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        self.td.sealing_key(context)
    }
}

async fn slow() -> (Arc<Slow>, Instance) {
    let td = Instance::start().await.td;
    let slow = Arc::new(Slow {
        td: td.clone(),
        held: Mutex::new(false),
        go: Condvar::new(),
        inside: AtomicUsize::new(0),
        together: AtomicUsize::new(0),
    });
    let instance = Instance::over(td, slow.clone(), Mode::Kms).await;
    (slow, instance)
}

#[tokio::test]
async fn g8_one_at_a_time_asks_the_td_and_the_line_has_an_end() {
    let (slow, instance) = slow().await;
    slow.hold(true);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..limits::MAX_WAITING + 4 {
        let socket = instance.dstack.clone();
        calls.spawn(async move { post(&socket, "GetQuote", "{}").await });
    }
    // There are four places too few, and the TD answers nobody yet.
    for _ in 0..4 {
        is(&calls.join_next().await.unwrap().unwrap(), 503, "busy");
    }
    // Keys need no TD.
    instance.call("GetKey", json!({ "path": "meanwhile" })).await;
    slow.hold(false);
    let answers: Vec<u16> = calls
        .join_all()
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    assert!(answers.contains(&200), "{answers:?}");
    assert_eq!(slow.together.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn g8_a_turn_that_does_not_come_is_not_waited_for() {
    let (slow, instance) = slow().await;
    slow.hold(true);
    let socket = instance.dstack.clone();
    let first = tokio::spawn(async move { post(&socket, "GetQuote", "{}").await });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while slow.inside.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    is(&post(&instance.dstack, "Info", "{}").await, 503, "busy");
    slow.hold(false);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(post(&instance.dstack, "Info", "{}").await.status, 200);
}

/// A TD whose device fails.
struct Broken(Arc<SoftTd>, AtomicBool);

impl Td for Broken {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        // The first quote is the agent's own, when it starts.
        if self.1.swap(true, Ordering::SeqCst) {
            return Err(TdError::Remote {
                message: "the device is gone".to_owned(),
            });
        }
        self.0.quote(report_data)
    }
    fn extend(&self, _: &str, _: &[u8]) -> Result<EventLogEntry, TdError> {
        Err(TdError::Unsupported { what: "extend" })
    }
    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        self.0.event_log()
    }
    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        self.0.sealing_key(context)
    }
}

#[tokio::test]
async fn a_td_that_fails_is_not_a_denial() {
    let td = Instance::start().await.td;
    let instance = Instance::over(
        td.clone(),
        Arc::new(Broken(td, AtomicBool::new(false))),
        Mode::Kms,
    )
    .await;
    let error = instance
        .refused("GetQuote", json!({}), 503, "td_unavailable")
        .await;
    assert!(error.contains("the device is gone"), "{error}");
    instance
        .refused("EmitEvent", json!({ "event": "a" }), 503, "td_unavailable")
        .await;
}

#[tokio::test]
async fn g8_connections_are_bounded_and_come_free_again() {
    let instance = Instance::start().await;
    let mut held = Vec::new();
    for _ in 0..limits::MAX_CONNECTIONS {
        let mut stream = UnixStream::connect(&instance.dstack).await.unwrap();
        stream
            .write_all(b"GET /Version HTTP/1.1\r\nhost: d\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read_answer(&mut stream).await.status, 200);
        held.push(stream);
    }
    let answer = post(&instance.dstack, "Version", "{}").await;
    is(&answer, 503, "too_busy");
    assert!(answer.head.contains("connection: close"));
    // The other socket has its own.
    assert_eq!(post(&instance.tappd, "Version", "{}").await.status, 200);
    held.clear();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while post(&instance.dstack, "Version", "{}").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn a_stopped_agent_finishes_what_it_began() {
    let (slow, mut instance) = slow().await;
    slow.hold(true);
    let socket = instance.dstack.clone();
    let call = tokio::spawn(async move { post(&socket, "GetQuote", "{}").await });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while slow.inside.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    instance.stop();
    slow.hold(false);
    assert_eq!(call.await.unwrap().status, 200);
    for server in instance.servers.drain(..) {
        server.await.unwrap();
    }
    assert!(UnixStream::connect(&instance.dstack).await.is_err());
}

#[tokio::test]
async fn a_path_is_taken_only_when_nobody_answers_there() {
    let instance = Instance::start().await;
    assert!(
        bind(&instance.dstack)
            .unwrap_err()
            .to_string()
            .contains("a running agent")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    std::fs::write(&path, "not a socket").unwrap();
    assert!(bind(&path).unwrap_err().to_string().contains("another file"));
    std::fs::remove_file(&path).unwrap();
    drop(bind(&path).unwrap());
    bind(&path).unwrap();
}

proptest! {
    #[test]
    fn any_request_is_a_call_or_refused(
        verb in prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
        method in prop_oneof![
            proptest::sample::select(Method::ALL).prop_map(|m| format!("/{}", m.as_str())),
            "[/.a-zA-Z]{0,40}"
        ],
        query in "[a-z_&=%+0-9]{0,80}",
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "\\{(\"(path|purpose|data|event|payload|report_data|alt_names)\":(\"[0-9a-fx]{0,9}\"|1|null|\\[\\]),?){0,3}\\}".prop_map(String::into_bytes)
        ],
    ) {
        for socket in [SocketKind::Dstack, SocketKind::Tappd] {
            if let Err(error) = parse(socket, verb, &method, &query, &body) {
                prop_assert!(error.status().is_client_error(), "{error}");
            }
        }
    }

    #[test]
    fn get_and_post_mean_the_same(path in "\\PC{0,40}", purpose in "\\PC{0,40}") {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("path", &path)
            .append_pair("purpose", &purpose)
            .finish();
        let body = json!({ "path": path, "purpose": purpose }).to_string();
        let got = parse(SocketKind::Dstack, "GET", "/GetKey", &query, b"").unwrap();
        let posted = parse(SocketKind::Dstack, "POST", "/GetKey", "", body.as_bytes()).unwrap();
        prop_assert_eq!(got, posted);
    }
}
