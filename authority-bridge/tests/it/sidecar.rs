//! The webhook as its callers see it: the real program over real Anvil.

use crate::{
    fixture::{COMPOSE, Net, TestClock},
    legacy::Legacy,
    program::{AuthApiInfo, BootResponse, Program, body, command, config},
};
use authority_bridge::sidecar::{Service, SidecarConfig};
use hostile_rpc::{HostileRpc, Lie};
use kms_types::{AppId, BootInfo, ChainAddress};
use kms_wire::boot_auth::MAX_BODY;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    io::Read,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const APP: &str = "/bootAuth/app";
const KMS: &str = "/bootAuth/kms";

fn answer(value: Value) -> BootResponse {
    serde_json::from_value(value).unwrap()
}

async fn started() -> (Net, TempDir, Program) {
    let (net, folder) = (Net::settled().await, TempDir::new().unwrap());
    let program = Program::start(&net, net.network.kms_authority, &folder);
    program.ready(true).await;
    (net, folder, program)
}

#[tokio::test]
async fn an_app_is_allowed_until_revoked_and_denied_in_the_words_of_the_contract() {
    let (net, _folder, program) = started().await;
    let asked = body(&net.record().info);
    let (status, allowed) = program.post(APP, &asked).await;
    assert_eq!(status, StatusCode::OK, "{allowed}");
    let expected = json!({ "isAllowed": true, "gatewayAppId": "any", "reason": "" });
    assert_eq!(allowed, expected, "these fields and no other");

    net.revoke_compose(COMPOSE).await;
    let denied = program
        .until(APP, &asked, |status, answer| {
            assert_eq!(status, StatusCode::OK, "{answer}");
            answer["isAllowed"] == false
        })
        .await;
    let denied = answer(denied);
    assert_eq!(denied.reason, format!("compose_hash_not_allowed: {COMPOSE}"));
    assert_eq!(denied.gateway_app_id, "any");

    let mut stranger = net.record().info;
    stranger.app_id = AppId::new([9; 20]);
    let (status, denied) = program.post(APP, &body(&stranger)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer(denied).reason,
        format!("app_not_registered: {}", stranger.app_id)
    );
    let (status, denied) = program.post(KMS, &body(&net.record().info)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!answer(denied).is_allowed);
    assert!(program.terminate().success());
}

#[tokio::test]
async fn a_contract_of_version_1_alone_is_enough() {
    let net = Net::settled().await;
    let legacy = Legacy::deploy(&net).await;
    let folder = TempDir::new().unwrap();
    let program = Program::start(&net, legacy.kms, &folder);
    program.ready(true).await;
    let info = BootInfo {
        app_id: legacy.app,
        ..net.record().info
    };
    let (status, allowed) = program.post(APP, &body(&info)).await;
    assert_eq!(status, StatusCode::OK, "{allowed}");
    assert!(answer(allowed).is_allowed);
    let (_, denied) = program.post(KMS, &body(&info)).await;
    let expected = BootResponse {
        is_allowed: false,
        gateway_app_id: "legacy-gateway".to_owned(),
        reason: "Aggregated MR not allowed".to_owned(),
    };
    assert_eq!(answer(denied), expected);

    // A revocation by the app's own contract, several blocks on.
    let revoke = authority_contracts::abi::AppAuthority::removeComposeHashCall {
        composeHash: info.compose_hash.to_bytes().into(),
    };
    let app = ChainAddress::new(legacy.app.to_bytes());
    net.mine(2).await;
    net.owner.send("revoke", app, &revoke).await.unwrap();
    let denied = program
        .until(APP, &body(&info), |status, answer| {
            assert_eq!(status, StatusCode::OK, "{answer}");
            answer["isAllowed"] == false
        })
        .await;
    assert_eq!(answer(denied).reason, "Compose hash not allowed");

    // Of what it has not got, the contract's own silence is the answer.
    let folder = TempDir::new().unwrap();
    let bare = Program::start(&net, legacy.bare, &folder);
    bare.ready(true).await;
    let (status, allowed) = bare.post(APP, &body(&info)).await;
    assert_eq!(status, StatusCode::OK, "{allowed}");
    assert_eq!(
        allowed,
        json!({ "isAllowed": true, "gatewayAppId": "", "reason": "" })
    );
    let about: AuthApiInfo = bare.get("/").await.json().await.unwrap();
    assert_eq!((about.status.as_str(), about.gateway_app_id.as_str()), ("ok", ""));
}

