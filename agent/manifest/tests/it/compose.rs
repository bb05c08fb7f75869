//! app-compose.json: what is read, what is refused, what is told.

use app_manifest::{
    AppManifest, ComposeError, KeyProvider, MAX_ALLOWED_ENVS, MAX_COMPOSE, MAX_DEPTH, Rollback, Runner,
    StorageFs,
};
use kms_types::{ComposeHash, KmsIdentity};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn minimal() -> Value {
    json!({"manifest_version": 2, "name": "hello", "runner": "docker-compose", "docker_compose_file": "services: {}\n"})
}

fn with(changes: Value) -> Value {
    let mut document = minimal();
    for (key, value) in changes.as_object().unwrap() {
        document[key] = value.clone();
    }
    document
}

fn parse(document: &Value) -> Result<AppManifest, ComposeError> {
    AppManifest::parse(document.to_string().as_bytes())
}

fn accepted(changes: Value) -> AppManifest {
    parse(&with(changes)).unwrap()
}

fn refused(changes: Value) -> String {
    parse(&with(changes)).unwrap_err().to_string()
}

#[test]
fn the_sample_of_the_command_line_is_accepted() {
    let sample = include_bytes!("../../../../vmm/cli/samples/app-compose.json");
    let manifest = AppManifest::parse(sample).unwrap();
    assert_eq!(manifest.unknown_keys(), [""; 0]);
    assert_eq!(
        manifest.compose().allowed_envs.iter().next().unwrap().as_str(),
        "GREETING"
    );
    assert_eq!(manifest.compose().key_provider(), KeyProvider::Kms);
}

#[test]
fn the_hash_is_of_the_bytes_as_they_came() {
    let compact = minimal().to_string();
    let spaced = format!(" {compact}\n");
    for text in [&compact, &spaced] {
        let expected: [u8; 32] = Sha256::digest(text).into();
        assert_eq!(
            AppManifest::parse(text.as_bytes()).unwrap().hash(),
            ComposeHash::new(expected)
        );
    }
    assert_ne!(
        ComposeHash::of(compact.as_bytes()),
        ComposeHash::of(spaced.as_bytes())
    );
}

#[test]
fn what_is_left_out_has_the_defaults_of_dstack() {
    let manifest = accepted(json!({}));
    let c = manifest.compose();
    assert_eq!((c.manifest_version, c.runner), (2, Runner::DockerCompose));
    assert_eq!(
        (c.public_logs, c.public_sysinfo, c.public_tcbinfo),
        (false, false, true)
    );
    assert_eq!(
        (c.no_instance_id, c.secure_time, c.allow_mutable_images),
        (false, None, false)
    );
    assert_eq!(
        (c.key_provider(), c.behind_gateway(), c.swap_size),
        (KeyProvider::None, false, 0)
    );
    assert!(c.allowed_envs.is_empty() && c.init_script.is_empty() && c.requirements.is_none());
    assert_eq!(
        (c.storage_fs, c.lease_grace_s, c.pinned_kms()),
        (None, None, Ok(None))
    );
    assert_eq!((c.env_min_version, c.allow_any_kms), (0, false));
    assert!(!c.port_policy.restrict_mode && c.port_policy.ports.is_empty());
}

/// Every field at once. A field that is read and not in the list of known keys fails here.
#[test]
fn every_field_is_known() {
    let manifest = accepted(json!({
        "manifest_version": "3", "runner": "bash", "bash_script": "true", "pre_launch_script": "true",
        "init_script": ["a", "b"], "public_logs": true, "public_sysinfo": true, "public_tcbinfo": false,
        "kms_enabled": true, "gateway_enabled": false, "tproxy_enabled": true, "local_key_provider_enabled": true,
        "key_provider": "local", "key_provider_id": "0x0707070707070707070707070707070707070707070707070707070707070707",
        "allowed_envs": ["A", "B_2"], "no_instance_id": true, "secure_time": false, "storage_fs": "ext4", "swap_size": "2G",
        "port_policy": {"ports": [{"port": 80, "pp": true}, {"port": 443}], "restrict_mode": true},
        "requirements": {
            "os_version": ">=0.6", "platforms": ["tdx"], "tdx_measure_acpi_tables": true,
            "launch_token_hash": "11".repeat(32), "gpu_policy": {"attest_gpu": true}, "health_check": true,
            "health_status_file": "/run/health", "rollback": "detect",
        },
        "allow_mutable_images": true, "lease_grace_s": 60, "env_min_version": 7, "allow_any_kms": true,
    }));
    assert_eq!(manifest.unknown_keys(), [""; 0]);
    let c = manifest.compose();
    assert_eq!(
        (c.manifest_version, c.runner, c.storage_fs),
        (3, Runner::Bash, Some(StorageFs::Ext4))
    );
    assert_eq!(
        (c.key_provider(), c.behind_gateway(), c.swap_size),
        (KeyProvider::Local, true, 2 << 30)
    );
    assert_eq!(c.pinned_kms(), Ok(Some(KmsIdentity::new([7; 32]))));
    assert!(c.port_policy.ports[0].pp && !c.port_policy.ports[1].pp);
    assert_eq!((c.init_script.len(), c.lease_grace_s), (2, Some(60)));
    assert_eq!((c.env_min_version, c.allow_any_kms), (7, true));
    let requirements = c.requirements.as_ref().unwrap();
    assert_eq!(
        (requirements.rollback, requirements.launch_token_hash),
        (Some(Rollback::Detect), Some([0x11; 32]))
    );
}

