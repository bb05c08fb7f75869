//! `setup` with a simulated TD and a KMS: what a boot leaves behind, and what a hostile host cannot make of it.

use crate::{
    guest::{Guest, image, platform},
    kms::{CHAIN, CONTRACT, Kms, epoch_keys},
    release::reseal,
    run::{Run, line},
};
use app_manifest::{EnvBinding, EnvName, EnvValue, Environment, SealedEnv, encrypt_v1};
use k256::ecdsa::SigningKey;
use kms_types::{AppId, ChainAddress, ChainId, ComposeHash, KeyEpoch};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use soft_td::TdConfig;
use std::{fs, os::unix::fs::MetadataExt, path::Path};
use td_quote::Td;

pub(crate) const APP: [u8; 20] = [0xa1; 20];

/// A TD before its boot, MRCONFIGID bound to the compose document, and the host's document for it.
pub(crate) struct Machine {
    pub(crate) guest: Guest,
    pub(crate) document: Value,
}

pub(crate) fn compose(kms: &Kms, extra: Value) -> String {
    let mut compose = json!({
        "manifest_version": 2,
        "name": "hello",
        "runner": "docker-compose",
        "docker_compose_file": "services: {}",
        "key_provider": "kms",
        "key_provider_id": hex::encode(kms.identity().kms_identity.as_ref()),
        "allowed_envs": ["GREETING", "SECRET"],
    });
    for (key, value) in extra.as_object().unwrap() {
        compose[key] = value.clone();
    }
    compose.to_string()
}

impl Machine {
    pub(crate) fn new(kms: &Kms, extra: Value) -> Self {
        Self::with(kms, &compose(kms, extra))
    }

    pub(crate) fn with(kms: &Kms, compose: &str) -> Self {
        let mut machine = Self::alone(compose);
        machine.document["kms_urls"] = json!([kms.url]);
        machine.document["kms_identity"] = json!(kms.identity());
        machine.document["chain"] = json!({ "chain_id": CHAIN, "contract": hex::encode(CONTRACT) });
        machine
    }

    /// One whose document names no KMS.
    pub(crate) fn alone(compose: &str) -> Self {
        let measurement = image().measurement("small").unwrap();
        let mut config = TdConfig::new(measurement);
        let mut bound = [0; 48];
        bound[0] = 1;
        bound[1..33].copy_from_slice(ComposeHash::of(compose.as_bytes()).as_ref());
        config.mr_config_id = bound.into();
        let catalogue: Value = serde_json::from_slice(&image().catalogue().to_json().unwrap()).unwrap();
        Self {
            guest: Guest::serve(platform().launch(config)),
            document: json!({
                "version": 1,
                "app_compose": compose,
                "app_id": hex::encode(APP),
                "instance_seed": hex::encode([0x5e; 20]),
                "vm_config": "{\"cpu_count\":1}",
                "catalogue": catalogue,
            }),
        }
    }

    /// The same TD with its log gone: the VM was started again.
    pub(crate) fn rebooted(self) -> Self {
        let mut next = Self::alone(self.document["app_compose"].as_str().unwrap());
        next.document = self.document;
        let data = next.guest.folder.path().join("data");
        fs::rename(self.guest.folder.path().join("data"), data).unwrap();
        next
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let document = self
            .guest
            .write("host.json", self.document.to_string().as_bytes());
        [
            "setup",
            "--td",
            &self.guest.spec,
            "--host-document",
            &document,
            "--run",
            &self.guest.path("run"),
            "--data",
            &self.guest.path("data"),
            "--rounds",
            "1",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    pub(crate) fn boot(&self) -> Run {
        self.boot_with(&[])
    }

    pub(crate) fn boot_told(&self, socket: &str) -> Run {
        self.boot_with(&["--progress-socket", socket])
    }

    fn boot_with(&self, extra: &[&str]) -> Run {
        let arguments = self.arguments();
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = line("--json", &[words.as_slice(), extra].concat());
        // Reports come before the outcome, a line each.
        let last = run.out.lines().last().unwrap_or_default().to_owned();
        Run { out: last, ..run }
    }

    pub(crate) fn run_file(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.guest.folder.path().join("run").join(name)).unwrap()).unwrap()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        let log = self.guest.td.event_log().unwrap();
        log.into_iter().map(|entry| entry.event).collect()
    }

    fn env(&mut self, version: u8, data: &[u8]) {
        self.document["encrypted_env"] = json!({ "version": version, "data": hex::encode(data) });
    }

    fn compose_hash(&self) -> ComposeHash {
        ComposeHash::of(self.document["app_compose"].as_str().unwrap().as_bytes())
    }
}

pub(crate) fn refused(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, code, "{run:?}");
    assert!(run.message().contains(words), "expected {words:?}: {run:?}");
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    let mut environment = Environment::new();
    for (name, value) in pairs {
        let name: EnvName = name.parse().unwrap();
        environment
            .set(name, EnvValue::new((*value).to_owned()).unwrap())
            .unwrap();
    }
    environment
}

