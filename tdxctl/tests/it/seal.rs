//! `seal` and `unseal` with keys that setup left, and with keys a KMS releases when asked.

use crate::{
    guest::{Guest, app},
    kms::Kms,
    run::{Run, line},
    setup::{APP, Machine},
};
use kms_keys::{SealScope, SealedFile};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// Runs with bytes at standard input; gives exit code and standard output as bytes.
fn piped(arguments: &[&str], input: &[u8]) -> (i32, Vec<u8>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tdxctl"))
        .args(arguments)
        .env_remove("KEDGE_TD")
        .env_remove("KEDGE_KMS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A program that refuses early does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), output.stdout)
}

fn booted(kms: &Kms) -> Machine {
    let machine = Machine::new(kms, json!({}));
    let run = machine.boot();
    assert_eq!(run.code, 0, "{run:?}");
    machine
}

fn of_app(kms: &Kms, app_id: [u8; 20], seed: [u8; 20]) -> Machine {
    let mut machine = Machine::new(kms, json!({}));
    machine.document["app_id"] = hex::encode(app_id).into();
    machine.document["instance_seed"] = hex::encode(seed).into();
    assert_eq!(machine.boot().code, 0);
    machine
}

fn seal(machine: &Machine, extra: &[&str], text: &[u8]) -> Vec<u8> {
    let run = machine.guest.path("run");
    let (code, file) = piped(&[&["seal", "--run", &run], extra].concat(), text);
    assert_eq!(code, 0);
    file
}

/// Unseals into a file, and says how that went.
fn unseal(machine: &Machine, extra: &[&str], file: &[u8]) -> Run {
    let (run, sealed) = (machine.guest.path("run"), machine.guest.write("sealed", file));
    let fixed = [
        "--run",
        &run,
        "--in",
        &sealed,
        "--out",
        &machine.guest.path("opened"),
    ];
    line("unseal --json", &[fixed.as_slice(), extra].concat())
}

fn refused(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, code, "{run:?}");
    assert!(run.message().contains(words), "expected {words:?}: {run:?}");
    assert!(!run.json()["error"]["advice"].is_null(), "{run:?}");
}

#[test]
fn what_is_sealed_opens_again_after_a_reboot() {
    let kms = Kms::honest();
    let machine = booted(&kms);
    for extra in [&[][..], &["--instance"]] {
        for text in [&b""[..], b"secret\0\xff", &vec![7; 200_000]] {
            let file = seal(&machine, extra, text);
            let (code, opened) = piped(&["unseal", "--run", &machine.guest.path("run")], &file);
            assert_eq!((code, opened.as_slice()), (0, text));
        }
    }
    let file = seal(&machine, &["--instance"], b"kept");
    let machine = machine.rebooted();
    assert_eq!(machine.boot().code, 0);
    let run = unseal(&machine, &[], &file);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(fs::read(machine.guest.path("opened")).unwrap(), b"kept");
    let json = run.json();
    assert_eq!(
        (&json["scope"], &json["bytes"], &json["key_epoch"]),
        (&"instance".into(), &4.into(), &1.into())
    );
}