#[tokio::test]
async fn the_client_of_a_dstack_kms_is_understood() {
    let (net, _folder, program) = started().await;
    // Its client joins URL and path whether or not the URL ends in a slash.
    let url = format!("{}/bootAuth/app", program.url);
    let client = reqwest::Client::new();
    let response = client
        .post(url)
        .json(&body(&net.record().info))
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success());
    assert!(response.json::<BootResponse>().await.unwrap().is_allowed);
    let about: AuthApiInfo = program.get("").await.json().await.unwrap();
    assert_eq!(about.status, "ok");
    assert_eq!(about.chain_id, 31337);
    assert_eq!(about.gateway_app_id, "any");
    let contract = about.kms_contract_addr.parse::<ChainAddress>().unwrap();
    assert_eq!(contract, net.network.kms_authority);
    assert!(about.app_implementation.parse::<ChainAddress>().is_ok());
    let whole: Value = program.get("/").await.json().await.unwrap();
    assert_eq!(whole["appAuthImplementation"], whole["appImplementation"]);
    let expected = net.anvil.endpoint();
    assert_eq!(whole["ethRpcUrl"], expected.trim_end_matches('/'));
}

#[tokio::test]
async fn malformed_bodies_are_400_and_name_each_field() {
    let (net, _folder, program) = started().await;
    let good = body(&net.record().info);
    let too_short = |digits: usize| Value::from("a".repeat(digits));
    let mut table = Vec::new();
    for (field, bytes) in [
        ("appId", 20),
        ("composeHash", 32),
        ("instanceId", 20),
        ("deviceId", 32),
        ("mrAggregated", 32),
        ("mrSystem", 32),
        ("osImageHash", 32),
    ] {
        for digits in [1, 2 * bytes - 2, 2 * bytes - 1, 2 * bytes + 1, 2 * bytes + 2, 96] {
            table.push((field, too_short(digits)));
        }
        table.push((field, Value::from("g".repeat(2 * bytes))));
        table.push((field, json!(5)));
        table.push((field, Value::Null));
        if field != "instanceId" {
            table.push((field, json!("")));
        }
    }
    table.push(("tcbStatus", json!("Whatever")));
    table.push(("tcbStatus", json!("U".repeat(5000))));
    table.push(("advisoryIds", json!("INTEL-SA-1")));
    table.push(("advisoryIds", json!(vec!["A"; 129])));
    table.push(("advisoryIds", json!(["A".repeat(65)])));
    for (field, value) in table {
        let mut asked = good.clone();
        asked[field] = value.clone();
        for path in [APP, KMS] {
            let (status, refused) = program.post(path, &asked).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{field} {value}: {refused}");
            assert_eq!(refused["code"], "malformed");
            assert_eq!(refused["isAllowed"], false);
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("{field}: expected ")), "{detail}");
            assert!(detail.len() < 400, "{detail}");
            assert!(!answer(refused).is_allowed);
        }
    }
    for missing in ["appId", "mrSystem", "tcbStatus", "advisoryIds"] {
        let mut asked = good.clone();
        asked.as_object_mut().unwrap().remove(missing);
        let (status, refused) = program.post(APP, &asked).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            refused["detail"].as_str().unwrap().starts_with(missing),
            "{refused}"
        );
    }
    let (status, allowed) = program.post(APP, &good).await;
    assert_eq!(
        (status, allowed["isAllowed"].clone()),
        (StatusCode::OK, true.into())
    );
}