/// Public key that owners encrypt to.
fn recipient(kms: &Kms) -> [u8; 32] {
    let app = AppId::new(APP);
    let secrets = kms.keys.app_keys(&app, &kms_types::InstanceId::ZERO).unwrap();
    kms_keys::env_public_key(&secrets.env_key)
}

fn signer(seed: u8) -> (SigningKey, ChainAddress) {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let address = alloy::primitives::Address::from_public_key(key.verifying_key());
    (key, ChainAddress::new(address.into_array()))
}

fn sealed(kms: &Kms, compose: ComposeHash, version: u64, value: &str, key: &SigningKey) -> Vec<u8> {
    let binding = EnvBinding {
        app_id: AppId::new(APP),
        compose_hash: compose,
        version,
    };
    let environment = variables(&[("SECRET", value)]);
    let sealed = SealedEnv::seal(&recipient(kms), binding, &environment, &mut rand::rng()).unwrap();
    sealed.sign(ChainId(CHAIN), key).unwrap().to_bytes()
}

const WHOLE_LOG: [&str; 10] = [
    "system-preparing",
    "app-id",
    "compose-hash",
    "gpu-policy-hash",
    "instance-id",
    "host-config",
    "boot-mr-done",
    "key-provider",
    "storage-fs",
    "system-ready",
];

#[test]
fn a_boot_tells_whoever_listens_the_same_as_its_file_and_goes_on_without_anybody() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    let path = machine.guest.path("progress.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let run = machine.boot_told(&path);
    assert_eq!(run.code, 0, "{run:?}");
    let (mut reader, _) = listener.accept().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    let reports: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(reports.len() > 2, "{text}");
    assert!(reports.iter().all(|report| report["state"] != "failed"));
    assert_eq!(reports.last().unwrap(), &machine.run_file("progress.json"));
    drop(listener);
    let again = machine.rebooted();
    assert_eq!(again.boot_told(&again.guest.path("nobody.sock")).code, 0);
}

#[test]
fn a_boot_leaves_what_the_agent_needs_and_nothing_more() {
    let kms = Kms::honest();
    let mut machine = Machine::new(&kms, json!({}));
    let values = variables(&[("GREETING", "hi"), ("DROPPED", "x")]);
    machine.env(
        1,
        &encrypt_v1(&recipient(&kms), &values, &mut rand::rng()).unwrap(),
    );
    let run = machine.boot();
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(machine.log(), WHOLE_LOG);
    let handover = machine.run_file("handover.json");
    assert_eq!(handover["boot_mode"], "kms");
    assert_eq!(handover["storage"]["encrypted"], false);
    assert_eq!(handover["kms"]["urls"][0], kms.url);
    assert_eq!(
        machine.run_file("env.json"),
        json!({ "env": [{ "key": "GREETING", "value": "hi" }] })
    );
    // K4: neither the disk key nor the key of the environment outlives setup.
    let keys = machine.run_file("app-keys.json");
    let names: Vec<&str> = keys.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "app_id",
            "instance_id",
            "key_epoch",
            "app_key",
            "app_key_signature",
            "ca_certificates",
            "gateway_app_id",
            "instance_seal_secret"
        ]
    );
    // What stays of the disk key is one-way from it.
    let app_id = AppId::new(APP);
    let instance = kms_types::InstanceId::derive(&[0x5e; 20].into(), &app_id);
    let disk = kms.keys.app_keys(&app_id, &instance).unwrap().disk_key;
    assert!(!hex::encode(disk.expose()).contains(keys["instance_seal_secret"].as_str().unwrap()));
    for name in [
        "handover.json",
        "app-keys.json",
        "env.json",
        "app-compose.json",
        "progress.json",
    ] {
        let about = fs::metadata(Path::new(&machine.guest.path("run")).join(name)).unwrap();
        assert_eq!(about.mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(
        fs::read(Path::new(&machine.guest.path("run")).join("app-compose.json")).unwrap(),
        machine.document["app_compose"].as_str().unwrap().as_bytes()
    );
}

#[test]
fn a_second_run_changes_nothing_and_a_second_boot_finds_its_data() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    assert_eq!(machine.boot().code, 0);
    let first = machine.run_file("handover.json");
    let again = machine.boot();
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(machine.run_file("handover.json"), first);
    assert_eq!(machine.log(), WHOLE_LOG);
    let data = Path::new(&machine.guest.path("data")).join("rows");
    fs::write(&data, "kept").unwrap();
    let next = machine.rebooted();
    assert_eq!(next.boot().code, 0);
    assert_eq!(
        fs::read_to_string(next.guest.folder.path().join("data/rows")).unwrap(),
        "kept"
    );
    assert_eq!(next.run_file("app-keys.json")["key_epoch"], 1);
}