#[test]
fn keys_nothing_reads_are_told() {
    let manifest = accepted(json!({"allow_envs": ["A"], "features": ["kms"]}));
    let mut unknown = manifest.unknown_keys().to_vec();
    unknown.sort();
    assert_eq!(unknown, ["allow_envs", "features"]);
}

#[test]
fn a_requirement_that_is_not_known_is_refused() {
    let error = refused(json!({"manifest_version": "3", "requirements": {"roll_back": "detect"}}));
    assert!(error.contains("unknown field `roll_back`"), "{error}");
    let error = refused(json!({"manifest_version": "3", "requirements": {"gpu_policy": {"attest": true}}}));
    assert!(error.contains("unknown field `attest`"), "{error}");
    let error = refused(json!({"manifest_version": "3", "requirements": {"rollback": "ignore"}}));
    assert!(error.contains("unknown variant"), "{error}");
}

#[test]
fn requirements_need_a_version_whose_readers_know_them() {
    let error = refused(json!({"requirements": {"rollback": "detect"}}));
    assert!(
        error.contains("requirements: expected manifest_version \"3\", got 2"),
        "{error}"
    );
}

#[test]
fn a_key_that_comes_twice_is_refused_at_every_depth() {
    let twice = [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","n\u0061me":"b"}"#,
        r#"{"x":{"y":[{"z":1,"z":1}]}}"#,
    ];
    for text in twice {
        let error = AppManifest::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(&error, ComposeError::Json(e) if e.problem.contains("once, got it twice") && e.line == 1),
            "{error}"
        );
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |levels: usize| {
        let inner = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let text = minimal()
            .to_string()
            .replacen('{', &format!("{{\"x\":{inner},"), 1);
        AppManifest::parse(text.as_bytes())
    };
    nested(MAX_DEPTH - 1).unwrap();
    let error = nested(MAX_DEPTH).unwrap_err().to_string();
    assert!(error.contains("expected at most 16 levels"), "{error}");
    nested(100_000).unwrap_err();

    let padded = |size: usize| {
        let mut text = minimal().to_string().into_bytes();
        text.resize(size, b' ');
        AppManifest::parse(&text)
    };
    padded(MAX_COMPOSE).unwrap();
    assert_eq!(
        padded(MAX_COMPOSE + 1).unwrap_err(),
        ComposeError::TooLong {
            actual: MAX_COMPOSE + 1
        }
    );
}

#[test]
fn manifest_version_is_a_number_or_text() {
    for (version, read) in [
        (json!(1), 1),
        (json!(2), 2),
        (json!("1"), 1),
        (json!("2"), 2),
        (json!("3"), 3),
    ] {
        assert_eq!(
            accepted(json!({"manifest_version": version}))
                .compose()
                .manifest_version,
            read
        );
    }
    for other in [
        json!(0),
        json!(3),
        json!(-1),
        json!(2.0),
        json!("0"),
        json!("4"),
        json!("02"),
        json!(" 2"),
        json!(null),
    ] {
        let error = refused(json!({"manifest_version": other}));
        assert!(error.contains("manifest_version"), "{other}: {error}");
    }
}

#[test]
fn init_script_is_text_or_at_most_five() {
    assert_eq!(
        accepted(json!({"init_script": "one"})).compose().init_script,
        ["one"]
    );
    assert_eq!(
        accepted(json!({"init_script": null})).compose().init_script,
        [""; 0]
    );
    assert_eq!(
        accepted(json!({"init_script": vec!["x"; 5]}))
            .compose()
            .init_script
            .len(),
        5
    );
    assert!(refused(json!({"init_script": vec!["x"; 6]})).contains("at most 5"));
    refused(json!({"init_script": ["x", 1]}));
}

