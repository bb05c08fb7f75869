//! The lease against a real KMS node on a real chain: renewed, lost by the contract's word, outlasted while the KMS is away.

use super::scene::{Prepared, Program, is_alive};
use alloy::primitives::B256;
use anvil_tests::{Account, AppSpec, Network, NetworkOptions, NodeOptions};
use authority_contracts::abi::AppAuthority;
use guest_files::KmsAccess;
use kms_types::ComposeHash;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// A network whose leases are short, and an app that runs a script.
struct Leased {
    network: Network,
    guest: Prepared,
    compose: String,
    spec: AppSpec,
}

impl Leased {
    async fn new(lease_s: i64, grace_s: u32) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let node = [
            "peer_per_s",
            "peer_burst",
            "device_per_s",
            "device_burst",
            "app_per_s",
            "app_burst",
        ]
        .into_iter()
        .fold(NodeOptions::default(), |options, key| {
            options.set("limits", key, 100_000)
        })
        .set("keys", "lease_s", lease_s);
        let network = Network::start(NetworkOptions {
            node: Some(node),
            ..NetworkOptions::default()
        })
        .await
        .unwrap();
        let compose = json!({"manifest_version": 2, "name": "demo", "runner": "bash", "key_provider": "kms",
            "bash_script": "exec sleep 100000", "lease_grace_s": grace_s})
        .to_string();
        let app = network.create_app_for(compose.as_bytes()).await.unwrap();
        network.finalize().await.unwrap();
        let spec = AppSpec::new(app, compose.as_bytes(), "first");
        let td = network.launch(&spec).unwrap();
        soft_td::finish_boot(&*td, br#"{"name":"kms","id":"00"}"#).unwrap();
        let image = soft_td::SimImage::new(&spec.image).unwrap();
        let proof = image.catalogue().proof(&td.config().measurement).unwrap();
        let seed = spec.boot.instance_seed.unwrap();
        let node = network.node().unwrap();
        let kms = KmsAccess {
            urls: vec![node.url().to_owned()],
            pin: node.identity().clone(),
            chain_id: network.description().chain_id,
            contract: network.authority(),
        };
        let guest = Prepared::of(&compose, &[], td, app, seed, proof, Some(kms))
            .set("LEASE__RETRY_FIRST_S", 1)
            .set("LEASE__RETRY_LONGEST_S", 1)
            .set("LEASE__RENEW_AT_PERCENT", 30)
            .set("LEASE__REQUEST_TIMEOUT_S", 5);
        Self {
            network,
            guest,
            compose,
            spec,
        }
    }

    async fn allow(&self, allowed: bool) {
        let hash = B256::from(ComposeHash::of(self.compose.as_bytes()).to_bytes());
        let app = self.spec.boot.app_id;
        if allowed {
            let call = AppAuthority::addComposeHashCall { composeHash: hash };
            self.network.manage(Account::AppOwner, app, &call).await.unwrap();
        } else {
            let call = AppAuthority::removeComposeHashCall { composeHash: hash };
            self.network.manage(Account::AppOwner, app, &call).await.unwrap();
        }
        self.network.finalize().await.unwrap();
    }
}

/// What the app socket answers.
async fn ask(guest: &Prepared, method: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder()
        .unix_socket(guest.paths.dstack_socket())
        .build()
        .unwrap();
    let sent = client
        .post(format!("http://d/{method}"))
        .json(body)
        .send()
        .await
        .unwrap();
    (sent.status().as_u16(), sent.json().await.unwrap())
}