#[test]
fn g1_a_document_behind_a_link_or_in_a_pipe_is_not_read() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    let mut arguments = machine.arguments();
    let at = arguments
        .iter()
        .position(|word| word == "--host-document")
        .unwrap()
        + 1;
    let link = machine.guest.path("link.json");
    std::os::unix::fs::symlink(&arguments[at], &link).unwrap();
    let pipe = machine.guest.path("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (path, words) in [
        (&link, "got a link"),
        (&pipe, "regular file"),
        (&"/".to_owned(), "regular file"),
    ] {
        arguments[at].clone_from(path);
        let words_of: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&line("--json", &words_of), 64, words);
    }
    assert!(machine.log().is_empty());
}

#[test]
fn g1_documents_that_can_be_read_in_two_ways_are_not_read() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    let good = machine.document.to_string();
    let arguments = machine.arguments();
    let boot = |text: &str| {
        machine.guest.write("host.json", text.as_bytes());
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = line("--json", &words);
        let last = run.out.lines().last().unwrap_or_default().to_owned();
        Run { out: last, ..run }
    };
    let nested = format!("{}{}", "[".repeat(40), "]".repeat(40));
    for (text, words) in [
        (good.replacen("{", "{\"version\":1,", 1), "once, got it twice"),
        (good.replacen("{", "{\"mount\":\"/\",", 1), "unknown field"),
        (
            good.replacen("\"vm_config\"", "\"registries\":{\"extra\":1},\"vm_config\"", 1),
            "unknown field",
        ),
        (nested, "levels"),
        (format!("{good}{}", " ".repeat(4 << 20)), "at most 4194304 bytes"),
        (
            good.replacen("\"version\":1", "\"version\":2", 1),
            "version: expected 1",
        ),
        (format!("{good}x"), "trailing"),
        (String::new(), "EOF"),
    ] {
        refused(&boot(&text), 64, words);
    }
    assert!(machine.log().is_empty(), "nothing was measured");
}

#[test]
fn g2_every_input_of_the_host_shows_in_a_register() {
    let kms = Kms::honest();
    let hash = |change: &dyn Fn(&mut Value)| {
        let mut machine = Machine::new(&kms, json!({}));
        change(&mut machine.document);
        // What else is wrong with the change is another matter: nobody answers at these addresses.
        let run = machine.boot_with(&["--check"]);
        run.json()["host_config"].as_str().unwrap().to_owned()
    };
    let changes: [&dyn Fn(&mut Value); 11] = [
        &|_| (),
        &|d| d["vm_config"] = json!("{}"),
        &|d| d["kms_urls"] = json!([kms.url, "https://other:1"]),
        &|d| d["kms_urls"] = json!(["https://other:1"]),
        &|d| d["chain"]["chain_id"] = json!(1),
        &|d| d["registries"] = json!({ "mirrors": { "docker.io": ["http://m"] } }),
        &|d| d["registries"] = json!({ "mirrors": { "docker.io": ["http://m", "x"] } }),
        &|d| d["registries"] = json!({ "insecure": ["docker.io"] }),
        &|d| d["kms_identity"]["key_epoch"] = json!(2),
        &|d| d["encrypted_env"] = json!({ "version": 1, "data": "00" }),
        &|d| d["encrypted_env"] = json!({ "version": 1, "data": "01" }),
    ];
    let hashes: std::collections::BTreeSet<_> = changes.iter().map(|change| hash(*change)).collect();
    assert_eq!(hashes.len(), changes.len());
}

#[test]
fn g2_check_touches_nothing() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    assert_eq!(machine.boot_with(&["--check"]).code, 0);
    assert!(machine.log().is_empty());
    assert!(!Path::new(&machine.guest.path("run")).exists());
    assert!(!Path::new(&machine.guest.path("data")).exists());
}

/// What `--check` says of each requirement.
fn states(run: &Run) -> Vec<(String, String)> {
    let json = run.json();
    assert_eq!(json["exit_code"], run.code, "{run:?}");
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
    let rows = json["checks"].as_array().unwrap().clone();
    for row in &rows {
        assert_eq!(row["state"] == "ok", row["advice"].is_null(), "{row}");
    }
    rows.iter()
        .map(|row| (word(row, "check"), word(row, "state")))
        .collect()
}

fn failed(run: &Run) -> Vec<(String, String)> {
    states(run)
        .into_iter()
        .filter(|(_, state)| state != "ok")
        .collect()
}

fn one(check: &str, state: &str) -> Vec<(String, String)> {
    vec![(check.to_owned(), state.to_owned())]
}