#[tokio::test]
async fn bodies_and_connections_are_bounded() {
    let (net, _folder, program) = started().await;
    let good = body(&net.record().info);
    let cases = [
        (String::new(), 400),
        ("[]".to_owned(), 400),
        (
            format!("{{\"more\":{}{}}}", "[".repeat(1000), "]".repeat(1000)),
            400,
        ),
        (" ".repeat(MAX_BODY + 1), 413),
    ];
    for (text, expected) in cases {
        let (status, refused) = program.send(Method::POST, APP, text).await;
        assert_eq!(status.as_u16(), expected, "{refused}");
        assert_eq!(refused["isAllowed"], false);
    }
    let (status, refused) = program.send(Method::PUT, APP, good.to_string()).await;
    assert_eq!(
        (status.as_u16(), refused["isAllowed"].clone()),
        (405, false.into())
    );
    let (status, refused) = program.post("/bootAuth/other", &good).await;
    assert_eq!(
        (status.as_u16(), refused["code"].clone()),
        (404, "not_found".into())
    );
    let mut padded = good.clone();
    padded["more"] = "x".repeat(MAX_BODY - 2000).into();
    assert_eq!(program.post(APP, &padded).await.0, StatusCode::OK);

    // Whoever sends nothing is hung up on.
    let address = program.url.trim_start_matches("http://").to_owned();
    let from = Instant::now();
    let ended = tokio::task::spawn_blocking(move || {
        let mut silent = TcpStream::connect(address).unwrap();
        silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        silent.read(&mut [0; 64])
    });
    assert!(ended.await.unwrap().is_ok(), "closed by the program");
    assert!(from.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn c6_a_chain_that_cannot_be_reached_is_503_and_never_allows() {
    let net = Net::settled().await;
    let folder = TempDir::new().unwrap();
    // A listener that was closed again: nobody answers there.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let endpoint = format!("http://user:hunter2@127.0.0.1:{port}/v3/hunter2?key=hunter2");
    let database = folder.path().join("bridge.db");
    let text = config(&endpoint, net.network.kms_authority, &database, "");
    let program = Program::with(&text, &folder);
    let asked = body(&net.record().info);
    for path in [APP, KMS] {
        let (status, refused) = program.post(path, &asked).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused["code"], "chain_unavailable");
        assert_eq!(refused["status"], 503);
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("127.0.0.1:{port}")), "{detail}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
        assert!(
            !answer(refused).is_allowed,
            "a caller that only reads the body is refused"
        );
    }
    let about = program.get("/").await;
    assert_eq!(about.status(), StatusCode::SERVICE_UNAVAILABLE);
    let why = program.ready(false).await;
    assert!(
        why.contains(&port.to_string()) && !why.contains("hunter2"),
        "{why}"
    );
    let metrics = program.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("outcome=\"chain_unavailable\"} 1"), "{metrics}");
    assert!(!metrics.contains("hunter2"), "{metrics}");
    assert_eq!(program.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn c5_a_restart_keeps_the_floor() {
    let (net, folder, program) = started().await;
    let asked = body(&net.record().info);
    assert_eq!(program.post(APP, &asked).await.1["isAllowed"], true);
    assert!(program.terminate().success());

    // Another chain of the same id, with the same contract at the same address, but not as high.
    let other = Net::start().await;
    assert_eq!(other.network.kms_authority, net.network.kms_authority);
    assert!(other.height().await < net.height().await);
    let database = folder.path().join("bridge.db");
    let text = config(&other.anvil.endpoint(), net.network.kms_authority, &database, "");
    let program = Program::with(&text, &folder);
    let (status, refused) = program.post(APP, &asked).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    assert!(
        refused["detail"].as_str().unwrap().contains("finalized"),
        "{refused}"
    );
    assert!(program.terminate().success());

    let program = Program::start(&net, net.network.kms_authority, &folder);
    program.ready(true).await;
    assert_eq!(program.post(APP, &asked).await.1["isAllowed"], true);
}

#[tokio::test]
async fn c5_readiness_ends_before_decisions_do() {
    let net = Net::settled().await;
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("bridge.db");
    let more = "max_head_age_s = 600";
    let text = config(&net.anvil.endpoint(), net.network.kms_authority, &database, more);
    let clock = Arc::new(TestClock::default());
    let service = Service::start(SidecarConfig::from_toml(&text).unwrap(), Arc::clone(&clock) as _)
        .await
        .unwrap();
    let (url, client) = (format!("http://{}", service.address()), reqwest::Client::new());
    let ready = async || {
        let response = client.get(format!("{url}/readyz")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let asked = body(&net.record().info);
    let ask = async || {
        let request = client.post(format!("{url}{APP}")).json(&asked);
        let response = request.send().await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    assert_eq!((ready().await.0, ask().await.0), (200, 200));
    // Nothing is mined meanwhile: the head grows old.
    clock.advance(500);
    let (status, why) = ready().await;
    assert!(status == 503 && why.contains("chain_stale"), "{status} {why}");
    assert!(why.contains("at most 480 s"), "{why}");
    let (status, still) = ask().await;
    assert_eq!((status, still["isAllowed"].clone()), (200, true.into()));
    clock.advance(150);
    let (status, refused) = ask().await;
    assert_eq!((status, refused["code"].clone()), (503, "chain_stale".into()));
    assert_eq!(refused["isAllowed"], false);
    service.shutdown().await;
}

/// Three endpoints in front of one chain, two of which must agree.
async fn three(net: &Net, folder: &TempDir, more: &str) -> ([HostileRpc; 3], Program) {
    let start = || async { HostileRpc::start(net.anvil.endpoint_url()).await.unwrap() };
    let endpoints = [start().await, start().await, start().await];
    let list: Vec<String> = endpoints
        .iter()
        .map(|endpoint| format!("{{ http = \"{}\" }}", endpoint.url()))
        .collect();
    let one = format!("[{{ http = \"{}\" }}]", net.anvil.endpoint());
    let database = folder.path().join("bridge.db");
    let text = config(&net.anvil.endpoint(), net.network.kms_authority, &database, more);
    let text = text.replace(&one, &format!("[{}]", list.join(", ")));
    assert!(text.contains(&endpoints[2].url().to_string()), "{text}");
    let program = Program::with(&text, folder);
    program.ready(true).await;
    (endpoints, program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_endpoint_of_three_may_fail_and_two_end_readiness() {
    let (net, folder) = (Net::settled().await, TempDir::new().unwrap());
    let more = "max_head_age_s = 3600\nrequest_timeout_ms = 500";
    let (endpoints, program) = three(&net, &folder, more).await;
    let asked = body(&net.record().info);
    endpoints[0].set(Lie::Status(500));
    net.revoke_compose(COMPOSE).await;
    program
        .until(APP, &asked, |status, answer| {
            assert_eq!(status, StatusCode::OK, "{answer}");
            answer["isAllowed"] == false
        })
        .await;
    program.ready(true).await;
    endpoints[1].set(Lie::Status(500));
    let why = program.ready(false).await;
    assert!(why.contains("expected 2 healthy, got 1"), "{why}");
    for endpoint in &endpoints[..2] {
        assert!(why.contains(&endpoint.name()), "{why}");
    }
    let metrics = program.get("/metrics").await.text().await.unwrap();
    let healthy = |endpoint: &HostileRpc, value: u8| {
        format!(
            "kedge_bridge_endpoint_healthy{{endpoint=\"{}\"}} {value}",
            endpoint.name()
        )
    };
    assert!(metrics.contains(&healthy(&endpoints[0], 0)), "{metrics}");
    assert!(metrics.contains(&healthy(&endpoints[2], 1)), "{metrics}");
    assert!(metrics.contains("kedge_bridge_ready 0"), "{metrics}");
    endpoints[0].set(Lie::Honest);
    endpoints[1].set(Lie::Honest);
    program.ready(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_above_the_bound_are_busy_and_one_under_way_outlives_sigterm() {
    let (net, folder) = (Net::settled().await, TempDir::new().unwrap());
    let upstream = HostileRpc::start(net.anvil.endpoint_url()).await.unwrap();
    let database = folder.path().join("bridge.db");
    let contract = net.network.kms_authority;
    let endpoint = upstream.url().to_string();
    let more = "max_head_age_s = 3600";
    let text = config(&endpoint, contract, &database, more).replace(
        "[server]",
        "[server]\nmax_in_flight = 1\nrequest_timeout_ms = 2000",
    );
    let program = Program::with(&text, &folder);
    program.ready(true).await;
    // Nothing is proven of this app yet, and its evidence does not come.
    upstream.set(Lie::Stall);
    let (client, url) = (reqwest::Client::new(), format!("{}{APP}", program.url));
    let asked = body(&net.record().info);
    let waiting = tokio::spawn(client.post(url).json(&asked).send());
    let from = Instant::now();
    loop {
        let metrics = program.get("/metrics").await.text().await.unwrap();
        if metrics.contains("kedge_bridge_requests_in_flight 1") {
            break;
        }
        assert!(from.elapsed() < Duration::from_secs(2), "{metrics}");
    }
    let (status, refused) = program.post(APP, &asked).await;
    assert_eq!((status.as_u16(), refused["code"].clone()), (503, "busy".into()));
    assert_eq!(refused["isAllowed"], false);
    assert!(
        tokio::task::spawn_blocking(|| program.terminate())
            .await
            .unwrap()
            .success()
    );
    let response = waiting.await.unwrap().expect("it is answered, not cut off");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer(response.json().await.unwrap()).is_allowed);
}

#[tokio::test]
async fn c5_a_floor_that_cannot_be_kept_ends_readiness() {
    let (net, folder, program) = started().await;
    let url = format!("sqlite:{}", folder.path().join("bridge.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("ALTER TABLE chain_floor RENAME TO elsewhere")
        .execute(&pool)
        .await
        .unwrap();
    net.mine(1).await;
    let why = program.ready(false).await;
    assert!(why.contains("floor"), "{why}");
    sqlx::query("ALTER TABLE elsewhere RENAME TO chain_floor")
        .execute(&pool)
        .await
        .unwrap();
    net.mine(1).await;
    program.ready(true).await;
    let metrics = program.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("kedge_bridge_floor_up 1"), "{metrics}");
}

#[tokio::test]
async fn c5_a_database_from_a_backup_is_refused_until_a_person_accepts_it() {
    let (net, folder, program) = started().await;
    let database = folder.path().join("bridge.db");
    assert!(program.terminate().success());
    let backup = std::fs::read(&database).unwrap();
    let program = Program::start(&net, net.network.kms_authority, &folder);
    let before = net.height().await;
    net.mine(5).await;
    let from = Instant::now();
    let copy = database.with_extension("floor");
    let kept = || {
        let text = std::fs::read_to_string(&copy).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["number"]
            .as_u64()
            .unwrap()
    };
    while kept() <= before {
        assert!(from.elapsed() < crate::fixture::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(program.terminate().success());
    std::fs::write(&database, backup).unwrap();

    let file = folder.path().join("config.toml").display().to_string();
    let refused = command(&["--config", &file], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("restored from a backup"), "{told}");
    let floor = |arguments: &[&str]| {
        let all = [&["floor"], arguments, &["--config", &file]].concat();
        let done = command(&all, &[]);
        let said = serde_json::from_slice::<Value>(&done.stdout).ok();
        said.ok_or_else(|| String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let number = |said: &Value, place: &str| said[place]["number"].as_u64().unwrap();
    let shown = floor(&["show"]).unwrap();
    assert!(number(&shown, "copy") > number(&shown, "database"), "{shown}");
    let hash = "0x".to_owned() + &"12".repeat(32);
    let named = format!("{}:{hash}", number(&shown, "database"));
    let refused = floor(&["accept", "--block", &named]).unwrap_err();
    assert!(refused.contains("expected a block after"), "{refused}");
    let accepted = floor(&["accept"]).unwrap();
    assert_eq!(accepted["accepted"], accepted["copy"]);
    assert_eq!(floor(&["show"]).unwrap()["database"], accepted["accepted"]);
    let program = Program::start(&net, net.network.kms_authority, &folder);
    program.ready(true).await;
}

#[tokio::test]
async fn metrics_and_openapi_are_served() {
    let (net, _folder, program) = started().await;
    let mut asked = body(&net.record().info);
    program.post(APP, &asked).await;
    asked["appId"] = "09".repeat(20).into();
    program.post(APP, &asked).await;
    asked["appId"] = "09".into();
    program.post(KMS, &asked).await;
    let metrics = program.get("/metrics").await.text().await.unwrap();
    for line in [
        "kedge_bridge_decisions_total{subject=\"app\",outcome=\"allowed\"} 1",
        "kedge_bridge_decisions_total{subject=\"app\",outcome=\"denied\"} 1",
        "kedge_bridge_decisions_total{subject=\"kms\",outcome=\"malformed\"} 1",
        "kedge_bridge_requests_total{route=\"/bootAuth/kms\",status=\"400\"} 1",
        "kedge_bridge_ready 1",
        "kedge_bridge_floor_up 1",
        &format!("kedge_bridge_chain_head_number {}", net.height().await),
        "kedge_bridge_chain_head_age_seconds",
        "kedge_bridge_chain_finalized_number",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let document: Value = program.get("/openapi.json").await.json().await.unwrap();
    for path in ["/", APP, KMS, "/healthz", "/readyz", "/metrics"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let fields = &document["components"]["schemas"]["BootRequest"]["required"];
    for field in body(&net.record().info).as_object().unwrap().keys() {
        let described = fields.as_array().unwrap().iter().any(|one| one == field);
        let passed_over = ["attestationMode", "keyProviderInfo"].contains(&field.as_str());
        assert_ne!(described, passed_over, "{field}");
    }
}

#[test]
fn bad_configuration_exits_64_with_every_problem_and_no_secret() {
    let variables = [
        ("KEDGE_BRIDGE__SERVER__LISTEN", "0.0.0.0:8000"),
        ("KEDGE_BRIDGE__SERVER__MAX_IN_FLIGHT", "0"),
        ("KEDGE_BRIDGE__DATABASE__URL", "mysql://user:hunter2@db"),
        (
            "KEDGE_BRIDGE__CHAIN__ENDPOINTS",
            "[{ http = \"ftp://user:hunter2@rpc\" }]",
        ),
    ];
    let output = command(&["--check-config"], &variables);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for key in [
        "server.listen",
        "allow_remote",
        "server.max_in_flight",
        "database.url",
        "chain.chain_id",
        "chain.contract",
        "chain.endpoints",
    ] {
        assert!(told.contains(key), "{key}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(
        command(&[], &[]).status.code(),
        Some(64),
        "the defaults do not start"
    );
    let defaults = command(&["--print-defaults"], &[]);
    assert_eq!(
        String::from_utf8_lossy(&defaults.stdout),
        authority_bridge::sidecar::DEFAULT
    );
}

#[test]
fn a_remote_address_must_be_allowed() {
    let chain = "[chain]\nchain_id = 1\ncontract = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\"\n\
                 endpoints = [{ http = \"http://127.0.0.1:1\" }]\ndevelopment = true\n";
    let read = |server: &str| SidecarConfig::from_toml(&format!("{chain}[server]\n{server}"));
    assert!(read("listen = \"127.0.0.1:1\"").is_ok());
    assert!(read("listen = \"[::1]:1\"").is_ok());
    assert!(read("listen = \"10.0.0.1:1\"").is_err());
    assert!(read("listen = \"0.0.0.0:1\"").is_err());
    assert!(read("listen = \"0.0.0.0:1\"\nallow_remote = true").is_ok());
    assert!(read("no_such = 1").is_err());
}