#[test]
fn the_key_provider_is_what_is_stated_else_what_the_old_flags_say() {
    let provider = |changes| accepted(changes).compose().key_provider();
    assert_eq!(
        provider(json!({"kms_enabled": true, "local_key_provider_enabled": true})),
        KeyProvider::Kms
    );
    assert_eq!(
        provider(json!({"local_key_provider_enabled": true})),
        KeyProvider::Local
    );
    assert_eq!(
        provider(json!({"kms_enabled": true, "key_provider": "none"})),
        KeyProvider::None
    );
    refused(json!({"key_provider": "tpm"}));
    let manifest = accepted(json!({"key_provider_id": "0708"}));
    assert!(
        manifest.compose().pinned_kms().is_err(),
        "two bytes are no KMS identity"
    );
    assert!(refused(json!({"key_provider_id": "0"})).contains("hex"));
}

#[test]
fn sizes_have_units_and_a_bound() {
    for (text, bytes) in [
        ("0", 0),
        ("7", 7),
        ("3K", 3 << 10),
        ("512m", 512 << 20),
        ("1T", 1 << 40),
    ] {
        assert_eq!(accepted(json!({"swap_size": text})).compose().swap_size, bytes);
    }
    assert_eq!(accepted(json!({"swap_size": 4096})).compose().swap_size, 4096);
    for other in [
        "",
        "G",
        "+1",
        "1 G",
        "1GB",
        "-1",
        "2T",
        "99999999999999999999",
        "18446744073709551615K",
        "١K",
    ] {
        assert!(
            refused(json!({"swap_size": other})).contains("size: expected"),
            "{other}"
        );
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let error = parse(&with(json!({
        "name": "", "docker_compose_file": "", "lease_grace_s": 604_801,
        "port_policy": {"ports": [{"port": 80}, {"port": 80}]},
    })))
    .unwrap_err();
    let ComposeError::Fields(faults) = error else {
        panic!("{error}")
    };
    for (fault, field) in faults.iter().zip([
        "lease_grace_s",
        "name",
        "docker_compose_file",
        "port_policy.ports",
    ]) {
        assert!(fault.starts_with(field), "{fault}");
    }
    assert_eq!(faults.len(), 4);
    assert!(refused(json!({"port_policy": {"ports": [{"port": 0}]}})).contains("port_policy.ports"));
    assert!(refused(json!({"name": "a\nb"})).contains("name"));
    assert!(refused(json!({"runner": "bash"})).contains("bash_script"));
    let path = json!({"manifest_version": "3", "requirements": {"health_status_file": "/a/../b"}});
    assert!(refused(path).contains("health_status_file"));
}

#[test]
fn g5_allowed_envs_that_steer_a_tool_are_refused_with_the_document() {
    for name in ["LD_PRELOAD", "PATH", "DOCKER_HOST", "BASH_ENV", "1A", "A-B", ""] {
        let error = refused(json!({"allowed_envs": ["FINE", name]}));
        assert!(error.contains("check G5"), "{name}: {error}");
    }
    let many =
        |count: usize| json!({"allowed_envs": (0..count).map(|i| format!("E{i}")).collect::<Vec<_>>()});
    accepted(many(MAX_ALLOWED_ENVS));
    assert!(refused(many(MAX_ALLOWED_ENVS + 1)).contains("allowed_envs: expected at most 1024, got 1025"));
}

fn json_like() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "name",
        "runner",
        "allowed_envs",
        "swap_size",
        "requirements",
        "x",
        "port",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(document in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = AppManifest::parse(&document);
    }

    #[test]
    fn any_value_in_any_field_is_refused_or_read_within_its_bounds(
        field in prop::sample::select(vec![
            "manifest_version", "name", "runner", "init_script", "key_provider_id", "allowed_envs", "swap_size", "port_policy",
            "requirements", "lease_grace_s", "storage_fs", "other",
        ]),
        value in json_like(),
    ) {
        if let Ok(manifest) = parse(&with(json!({ field: value }))) {
            let c = manifest.compose();
            prop_assert!((1..=3).contains(&c.manifest_version) && c.init_script.len() <= 5 && c.swap_size <= 1 << 40);
            prop_assert!(c.allowed_envs.len() <= MAX_ALLOWED_ENVS && !c.name.is_empty());
            prop_assert_eq!(manifest.unknown_keys().len(), usize::from(field == "other"));
        }
    }
}