#[test]
fn check_names_every_requirement_and_finds_all_of_a_good_guest() {
    let kms = Kms::honest();
    let requirements = json!({ "platforms": ["sim", "tdx"] });
    let machine = Machine::new(
        &kms,
        json!({ "manifest_version": "3", "requirements": requirements }),
    );
    let run = machine.boot_with(&["--check"]);
    assert_eq!(run.code, 0, "{run:?}");
    let names: Vec<_> = states(&run).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "host document",
            "requirements.platforms",
            "init scripts",
            "key provider",
            "KMS",
            "environment",
            "TD",
            "event log",
            "OS image",
            "folder of the boot",
            "folder of the data",
        ]
    );
    // A boot that is complete is one of this document still.
    assert_eq!(machine.boot().code, 0);
    let run = machine.boot_with(&["--check"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("this boot is complete"), "{run:?}");
}

#[test]
fn check_says_for_each_requirement_what_is_missing() {
    let kms = Kms::honest();
    let check = |machine: &Machine| machine.boot_with(&["--check"]);
    let with = |requirements: Value| {
        Machine::new(
            &kms,
            json!({ "manifest_version": "3", "requirements": requirements }),
        )
    };
    for (requirements, name) in [
        (json!({ "platforms": ["tdx"] }), "requirements.platforms"),
        (json!({ "os_version": ">=0.5.0" }), "requirements.os_version"),
        (
            json!({ "tdx_measure_acpi_tables": false }),
            "requirements.tdx_measure_acpi_tables",
        ),
        (
            json!({ "gpu_policy": { "attest_gpu": true } }),
            "requirements.gpu_policy",
        ),
        (json!({ "rollback": "detect" }), "requirements.rollback"),
    ] {
        let run = check(&with(requirements));
        assert_eq!((run.code, failed(&run)), (1, one(name, "refused")), "{run:?}");
    }
    let all = json!({ "platforms": ["tdx"], "rollback": "detect" });
    assert_eq!(failed(&check(&with(all))).len(), 2, "every one, not the first");

    let run = check(&Machine::new(&kms, json!({ "init_script": ["true"] })));
    assert_eq!(
        (run.code, failed(&run)),
        (1, one("init scripts", "refused")),
        "{run:?}"
    );

    let mut machine = Machine::new(&kms, json!({}));
    machine.document["kms_urls"] = json!([]);
    let run = check(&machine);
    assert_eq!(
        (run.code, failed(&run)),
        (64, one("key provider", "malformed")),
        "{run:?}"
    );

    let mut machine = Machine::new(&kms, json!({}));
    machine.document["kms_urls"] = json!(["https://127.0.0.1:1"]);
    let run = check(&machine);
    assert_eq!(
        (run.code, failed(&run)),
        (2, one("KMS", "could_not_ask")),
        "{run:?}"
    );
    machine.document["kms_urls"] = json!(["https://127.0.0.1:1", kms.url]);
    assert_eq!(check(&machine).code, 0, "one node is enough");

    let machine = Machine::new(&kms, json!({ "env_signers": [hex::encode([1; 20])] }));
    let mut unsigned = machine.document.clone();
    unsigned["encrypted_env"] = json!({ "version": 1, "data": "00" });
    let machine = Machine {
        document: unsigned,
        ..machine
    };
    let run = check(&machine);
    assert_eq!(
        (run.code, failed(&run)),
        (1, one("environment", "refused")),
        "{run:?}"
    );
}

