//! Boot mode `local`: `setup` with a real local key provider, with one that lies, and with none.

use crate::{
    guest::platform,
    setup::{Machine, refused},
};
use kms_keys::{LocalOpeningKey, Secret, seal_local};
use kms_node::local::{LocalConfig, LocalProvider};
use kms_types::{AttestationRoot, ReportData};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use soft_td::{AppBoot, SoftTd, server};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::OpenOptionsExt,
    sync::{Arc, RwLock},
};
use td_quote::Td;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A provider in this process, with its collateral service.
struct Provider {
    runtime: Runtime,
    _folder: TempDir,
    config: LocalConfig,
    serving: Option<LocalProvider>,
    _td: server::TdServer,
}

impl Provider {
    fn new() -> Self {
        Self::trusting(platform().root())
    }

    /// One that gives keys to TDs of this root.
    fn trusting(root: AttestationRoot) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let td = provider_td();
        let socket = path("td.sock");
        let td = server::serve(Arc::new(td), &socket).unwrap();
        let router = soft_td::pcs::router(Arc::new(RwLock::new(platform())), soft_td::pcs::system_clock());
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let pcs = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut key = fs::OpenOptions::new();
        let mut key = key
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path("key"))
            .unwrap();
        key.write_all(&[7; 32]).unwrap();
        let text = format!(
            "[local]\nlisten = \"127.0.0.1:0\"\nroot_file = \"{}\"\nsealing = \"file\"\nkeyfile = \"{}\"\nattestation_roots = [\"{}\"]\ntd = \"socket:{}\"\n[collateral]\npcs_url = \"{pcs}\"\nroot_crl_url = \"\"\ncache_dir = \"{}\"\n[database]\nurl = \"sqlite:{}?mode=rwc\"\n",
            path("root").display(),
            path("key").display(),
            root,
            socket.display(),
            path("collateral").display(),
            path("local.db").display(),
        );
        fs::write(path("config.toml"), text).unwrap();
        let config = LocalConfig::load(Some(&path("config.toml")), []).unwrap();
        let mut provider = Self {
            runtime,
            _folder: folder,
            config,
            serving: None,
            _td: td,
        };
        provider.start(true);
        provider
    }

    fn start(&mut self, create: bool) {
        let start = LocalProvider::start(self.config.clone(), create);
        self.serving = Some(self.runtime.block_on(start).unwrap());
    }

    fn serving(&self) -> &LocalProvider {
        self.serving.as_ref().unwrap()
    }

    fn address(&self) -> String {
        self.serving().addr().to_string()
    }

    /// What a provider says to a request of this JSON: `None` when it closes the connection.
    fn ask(&self, request: &[u8]) -> Option<Value> {
        let mut stream = TcpStream::connect(self.serving().addr()).unwrap();
        stream
            .write_all(&u32::try_from(request.len()).unwrap().to_be_bytes())
            .unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        serde_json::from_slice(answer.get(4..)?).ok()
    }
}

fn provider_td() -> SoftTd {
    let app = AppBoot {
        app_id: kms_types::AppId::new([0x11; 20]),
        ..crate::guest::app()
    };
    app.launch(&platform(), crate::guest::image().measurement("small").unwrap())
        .unwrap()
}

fn machine(provider: &str, extra: Value) -> Machine {
    let mut compose = json!({
        "manifest_version": 2,
        "name": "hello",
        "runner": "docker-compose",
        "docker_compose_file": "services: {}",
        "key_provider": "local",
    });
    for (key, value) in extra.as_object().unwrap() {
        compose[key] = value.clone();
    }
    let mut machine = Machine::alone(&compose.to_string());
    machine.document["local_key_provider"] = json!(provider);
    machine
}

fn booted(machine: &Machine) {
    let run = machine.boot();
    assert_eq!(run.code, 0, "{run:?}");
}

fn app_key(machine: &Machine) -> Value {
    machine.run_file("app-keys.json")["app_key"].clone()
}