#[test]
fn k4_opened_files_are_their_owners_alone_and_replaced_whole() {
    let kms = Kms::honest();
    let machine = booted(&kms);
    let file = seal(&machine, &[], b"secret of the app");
    // A link in the place of the file must not lead the secret elsewhere.
    let elsewhere = machine.guest.write("elsewhere", b"as it was");
    std::os::unix::fs::symlink(&elsewhere, machine.guest.path("opened")).unwrap();
    let run = unseal(&machine, &[], &file);
    assert_eq!(run.code, 0, "{run:?}");
    let opened = machine.guest.path("opened");
    assert_eq!(
        fs::symlink_metadata(&opened).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert!(fs::symlink_metadata(&opened).unwrap().is_file());
    assert_eq!(fs::read(elsewhere).unwrap(), b"as it was");
    assert!(!run.out.contains("secret of the app") && !run.err.contains("secret of the app"));
    // A file that does not open leaves the earlier one.
    let mut bad = file;
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(unseal(&machine, &[], &bad).code, 1);
    assert_eq!(fs::read(&opened).unwrap(), b"secret of the app");
    assert_eq!(
        line("unseal --json", &["--run", &machine.guest.path("run")]).code,
        64
    );
}

#[test]
fn g10_another_app_instance_or_purpose_is_refused_by_name() {
    let kms = Kms::honest();
    let machine = booted(&kms);
    let other_app = of_app(&kms, [0xb2; 20], [0x5e; 20]);
    let other_instance = of_app(&kms, APP, [0x77; 20]);
    let file = seal(&machine, &["--context", "db"], b"text");
    refused(
        &unseal(&other_app, &["--context", "db"], &file),
        1,
        "expected app 0xa1a1",
    );
    assert_eq!(
        unseal(&other_instance, &["--context", "db"], &file).code,
        0,
        "the same app"
    );
    refused(
        &unseal(&machine, &[], &file),
        1,
        "expected context \"db\", got \"\"",
    );
    let file = seal(&machine, &["--instance"], b"text");
    refused(&unseal(&other_instance, &[], &file), 1, "expected instance");
    refused(&unseal(&other_app, &[], &file), 1, "expected app 0xa1a1");
    // The head says it is the other app's: then its tag says no.
    let mut moved = file;
    moved[27..47].copy_from_slice(&[0xb2; 20]);
    let id = fs::read(Path::new(&other_app.guest.path("run")).join("app-keys.json")).unwrap();
    let keys: Value = serde_json::from_slice(&id).unwrap();
    let instance = keys["instance_id"]
        .as_str()
        .unwrap()
        .trim_start_matches("0x")
        .to_owned();
    moved[47..67].copy_from_slice(&hex::decode(instance).unwrap());
    refused(&unseal(&other_app, &[], &moved), 1, "bytes that this key sealed");
}

#[test]
fn malformed_changed_and_unreachable_are_told_apart() {
    let kms = Kms::honest();
    let machine = booted(&kms);
    let file = seal(&machine, &[], b"text");
    refused(&unseal(&machine, &[], b""), 64, "begin");
    refused(&unseal(&machine, &[], &file[..file.len() - 1]), 64, "ciphertext");
    refused(
        &unseal(&machine, &[], &[file.as_slice(), b"x"].concat()),
        64,
        "ciphertext",
    );
    let mut changed = file.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    refused(&unseal(&machine, &[], &changed), 1, "bytes that this key sealed");
    let sealed = machine.guest.write("sealed", &file);
    let nowhere = line(
        "unseal --json",
        &[
            "--run",
            "/nonexistent",
            "--in",
            &sealed,
            "--out",
            &machine.guest.path("o"),
        ],
    );
    refused(&nowhere, 2, "/nonexistent/app-keys.json");
    let absent = line(
        "seal --json",
        &[
            "--run",
            &machine.guest.path("run"),
            "--in",
            "/nonexistent",
            "--out",
            "x",
        ],
    );
    assert_eq!(absent.code, 2, "{absent:?}");
}

/// The words that ask the KMS of `guest`.
fn ask(guest: &Guest, kms: &Kms) -> Vec<String> {
    let identity = guest.write("kms-identity.json", &serde_json::to_vec(&kms.identity()).unwrap());
    let seed = app().instance_seed.unwrap().to_string();
    [
        "--td",
        &guest.spec,
        "--kms",
        &kms.url,
        "--kms-identity-file",
        &identity,
        "--catalogue",
        &guest.path("catalogue.json"),
        "--instance-seed",
        &seed,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn keys_of_the_epoch_a_file_needs_are_asked_for() {
    let kms = Kms::honest();
    let machine = booted(&kms);
    let file = seal(&machine, &["--instance"], b"from epoch 1");
    assert_eq!(SealedFile::parse(&file).unwrap().scope, SealScope::Instance);
    // As after a rotation: this boot has the keys of the next epoch.
    let path = Path::new(&machine.guest.path("run")).join("app-keys.json");
    let keys = fs::read_to_string(&path).unwrap();
    assert!(keys.contains("\"key_epoch\":1"));
    fs::write(&path, keys.replace("\"key_epoch\":1", "\"key_epoch\":2")).unwrap();
    let old = unseal(&machine, &[], &file);
    refused(&old, 2, "expected keys of epoch 1, got keys of epoch 2");
    assert!(old.json()["error"]["advice"].as_str().unwrap().contains("--kms"));

    // A guest of the same app and instance whose boot is not complete asks for the epoch of the file.
    let guest = Guest::booted();
    assert_eq!(app().app_id.as_ref(), &APP);
    let (sealed, opened) = (guest.write("sealed", &file), guest.path("opened"));
    let words = ask(&guest, &kms);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = line(
        "unseal --json",
        &[words.as_slice(), &["--in", &sealed, "--out", &opened]].concat(),
    );
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(fs::read(&opened).unwrap(), b"from epoch 1");

    // Keys of another epoch are another KMS identity's, and somebody has to say which.
    let mut young = file;
    young[23..27].copy_from_slice(&9u32.to_be_bytes());
    let sealed = guest.write("sealed", &young);
    let run = line(
        "unseal --json",
        &[words.as_slice(), &["--in", &sealed, "--out", &opened]].concat(),
    );
    refused(
        &run,
        64,
        "--epoch-identity-file: expected the identity document of epoch 9",
    );
    let identity = guest.write("older.json", &serde_json::to_vec(&kms.identity()).unwrap());
    let older = [
        "--epoch-identity-file",
        &identity,
        "--in",
        &sealed,
        "--out",
        &opened,
    ];
    let run = line("unseal --json", &[words.as_slice(), &older].concat());
    assert_eq!(run.code, 64, "{run:?}");
    assert!(run.message().contains("expected epoch 9, got epoch 1"), "{run:?}");
}

#[test]
fn a_kms_that_cannot_be_asked_is_not_a_refusal() {
    let kms = Kms::honest();
    let guest = Guest::booted();
    let words = ask(&guest, &kms);
    drop(kms);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (text, out) = (guest.write("text", b"text"), guest.path("sealed"));
    words.extend(["--in", &text, "--out", &out, "--timeout", "5"]);
    let run = line("seal --json", &words);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn fresh_keys_and_apps_without_instances_are_told_what_to_do() {
    let kms = Kms::honest();
    let compose = json!({
        "manifest_version": 2,
        "name": "hello",
        "runner": "docker-compose",
        "docker_compose_file": "services: {}",
        "key_provider": "none",
    });
    let mut machine = Machine::with(&kms, &compose.to_string());
    for key in ["kms_urls", "kms_identity", "chain"] {
        machine.document.as_object_mut().unwrap().remove(key);
    }
    let run = machine.boot();
    assert_eq!(run.code, 0, "{run:?}");
    let (text, out, folder) = (
        machine.guest.write("text", b"text"),
        machine.guest.path("sealed"),
        machine.guest.path("run"),
    );
    let fixed = ["--run", &folder, "--in", &text, "--out", &out];
    refused(&line("seal --json", &fixed), 1, "fresh ones of this boot");

    let mut machine = Machine::new(&kms, json!({ "no_instance_id": true }));
    machine.document.as_object_mut().unwrap().remove("instance_seed");
    let run = machine.boot();
    assert_eq!(run.code, 0, "{run:?}");
    let folder = machine.guest.path("run");
    let fixed = ["--run", &folder, "--in", &text, "--out", &out];
    assert_eq!(line("seal --json", &fixed).code, 0);
    refused(&line("seal --json --instance", &fixed), 1, "without instance ids");
}