#[test]
fn check_looks_for_a_local_key_provider() {
    let compose = json!({
        "manifest_version": 2,
        "name": "hello",
        "runner": "docker-compose",
        "docker_compose_file": "services: {}",
        "key_provider": "local",
    });
    let check = |address: Option<String>| {
        let mut machine = Machine::alone(&compose.to_string());
        if let Some(address) = address {
            machine.document["local_key_provider"] = address.into();
        }
        machine.boot_with(&["--check"])
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let run = check(Some(address.clone()));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(states(&run).contains(&("local key provider".to_owned(), "ok".to_owned())));
    drop(listener);
    let run = check(Some(address));
    let expected = one("local key provider", "could_not_ask");
    assert_eq!((run.code, failed(&run)), (2, expected), "{run:?}");
    let run = check(None);
    assert_eq!(
        (run.code, failed(&run)),
        (64, one("key provider", "malformed")),
        "{run:?}"
    );
}

#[test]
fn check_looks_at_the_td_and_the_folders_too() {
    let kms = Kms::honest();
    let mut machine = Machine::new(&kms, json!({}));
    // Another boot's event is in the register, and the catalogue is of another image.
    machine.guest.td.extend("app-id", &[7; 20]).unwrap();
    let other = soft_td::SimImage::new("another").unwrap();
    machine.document["catalogue"] = serde_json::from_slice(&other.catalogue().to_json().unwrap()).unwrap();
    machine.guest.write("run", b"a file");
    let run = machine.boot_with(&["--check"]);
    let names: Vec<_> = failed(&run).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["event log", "OS image", "folder of the boot"], "{run:?}");
    assert_eq!(run.code, 1);
    let people = line(
        "setup --check",
        &machine.arguments()[1..]
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    assert!(
        people.out.contains("MISSING") && people.out.contains("start the VM again"),
        "{people:?}"
    );

    let machine = Machine::new(&kms, json!({}));
    let mut words = machine.arguments();
    words[2] = "socket:/nonexistent/td.sock".to_owned();
    words.extend(["--check".to_owned(), "--json".to_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = line("", &words);
    assert_eq!(
        (run.code, failed(&run)),
        (2, one("TD", "could_not_ask")),
        "{run:?}"
    );

    // A document that is none hides nothing else.
    let machine = Machine::new(&kms, json!({}));
    let document = machine.guest.write("host.json", b"{}");
    let words = [
        "--td",
        &machine.guest.spec,
        "--host-document",
        &document,
        "--run",
        "/nonexistent/a/b",
    ];
    let run = line("setup --check --json", &words);
    assert_eq!(run.code, 64, "{run:?}");
    assert_eq!(
        states(&run)[0],
        ("host document".to_owned(), "malformed".to_owned())
    );
    assert_eq!(states(&run)[1], ("TD".to_owned(), "ok".to_owned()));
}

#[test]
fn g3_another_kms_than_the_document_pins_is_not_asked() {
    let (kms, other) = (Kms::honest(), epoch_keys(2));
    let mut machine = Machine::new(&kms, json!({}));
    machine.document["kms_identity"]["kms_identity"] = json!(other.identity().kms_identity);
    machine.document["kms_identity"]["ca_certificate"] = json!(other.identity().ca_certificate);
    refused(&machine.boot(), 1, "which the compose document pins");
    // A host that lies about the address meets the pin at TLS.
    let mut machine = Machine::new(
        &kms,
        json!({ "key_provider_id": hex::encode(other.identity().kms_identity.as_ref()) }),
    );
    machine.document["kms_identity"]["kms_identity"] = json!(other.identity().kms_identity);
    machine.document["kms_identity"]["ca_certificate"] = json!(other.identity().ca_certificate);
    // Somebody answered who is not the KMS: a refusal, not a silence.
    let run = machine.boot();
    refused(&run, 1, "KMS identity");
    assert!(!machine.log().contains(&"key-provider".to_owned()));
}

#[test]
fn g3_a_document_without_a_pin_does_not_take_the_hosts_kms() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({ "key_provider_id": "" }));
    let run = machine.boot_with(&["--check"]);
    assert_eq!(
        (run.code, failed(&run)),
        (1, one("key provider", "refused")),
        "{run:?}"
    );
    refused(&machine.boot(), 1, "(check G3)");
    assert!(!machine.log().contains(&"key-provider".to_owned()));
    // Its owner may say that any will do.
    let any = json!({ "key_provider_id": "", "allow_any_kms": true });
    assert_eq!(Machine::new(&kms, any).boot().code, 0);
}

#[test]
fn g3_keys_of_another_app_or_epoch_are_not_taken() {
    for change in [
        (|keys| keys.app_id = AppId::new([9; 20])) as fn(&mut kms_wire::AppKeys),
        |keys| keys.key_epoch = KeyEpoch(2),
        |keys| keys.instance_id = kms_types::InstanceId::new([9; 20]),
    ] {
        let kms = Kms::spoiling(move |answer, evidence| reseal(answer, evidence, change));
        let machine = Machine::new(&kms, json!({}));
        assert_ne!(machine.boot().code, 0);
        assert!(!machine.log().contains(&"key-provider".to_owned()));
        assert!(
            !Path::new(&machine.guest.path("run"))
                .join("app-keys.json")
                .exists()
        );
    }
}

#[test]
fn k4_what_an_earlier_boot_left_is_gone_before_another_begins() {
    let kms = Kms::honest();
    let mut machine = Machine::new(&kms, json!({}));
    assert_eq!(machine.boot().code, 0);
    let run = machine.guest.path("run");
    let mut next = Machine::new(&kms, json!({}));
    fs::rename(&run, next.guest.path("run")).unwrap();
    fs::write(
        Path::new(&next.guest.path("run")).join(".new-x1"),
        "half a secret",
    )
    .unwrap();
    next.document["kms_urls"] = json!(["https://127.0.0.1:1"]);
    assert_eq!(next.boot().code, 2);
    let mut left: Vec<_> = fs::read_dir(next.guest.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["progress.json"], "an agent would have started on it");
    // Without a key provider the keys of the earlier boot must not be taken for this one's.
    let none = json!({ "key_provider": "none", "key_provider_id": "" });
    machine = Machine::new(&kms, none.clone());
    assert_eq!(machine.boot().code, 0);
    let next = Machine::new(&kms, none);
    fs::rename(machine.guest.path("run"), next.guest.path("run")).unwrap();
    let key = next.run_file("app-keys.json")["app_key"].clone();
    assert_eq!(next.boot().code, 0);
    assert_ne!(next.run_file("app-keys.json")["app_key"], key);
}

#[test]
fn b5_no_hand_over_stands_before_system_ready_and_one_that_waited_is_found() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    assert_eq!(machine.boot().code, 0);
    let run = Path::new(&machine.guest.path("run")).to_owned();
    let first = machine.run_file("handover.json");
    // As a kill between the event and the renaming leaves it.
    fs::rename(run.join("handover.json"), run.join("handover.next.json")).unwrap();
    let again = machine.boot();
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(machine.run_file("handover.json"), first);
    assert!(!run.join("handover.next.json").exists());
    assert_eq!(machine.log(), WHOLE_LOG);
    // A folder that cannot take the files of the agent: the log must not say ready.
    let machine = Machine::new(&kms, json!({}));
    fs::create_dir_all(Path::new(&machine.guest.path("run")).join("app-compose.json")).unwrap();
    let stopped = machine.boot();
    assert_eq!(stopped.code, 2, "{stopped:?}");
    assert!(!machine.log().contains(&"system-ready".to_owned()));
    assert!(
        !Path::new(&machine.guest.path("run"))
            .join("handover.json")
            .exists()
    );
}