/// The instance's own certificate, as soon as there is one.
async fn own_certificate(guest: &Prepared) -> String {
    let asking = async {
        loop {
            let info = ask(guest, "Info", &json!({})).await.1;
            let shown = info["app_cert"].as_str().unwrap().to_owned();
            if !shown.is_empty() {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .unwrap()
}

/// Times of the leaf an app gets that asks for these.
async fn validity(guest: &Prepared, from: Option<i64>, to: Option<i64>) -> Result<(i64, i64), String> {
    let (status, answer) = ask(
        guest,
        "GetTlsKey",
        &json!({ "not_before": from, "not_after": to }),
    )
    .await;
    if status != 200 {
        return Err(format!("{status} {}", answer["code"]));
    }
    let leaf = answer["certificate_chain"][0].as_str().unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(leaf.as_bytes()).unwrap();
    let parsed = pem.parse_x509().unwrap();
    let times = parsed.validity();
    Ok((times.not_before.timestamp(), times.not_after.timestamp()))
}

async fn pid(agent: &Program) -> u64 {
    agent.containers().await[0]["pid"].as_u64().unwrap()
}

fn phase(status: &Value) -> &str {
    status["lease"]["phase"].as_str().unwrap()
}

#[tokio::test]
async fn an_app_whose_permission_is_taken_away_stops_after_its_grace_and_goes_on_when_it_is_given_back() {
    let leased = Leased::new(30, 3).await;
    let mut agent = leased.guest.start(&[]);
    let status = agent
        .until("a lease", |status| {
            phase(status) == "held" && status["app"]["phase"] == "running"
        })
        .await;
    let token = status["lease"]["token"].as_str().unwrap().to_owned();
    let first = pid(&agent).await;
    let shown = own_certificate(&leased.guest).await;
    assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 3, "{shown}");
    assert!(shown.ends_with(&leased.network.node().unwrap().identity().ca_certificate));
    // Renewed, long before its end.
    agent
        .until("another lease", |status| {
            status["lease"]["token"] != token.as_str()
        })
        .await;
    leased.allow(false).await;
    let status = agent.until("the loss", |status| phase(status) == "lost").await;
    assert_eq!(status["lease"]["cause"], "denied");
    let refusal = status["lease"]["last_refusal"].as_str().unwrap();
    assert!(refusal.contains("denied"), "{refusal}");
    assert!(is_alive(first), "the grace is not over");
    let warned = status["events"].as_array().unwrap().iter().any(|event| {
        event["level"] == "warning" && event["message"].as_str().unwrap().contains("the lease is lost")
    });
    assert!(warned, "{status}");
    let status = agent.until_phase("stopped").await;
    assert_eq!(phase(&status), "stopped");
    assert!(!is_alive(first));
    let figures = agent.get("/metrics").await.unwrap().1;
    assert!(
        figures.contains("kedge_agent_lease_held 0") && figures.contains("kedge_agent_lease_lost_total 1")
    );
    // An agent that starts again does not give the app another grace.
    agent.kill();
    let mut agent = leased.guest.start(&[]);
    let status = agent.until_phase("stopped").await;
    assert_eq!(phase(&status), "stopped");
    leased.allow(true).await;
    agent
        .until("the app again", |status| {
            phase(status) == "held" && status["app"]["phase"] == "running"
        })
        .await;
    assert!(is_alive(pid(&agent).await));
    agent.terminate().await;
}

#[tokio::test]
async fn an_app_does_not_notice_a_kms_that_is_away_within_its_lease_and_grace() {
    let mut leased = Leased::new(30, 3600).await;
    let mut agent = leased.guest.start(&[]);
    agent
        .until("a lease", |status| {
            phase(status) == "held" && status["app"]["phase"] == "running"
        })
        .await;
    let first = pid(&agent).await;
    let node = leased.network.nodes().remove(0).kill().unwrap();
    let status = agent
        .until("a request that was not answered", |status| {
            status["lease"]["last_refusal"].is_string()
        })
        .await;
    assert_eq!(
        (phase(&status), status["lease"]["may_run"].as_bool()),
        ("held", Some(true))
    );
    assert!(status["lease"]["advice"].is_string());
    let token = status["lease"]["token"].clone();
    let node = node.run(&leased.network).await.unwrap();
    let status = agent
        .until("a lease from the KMS that is back", |status| {
            status["lease"]["token"] != token
        })
        .await;
    assert_eq!(phase(&status), "held");
    assert_eq!(pid(&agent).await, first, "the same process all the time");
    agent.terminate().await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_kms_that_stays_away_ends_the_app_after_lease_and_grace_and_its_return_brings_it_back() {
    let mut leased = Leased::new(30, 1).await;
    let mut agent = leased.guest.start(&[]);
    agent
        .until("a lease", |status| {
            phase(status) == "held" && status["app"]["phase"] == "running"
        })
        .await;
    let first = pid(&agent).await;
    let node = leased.network.nodes().remove(0).kill().unwrap();
    agent.kill();
    // As if most of the lease had gone by: the state is of this boot, its end is near.
    let kept = leased.guest.paths.run().join("lease.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    state["state"]["until"] = json!({"secs": now as u64 + 3, "nanos": 0});
    std::fs::write(&kept, state.to_string()).unwrap();
    let mut agent = leased.guest.start(&[]);
    agent.until_phase("running").await;
    assert!(!is_alive(first), "a script does not outlive its agent");
    let status = agent.until_phase("stopped").await;
    assert_eq!(status["lease"]["cause"], "ended");
    let node = node.run(&leased.network).await.unwrap();
    agent
        .until("the app again", |status| {
            phase(status) == "held" && status["app"]["phase"] == "running"
        })
        .await;
    agent.terminate().await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_valid_for_the_time_that_was_asked_within_the_time_the_kms_gives() {
    let leased = Leased::new(300, 60).await;
    let mut agent = leased.guest.start(&[]);
    agent.until_phase("running").await;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = i64::try_from(since.as_secs()).unwrap();
    let guest = &leased.guest;
    let (from, to) = validity(guest, None, None).await.unwrap();
    assert!(from <= now && to > now + 120, "{from} {to}");
    let asked = (now + 10, now + 70);
    assert_eq!(validity(guest, Some(asked.0), Some(asked.1)).await, Ok(asked));
    // Wider than the KMS gives: its own times.
    let wide = validity(guest, Some(0), Some(now + 100_000_000)).await.unwrap();
    assert!(
        (from..from + 60).contains(&wide.0) && wide.1 - wide.0 == to - from,
        "{wide:?}"
    );
    let past = validity(guest, None, Some(now - 3600)).await;
    assert_eq!(past, Err("400 \"malformed\"".to_owned()));
    agent.terminate().await;
}