#[test]
fn a_td_gets_the_same_keys_at_every_boot_and_another_td_others() {
    let mut provider = Provider::new();
    let pinned = json!({ "key_provider_id": provider.serving().id() });
    let first = machine(&provider.address(), pinned.clone());
    booted(&first);
    let key = app_key(&first);
    let handover = first.run_file("handover.json");
    assert_eq!(handover["boot_mode"], "local");
    assert_eq!(handover["key_provider"]["name"], "local-sgx");
    assert_eq!(handover["key_provider"]["id"], provider.serving().id());
    assert!(handover["kms"].is_null());
    // The provider is killed and started again: its secret is on disk.
    provider.serving = None;
    provider.start(false);
    let mut again = first.rebooted();
    again.document["local_key_provider"] = json!(provider.address());
    booted(&again);
    assert_eq!(app_key(&again), key);
    let other = machine(
        &provider.address(),
        json!({ "key_provider_id": provider.serving().id(), "name": "other" }),
    );
    booted(&other);
    assert_ne!(app_key(&other), key);
    // Another sealing secret gives the same TD other keys.
    let stranger = Provider::new();
    let moved = machine(&stranger.address(), pinned);
    booted(&moved);
    assert_ne!(app_key(&moved), key);
}

#[test]
fn a_second_run_within_one_boot_takes_what_the_first_left() {
    let provider = Provider::new();
    let machine = machine(&provider.address(), json!({}));
    booted(&machine);
    let key = app_key(&machine);
    let again = machine.boot();
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(app_key(&machine), key);
}

#[test]
fn k1_only_a_genuine_quote_gets_a_key_and_only_for_the_key_in_it() {
    let provider = Provider::new();
    let machine = machine(&provider.address(), json!({}));
    let opening = LocalOpeningKey::generate(&mut rand::rng());
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(&opening.public());
    let quote = machine.guest.td.quote(&ReportData::new(report_data)).unwrap();
    let answer = provider
        .ask(json!({ "quote": quote }).to_string().as_bytes())
        .unwrap();
    let sealed: Vec<u8> = serde_json::from_value(answer["encrypted_key"].clone()).unwrap();
    assert!(opening.open(&sealed).is_ok());
    assert!(LocalOpeningKey::generate(&mut rand::rng()).open(&sealed).is_err());
    // A byte of the header, of MRTD, of RTMR3, of the report data, of the signature.
    for at in [4, 48 + 136, 48 + 520, 48 + 520 + 48, 48 + 584 + 4] {
        let mut changed = quote.clone();
        changed[at] ^= 1;
        assert!(
            provider
                .ask(json!({ "quote": changed }).to_string().as_bytes())
                .is_none(),
            "{at}"
        );
    }
    for request in [
        &b"{}"[..],
        b"{\"quote\":[]}",
        b"{\"quote\":[256]}",
        b"[",
        b"{\"quote\":\"00\"}",
    ] {
        assert!(
            provider.ask(request).is_none(),
            "{}",
            String::from_utf8_lossy(request)
        );
    }
    // After all of them it still serves.
    assert!(
        provider
            .ask(json!({ "quote": quote }).to_string().as_bytes())
            .is_some()
    );
}

#[test]
fn q1_a_quote_of_another_root_gets_no_key() {
    let provider = Provider::trusting(AttestationRoot::new([0xab; 32]));
    let machine = machine(&provider.address(), json!({}));
    let quote = machine.guest.td.quote(&ReportData::ZERO).unwrap();
    assert!(
        provider
            .ask(json!({ "quote": quote }).to_string().as_bytes())
            .is_none()
    );
}

/// A provider that answers one request with whatever `answer` makes of the guest's public key.
fn liar(answer: impl FnOnce([u8; 32]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).unwrap();
        let request: Value = serde_json::from_slice(&request).unwrap();
        let quote: Vec<u8> = serde_json::from_value(request["quote"].clone()).unwrap();
        let body = answer(quote[48 + 520..][..32].try_into().unwrap());
        // The guest may have hung up.
        let _ = stream.write_all(&body);
    });
    address
}