#[test]
fn a_launch_token_is_the_one_whose_hash_was_measured() {
    let kms = Kms::honest();
    let hash = Sha256::digest(b"dstack-launch-token/v1:open sesame");
    let wanted = json!({
        "manifest_version": "3",
        "allowed_envs": ["APP_LAUNCH_TOKEN"],
        "requirements": { "launch_token_hash": hex::encode(hash) },
    });
    for (token, code) in [(None, 1), (Some("open barley"), 1), (Some("open sesame"), 0)] {
        let mut machine = Machine::new(&kms, wanted.clone());
        if let Some(token) = token {
            let values = variables(&[("APP_LAUNCH_TOKEN", token)]);
            machine.env(
                1,
                &encrypt_v1(&recipient(&kms), &values, &mut rand::rng()).unwrap(),
            );
        }
        let run = machine.boot();
        assert_eq!(run.code, code, "{token:?}: {run:?}");
        assert_eq!(machine.log().contains(&"system-ready".to_owned()), code == 0);
    }
}

#[test]
fn b2_a_log_of_another_boot_is_not_continued() {
    let kms = Kms::honest();
    for events in [
        vec![("app-id", vec![0xa1; 20])],
        vec![("system-preparing", vec![]), ("app-id", vec![0xee; 20])],
    ] {
        let machine = Machine::new(&kms, json!({}));
        for (name, payload) in &events {
            machine.guest.td.extend(name, payload).unwrap();
        }
        let run = machine.boot();
        refused(&run, 1, "event log");
        assert!(
            run.json()["error"]["advice"]
                .as_str()
                .unwrap()
                .contains("start the VM again")
        );
        assert_eq!(machine.log().len(), events.len());
    }
}

#[test]
fn a_completed_boot_whose_folder_is_gone_gets_no_second_set_of_keys() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    assert_eq!(machine.boot().code, 0);
    fs::remove_dir_all(machine.guest.path("run")).unwrap();
    refused(&machine.boot(), 1, "completed boot");
}

#[test]
fn g4_a_folder_of_another_instance_is_refused_and_left_alone() {
    let kms = Kms::honest();
    let mut machine = Machine::new(&kms, json!({}));
    assert_eq!(machine.boot().code, 0);
    let marker = fs::read(Path::new(&machine.guest.path("data")).join("kedge-storage.json")).unwrap();
    machine.document["instance_seed"] = json!(hex::encode([0x77; 20]));
    let other = machine.rebooted();
    refused(&other.boot(), 1, "got another's");
    assert_eq!(
        fs::read(other.guest.folder.path().join("data/kedge-storage.json")).unwrap(),
        marker
    );
}

#[test]
fn g4_a_folder_with_files_and_no_marker_is_never_formatted() {
    let kms = Kms::honest();
    let machine = Machine::new(&kms, json!({}));
    fs::create_dir(machine.guest.path("data")).unwrap();
    let file = Path::new(&machine.guest.path("data")).join("someone's");
    fs::write(&file, "work").unwrap();
    refused(&machine.boot(), 1, "files without a marker");
    assert_eq!(fs::read_to_string(file).unwrap(), "work");
}

