//! `replay`: registers, matches, identities.

use crate::{
    guest::{Guest, app},
    run::{line, tdxctl},
};
use kms_types::InstanceId;
use serde_json::Value;
use td_quote::Td;

fn log_file(guest: &Guest, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut log: Vec<Value> =
        serde_json::from_value(serde_json::to_value(guest.td.event_log().unwrap()).unwrap()).unwrap();
    change(&mut log);
    guest.write("log.json", serde_json::to_string(&log).unwrap().as_bytes())
}

#[test]
fn a_boot_replays_to_its_quote() {
    let guest = Guest::booted();
    let quote = guest.write("quote.bin", &guest.td.quote(&[7; 64].into()).unwrap());
    let log = log_file(&guest, |_| ());
    let run = tdxctl(&["replay", "--event-log", &log, "--quote", &quote, "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    assert_eq!(
        (&json["ok"], &json["matches"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert_eq!(json["registers"]["rtmr3"]["matches"], true);
    assert_eq!(
        json["registers"]["rtmr3"]["replayed"],
        guest.td.rtmr3().to_string()
    );
    assert_eq!(json["registers"]["rtmr0"]["matches"], Value::Null);
    let app = app();
    assert_eq!(json["app_id"], app.app_id.to_string());
    assert_eq!(json["compose_hash"], app.compose_hash.to_string());
    let instance = InstanceId::derive(&app.instance_seed.unwrap(), &app.app_id);
    assert_eq!(json["instance_id"], instance.to_string());
    assert!(json["mr_aggregated"].is_string() && json["mr_system"].is_string());
}

#[test]
fn one_file_with_both_is_enough() {
    let guest = Guest::booted();
    let run = tdxctl(&["replay", "--quote", &guest.evidence([0; 64])]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.out.contains("matches") && run.out.contains("not in the log"),
        "{run:?}"
    );
}

#[test]
fn b1_another_log_is_refused() {
    let guest = Guest::booted();
    let quote = guest.evidence([0; 64]);
    // Digests are recomputed, so a log without them is as good, and one whose payload changed is not.
    let without_digests = log_file(&guest, |log| {
        log.iter_mut().for_each(|entry| entry["digest"] = "".into())
    });
    let args = |log: &str| line("replay --json --event-log", &[log, "--quote", &quote]);
    assert_eq!(args(&without_digests).code, 0);
    let changed = log_file(&guest, |log| {
        log[2]["event_payload"] = "00".repeat(32).into();
        log[2]["digest"] = "".into();
    });
    let run = args(&changed);
    assert_eq!(
        (run.code, &run.json()["registers"]["rtmr3"]["matches"]),
        (1, &Value::Bool(false))
    );
    let stale_digest = log_file(&guest, |log| log[2]["event_payload"] = "00".repeat(32).into());
    let run = args(&stale_digest);
    assert_eq!(run.code, 1);
    assert!(run.message().starts_with("B1"), "{run:?}");
}

#[test]
fn b2_boot_events_out_of_order_are_refused() {
    let guest = Guest::booted();
    guest.td.extend("app-id", &[1; 20]).unwrap();
    let run = tdxctl(&["replay", "--json", "--quote", &guest.evidence([0; 64])]);
    assert_eq!(run.code, 1);
    let json = run.json();
    assert_eq!(json["matches"], true);
    assert!(
        json["boot_events_error"].as_str().unwrap().starts_with("B2"),
        "{run:?}"
    );
}

#[test]
fn files_that_are_something_else_are_malformed() {
    let guest = Guest::booted();
    let quote = guest.write("quote.bin", &guest.td.quote(&[7; 64].into()).unwrap());
    let not_json = guest.write("no.json", b"not json");
    assert_eq!(
        tdxctl(&["replay", "--event-log", &not_json, "--quote", &quote]).code,
        64
    );
    assert_eq!(tdxctl(&["replay", "--quote", &quote]).code, 64);
    assert_eq!(tdxctl(&["replay", "--quote", &not_json]).code, 64);
    assert_eq!(tdxctl(&["replay", "--quote", "/nonexistent"]).code, 64);
}