fn framed(answer: &Value) -> Vec<u8> {
    let text = answer.to_string().into_bytes();
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], &text].concat()
}

fn sealed_for(key: &[u8; 32]) -> Vec<u8> {
    seal_local(key, &Secret::new(Box::new([9; 32])), &mut rand::rng()).unwrap()
}

fn report_of(sealed: &[u8]) -> ReportData {
    let mut report = [0; 64];
    report[..32].copy_from_slice(&Sha256::digest(sealed));
    ReportData::new(report)
}

#[test]
fn g3_a_provider_that_the_app_did_not_pin_gives_no_keys() {
    let provider = Provider::new();
    let pin = json!({ "key_provider_id": provider.serving().id() });
    let no_quote = liar(|key| framed(&json!({ "encrypted_key": sealed_for(&key), "provider_quote": [] })));
    refused(
        &machine(&no_quote, pin.clone()).boot(),
        1,
        "one that shows no quote",
    );
    let other_answer = liar(|key| {
        let quote = provider_td().quote(&ReportData::ZERO).unwrap();
        framed(&json!({ "encrypted_key": sealed_for(&key), "provider_quote": quote }))
    });
    refused(
        &machine(&other_answer, pin.clone()).boot(),
        1,
        "SHA-256 of the encrypted key",
    );
    let no_collateral = liar(|key| {
        let sealed = sealed_for(&key);
        let quote = provider_td().quote(&report_of(&sealed)).unwrap();
        framed(&json!({ "encrypted_key": sealed, "provider_quote": quote }))
    });
    refused(
        &machine(&no_collateral, pin.clone()).boot(),
        1,
        "provider_collateral",
    );
    let enclave = liar(|key| {
        let sealed = sealed_for(&key);
        let mut quote = vec![0; 48 + 384];
        quote[..3].copy_from_slice(&[3, 0, 2]);
        quote[48 + 320..][..64].copy_from_slice(report_of(&sealed).as_ref());
        framed(&json!({ "encrypted_key": sealed, "provider_quote": quote }))
    });
    refused(&machine(&enclave, pin).boot(), 1, "provider_collateral");
    let other = machine(&provider.address(), json!({ "key_provider_id": "ab".repeat(32) }));
    refused(&other.boot(), 1, "which the compose document pins");
    assert!(
        !other.log().contains(&"key-provider".to_owned()),
        "nothing was recorded"
    );
}

#[test]
fn an_enclave_of_dstacks_provider_serves_an_app_that_pins_none() {
    let address = liar(|key| {
        let sealed = sealed_for(&key);
        let mut quote = vec![0; 48 + 384];
        quote[..3].copy_from_slice(&[3, 0, 2]);
        quote[48 + 64..][..32].copy_from_slice(&[0xee; 32]);
        quote[48 + 320..][..64].copy_from_slice(report_of(&sealed).as_ref());
        framed(&json!({ "encrypted_key": sealed, "provider_quote": quote }))
    });
    let machine = machine(&address, json!({}));
    booted(&machine);
    assert_eq!(
        machine.run_file("handover.json")["key_provider"]["id"],
        "ee".repeat(32)
    );
}

#[test]
fn answers_of_another_form_are_refused_and_silence_is_not_a_refusal() {
    let long = liar(|_| u32::MAX.to_be_bytes().to_vec());
    refused(&machine(&long, json!({})).boot(), 1, "got 4294967295");
    let other = liar(|_| framed(&json!({ "encrypted_key": "00" })));
    refused(
        &machine(&other, json!({})).boot(),
        1,
        "expected a message of the protocol",
    );
    let short = liar(|_| framed(&json!({ "encrypted_key": [1, 2], "provider_quote": [] })));
    refused(&machine(&short, json!({})).boot(), 1, "sealed box");
    let closed = liar(|_| Vec::new());
    refused(&machine(&closed, json!({})).boot(), 2, "local key provider");
    refused(&machine("127.0.0.1:1", json!({})).boot(), 2, "connect");
}