#[test]
fn g4_on_real_tdx_a_plain_folder_is_refused_under_lasting_keys() {
    let kms = Kms::honest();
    let check = |extra: Value| {
        let machine = Machine::new(&kms, extra);
        let mut words = machine.arguments();
        "tsm".clone_into(&mut words[2]);
        words.extend(["--check".to_owned(), "--json".to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        failed(&line("", &words))
    };
    assert!(check(json!({})).contains(&("storage".to_owned(), "refused".to_owned())));
    // Without lasting keys nothing outlives the boot, and the folder is in memory.
    let none = json!({ "key_provider": "none", "key_provider_id": "" });
    assert!(check(none).iter().all(|(name, _)| name != "storage"));
}

#[test]
fn g5_a_fresh_instance_takes_no_absent_and_no_old_environment() {
    let kms = Kms::honest();
    let (owner, address) = signer(1);
    let machine = Machine::new(&kms, json!({ "env_signers": [address] }));
    refused(&machine.boot(), 1, "got none (check G5)");
    let run = machine.boot_with(&["--check"]);
    assert_eq!(failed(&run), one("environment", "refused"), "{run:?}");
    for (version, code) in [(6, 1), (7, 0)] {
        let least = json!({ "env_signers": [address], "env_min_version": 7 });
        let mut machine = Machine::new(&kms, least);
        let hash = machine.compose_hash();
        machine.env(2, &sealed(&kms, hash, version, "x", &owner));
        let run = machine.boot();
        assert_eq!(run.code, code, "{run:?}");
        assert!(code == 0 || run.message().contains("(check G5)"), "{run:?}");
    }
}

#[test]
fn g12_what_a_document_states_and_nobody_keeps_is_refused() {
    let kms = Kms::honest();
    let health = |key: &str, value: Value| json!({ "manifest_version": "3", "requirements": { key: value } });
    for (stated, name) in [
        (health("health_check", json!(true)), "requirements.health_check"),
        (
            health("health_status_file", json!("/run/health")),
            "requirements.health_status_file",
        ),
        (json!({ "secure_time": true }), "secure_time"),
        (json!({ "swap_size": "1G" }), "swap_size"),
        (
            json!({ "port_policy": { "restrict_mode": true } }),
            "port_policy.restrict_mode",
        ),
    ] {
        let machine = Machine::new(&kms, stated);
        let run = machine.boot_with(&["--check"]);
        assert_eq!((run.code, failed(&run)), (1, one(name, "refused")), "{run:?}");
        refused(&machine.boot(), 1, "(check G12)");
        assert!(machine.log().is_empty());
    }
    // As dstack's own tools write a document.
    let usual = json!({
        "gateway_enabled": true, "tproxy_enabled": true, "kms_enabled": true, "local_key_provider_enabled": false,
        "public_logs": true, "public_sysinfo": true, "public_tcbinfo": true, "no_instance_id": false,
        "secure_time": false, "storage_fs": "zfs", "swap_size": 0, "port_policy": { "restrict_mode": false },
    });
    let run = Machine::new(&kms, usual).boot();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn g5_an_environment_nobody_named_signed_is_refused() {
    let kms = Kms::honest();
    let (owner, address) = signer(1);
    let (stranger, _) = signer(2);
    let mut machine = Machine::new(&kms, json!({ "env_signers": [address] }));
    let hash = machine.compose_hash();
    machine.env(2, &sealed(&kms, hash, 1, "x", &stranger));
    refused(&machine.boot(), 1, "(check G5)");
    let mut machine = Machine::new(&kms, json!({ "env_signers": [address] }));
    machine.env(2, &sealed(&kms, ComposeHash::of(b"other"), 1, "x", &owner));
    refused(&machine.boot(), 1, "for document");
    // The host can encrypt to the public key; it cannot sign.
    let mut machine = Machine::new(&kms, json!({ "env_signers": [address] }));
    let unsigned = encrypt_v1(&recipient(&kms), &variables(&[("SECRET", "x")]), &mut rand::rng()).unwrap();
    machine.env(1, &unsigned);
    refused(&machine.boot(), 1, "got version 1");
    assert!(!Path::new(&machine.guest.path("run")).join("env.json").exists());
}

#[test]
fn g5_an_older_environment_or_none_is_refused_after_a_newer_one() {
    let kms = Kms::honest();
    let (owner, address) = signer(1);
    let mut machine = Machine::new(&kms, json!({ "env_signers": [address] }));
    let hash = machine.compose_hash();
    machine.env(2, &sealed(&kms, hash, 5, "five", &owner));
    assert_eq!(machine.boot().code, 0);
    assert_eq!(machine.run_file("env.json")["env"][0]["value"], "five");
    let log = machine.guest.td.event_log().unwrap();
    let [.., accepted, ready] = log.as_slice() else {
        panic!("{log:?}")
    };
    let number = accepted.event_payload.as_bytes().get(..8).map(<[u8]>::to_vec);
    assert_eq!(
        (accepted.event.as_str(), number, ready.event.as_str()),
        ("env-accepted", Some(5_u64.to_be_bytes().to_vec()), "system-ready")
    );
    let replays: [&dyn Fn(&mut Machine); 3] = [
        &|m| m.env(2, &sealed(&kms, hash, 4, "four", &owner)),
        &|m| m.env(2, &sealed(&kms, hash, 5, "another five", &owner)),
        &|m| m.document["encrypted_env"] = Value::Null,
    ];
    for replay in replays {
        machine = machine.rebooted();
        replay(&mut machine);
        refused(&machine.boot(), 1, "(check G5)");
    }
    machine = machine.rebooted();
    machine.env(2, &sealed(&kms, hash, 6, "six", &owner));
    assert_eq!(machine.boot().code, 0);
    assert_eq!(machine.run_file("env.json")["env"][0]["value"], "six");
    // The record itself cannot be written by who does not have the disk key.
    let record = machine.guest.folder.path().join("data/env-version.json");
    let changed = fs::read_to_string(&record)
        .unwrap()
        .replace("\"number\":6", "\"number\":1");
    fs::write(&record, changed).unwrap();
    let machine = machine.rebooted();
    refused(&machine.boot(), 1, "the record this instance wrote");
}

#[test]
fn g5_names_that_steer_loaders_and_tools_cannot_be_allowed() {
    let kms = Kms::honest();
    for name in [
        "LD_PRELOAD",
        "PATH",
        "BASH_ENV",
        "DOCKER_HOST",
        "CONTAINERD_ADDRESS",
    ] {
        let machine = Machine::new(&kms, json!({ "allowed_envs": [name] }));
        refused(&machine.boot(), 64, name);
        assert!(machine.log().is_empty());
    }
}

#[test]
fn requirements_that_do_not_hold_stop_the_boot_before_anything_is_measured() {
    let kms = Kms::honest();
    for (requirement, words) in [
        (json!({ "platforms": ["tdx"] }), "expected tdx, got sim"),
        (json!({ "os_version": ">=0.5.0" }), "got no OS image"),
        (json!({ "rollback": "detect" }), "kept outside of the disk"),
        (json!({ "gpu_policy": { "attest_gpu": true } }), "a GPU"),
    ] {
        let machine = Machine::new(
            &kms,
            json!({ "manifest_version": "3", "requirements": requirement }),
        );
        refused(&machine.boot(), 1, words);
        assert!(machine.log().is_empty());
    }
    let met = json!({ "manifest_version": "3", "requirements": { "platforms": ["tdx", "sim"] } });
    assert_eq!(Machine::new(&kms, met).boot().code, 0);
}

#[test]
fn a_kms_that_is_not_there_is_told_from_one_that_says_no() {
    let kms = Kms::honest();
    let mut machine = Machine::new(&kms, json!({}));
    machine.document["kms_urls"] = json!(["https://127.0.0.1:1"]);
    assert_eq!(machine.boot().code, 2);
    assert_eq!(machine.run_file("progress.json")["stage"], "keys");
    assert_eq!(machine.run_file("progress.json")["state"], "failed");
    // The address of a node that works behind it is enough; what was measured stays, so it is another TD.
    let mut machine = Machine::new(&kms, json!({}));
    machine.document["kms_urls"] = json!(["https://127.0.0.1:1", kms.url]);
    assert_eq!(machine.boot().code, 0);
}

#[test]
fn without_a_key_provider_nothing_persists_and_it_is_said() {
    let kms = Kms::honest();
    let mut machine = Machine::new(&kms, json!({ "key_provider": "none", "key_provider_id": "" }));
    let run = machine.boot();
    assert_eq!(run.code, 0, "{run:?}");
    let handover = machine.run_file("handover.json");
    assert_eq!(handover["boot_mode"], "none");
    assert!(
        handover["storage"]["path"]
            .as_str()
            .unwrap()
            .ends_with("run/data")
    );
    assert!(!Path::new(&machine.guest.path("data")).exists());
    let key = machine.run_file("app-keys.json")["app_key"].clone();
    fs::create_dir(machine.guest.path("data")).unwrap();
    machine = machine.rebooted();
    machine.env(
        1,
        &encrypt_v1(&recipient(&kms), &variables(&[]), &mut rand::rng()).unwrap(),
    );
    refused(&machine.boot(), 1, "fresh at each boot");
    // An environment of version 1 is measured, so without it this is another boot.
    machine = machine.rebooted();
    machine.document["encrypted_env"] = Value::Null;
    assert_eq!(machine.boot().code, 0);
    assert_ne!(machine.run_file("app-keys.json")["app_key"], key);
}

#[test]
fn init_scripts_are_measured_and_run_only_where_they_may() {
    let kms = Kms::honest();
    let script = |mark: &str| json!({ "init_script": [format!("echo ran > {mark}")] });
    let folder = tempfile::TempDir::new().unwrap();
    let mark = folder.path().join("mark").display().to_string();
    let machine = Machine::new(&kms, script(&mark));
    refused(&machine.boot(), 1, "--run-scripts");
    assert!(!Path::new(&mark).exists());
    let run = machine.boot_with(&["--run-scripts"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(Path::new(&mark).exists());
    assert_eq!(machine.log()[3], "init-script-hash");
}
