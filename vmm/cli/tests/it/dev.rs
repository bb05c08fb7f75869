//! The development network: what it survives, and what `app` and `os` do to it.

use super::{COMPOSE, Down, fails, json, kedge};
use serde_json::Value;
use std::time::{Duration, Instant};

const ADDRESSES: [&str; 6] = [
    "authority",
    "attestation_root",
    "os_image",
    "kms_identity",
    "kms_app",
    "chain",
];

#[test]
fn a_network_survives_kill_9_and_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    assert!(fails(state, &["dev", "status"], 4).contains("kedge dev up"));
    let _down = Down(state);
    let first = json(state, &["dev", "up"]);
    let app = json(state, &["app", "create", "--compose", COMPOSE])["app"]
        .as_str()
        .unwrap()
        .to_owned();
    let allowed = |show: Value| show["compose_hashes"][0]["allowed"].clone();
    assert_eq!(allowed(json(state, &["app", "show", &app])), true);

    // A revocation that was reported must still be one after the crash.
    json(state, &["app", "revoke", &app, "--compose", COMPOSE]);
    let pid = first["process"]
        .as_i64()
        .and_then(|pid| rustix::process::Pid::from_raw(pid as i32))
        .unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // The kernel takes a moment to end a process; until then the network runs.
    let end = Instant::now() + Duration::from_secs(10);
    while kedge(state, &["dev", "status"]).status.success() {
        assert!(Instant::now() < end, "the keeper outlived kill -9");
    }
    let second = json(state, &["dev", "up"]);
    for name in ADDRESSES {
        assert_eq!(first[name], second[name], "{name}");
    }
    assert_eq!(allowed(json(state, &["app", "show", &app])), false);
    assert_eq!(
        json(state, &["kms", "info"])["identity_as_recorded_on_chain"],
        true
    );

    assert_eq!(
        json(state, &["dev", "up"])["process"],
        second["process"],
        "up twice is up once"
    );
    json(state, &["dev", "down"]);
    let third = json(state, &["dev", "up"]);
    for name in ADDRESSES {
        assert_eq!(first[name], third[name], "{name}");
    }
}

#[test]
fn transactions_say_what_they_do_and_refusals_why() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let _down = Down(state);
    json(state, &["dev", "up"]);
    let image = format!("0x{}", "11".repeat(32));
    let allowed = json(state, &["os", "allow", &image]);
    let sent = &allowed["transactions"][0];
    assert_eq!(sent["contract"], "KmsAuthority");
    assert_eq!(sent["function"], "addOsImageHash");
    assert_eq!(sent["arguments"], format!("osImageHash: {image}"));
    assert_eq!(sent["final"], true);
    let listed = |image: &str| {
        let shown = json(state, &["os", "show"]);
        let images = shown["images"].as_array().unwrap().clone();
        images.into_iter().find(|entry| entry["hash"] == image).unwrap()["allowed"].clone()
    };
    assert_eq!(listed(&image), true);
    json(state, &["os", "revoke", &image]);
    assert_eq!(listed(&image), false);

    let nowhere = format!("0x{}", "22".repeat(20));
    let error = fails(state, &["app", "revoke", &nowhere, "--device", &image], 3);
    assert!(error.contains("no contract at"), "{error}");
    assert_eq!(kedge(state, &["os", "allow"]).status.code(), Some(2));
    assert_eq!(kedge(state, &["os", "allow", "0x12"]).status.code(), Some(2));
}
