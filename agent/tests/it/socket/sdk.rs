//! dstack's published SDKs, unmodified, on the real socket: `tests/sdk` holds what they do there. `.ci/install test` installs them.

use super::support::{APP, Instance, instance_id, now};
use app_manifest::{AppManifest, decrypt_v1};
use kms_types::ComposeHash;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk");

/// Target folder of the build this test is of: it lies in `<target>/<profile>/deps`.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().to_owned()
}

fn compose() -> Value {
    json!({
        "manifest_version": 2, "name": "demo ß", "runner": "docker-compose",
        "docker_compose_file": "services:\n  web:\n    image: busybox@sha256:00\n",
        "kms_enabled": true, "gateway_enabled": false, "public_logs": true, "allowed_envs": ["TOKEN"],
        "key_provider": "kms"
    })
}

fn facts(instance: &Instance) -> Value {
    let time = now();
    let env = instance.epoch.sign_env_public_key(&APP, time).unwrap();
    let identity = instance.epoch.identity();
    json!({
        "dstack": instance.dstack, "tappd": instance.tappd,
        "app_id": APP.to_plain_hex(), "instance_id": instance_id().to_plain_hex(),
        "compose_hash": ComposeHash::of(super::support::COMPOSE.as_bytes()).to_plain_hex(),
        "kms_public_key": hex::encode(identity.k256_public_key), "ca_certificate": identity.ca_certificate,
        "names": [kms_keys::instance_domain(&APP, &instance_id()), kms_keys::app_domain(&APP)],
        "env_public_key": hex::encode(env.public_key), "env_signature": hex::encode(env.signature),
        "env_legacy_signature": hex::encode(env.legacy_signature), "env_time": time.0,
        "version": env!("CARGO_PKG_VERSION"), "compose": compose(),
    })
}

/// Runs one language's program on a fresh instance and gives back what it leaves to us to judge.
async fn run(program: &Path, script: Option<&str>) -> Value {
    assert!(
        program.exists(),
        "{}: expected the SDKs' environment there, got nothing: run .ci/install test (CARGO_TARGET_DIR={})",
        program.display(),
        target().display()
    );
    let instance = Instance::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("facts.json");
    std::fs::write(&file, facts(&instance).to_string()).unwrap();
    let child = Command::new(program)
        .args(script.map(|script| format!("{SDK}/{script}")))
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), child)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {}\n{said}",
        program.display(),
        output.status
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {text}\n{said}"));
    if answer.get("encrypted_env").is_some() {
        check_helpers(&instance, &answer);
    }
    answer
}

/// What an SDK encrypted must open here; what it hashed must be the document we read.
fn check_helpers(instance: &Instance, answer: &Value) {
    let allowed = BTreeSet::from(["TOKEN".parse().unwrap()]);
    let secrets = instance.epoch.app_keys(&APP, &instance_id()).unwrap();
    for sealed in answer["encrypted_env"].as_array().unwrap() {
        let sealed = hex::decode(sealed.as_str().unwrap()).unwrap();
        let environment = decrypt_v1(secrets.env_key.expose(), &allowed, &sealed).unwrap();
        let opened: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.expose().to_owned()))
            .collect();
        assert_eq!(opened, [("TOKEN".to_owned(), "s3cret ß".to_owned())]);
    }
    let text = answer["compose_text"].as_str().unwrap();
    assert_eq!(
        answer["compose_hash"],
        ComposeHash::of(text.as_bytes()).to_plain_hex()
    );
    AppManifest::parse(text.as_bytes()).unwrap();
}

fn called(answer: &Value) -> usize {
    answer["called"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_works_unchanged() {
    let answer = run(&target().join("sdk-python/bin/python"), Some("python/check.py")).await;
    assert_eq!(called(&answer), 42, "{}", answer["called"]);
    assert!(answer["encrypted_env"].is_array());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_works_unchanged() {
    let modules = Path::new(SDK).join("js/node_modules/@phala/dstack-sdk");
    assert!(
        modules.exists(),
        "{}: expected the SDK there, got nothing: run .ci/install test",
        modules.display()
    );
    let node = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("node"))
        .find(|node| node.exists())
        .unwrap_or_else(|| PathBuf::from("node"));
    let answer = run(&node, Some("js/check.mjs")).await;
    assert_eq!(called(&answer), 23, "{}", answer["called"]);
    assert!(answer["encrypted_env"].is_array());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_sdk_works_unchanged() {
    let answer = run(&target().join("sdk-rust/debug/dstack-sdk-tests"), None).await;
    assert_eq!(called(&answer), 14, "{}", answer["called"]);
}
