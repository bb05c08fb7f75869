//! `quote`, `extend`, `event-log` against a simulated TD.

use crate::{
    guest::{Guest, image, platform},
    run::{line, tdxctl},
};
use attestation::describe;
use soft_td::TdConfig;
use std::fs;

fn fresh() -> Guest {
    Guest::serve(platform().launch(TdConfig::new(image().measurement("small").unwrap())))
}

#[test]
fn a_quote_carries_the_report_data() {
    let guest = Guest::booted();
    let data = "ab".repeat(64);
    let printed = tdxctl(&["quote", "--td", &guest.spec, "--report-data", &data]);
    assert_eq!(printed.code, 0);
    let own = describe(&hex::decode(printed.out.trim()).unwrap()).unwrap();
    assert_eq!(own.report_data.as_bytes(), &[0xab; 64]);

    let out = guest.path("quote.bin");
    let written = tdxctl(&[
        "quote",
        "--td",
        &guest.spec,
        "--report-data",
        &data,
        "--out",
        &out,
        "--json",
    ]);
    let json = written.json();
    assert_eq!(
        json["quote"],
        format!("0x{}", hex::encode(fs::read(out).unwrap()))
    );
    assert_eq!(json["event_log"].as_array().unwrap().len(), 7);
}

#[test]
fn events_are_recorded_in_order() {
    let guest = fresh();
    let run = tdxctl(&[
        "extend",
        "--td",
        &guest.spec,
        "--json",
        "system-preparing=",
        "app-id=0x0101010101010101010101010101010101010101",
        "storage-fs=text:ext4",
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let log = tdxctl(&["event-log", "--td", &guest.spec, "--json"]).json();
    let events: Vec<_> = log["event_log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["event"].clone())
        .collect();
    assert_eq!(events, ["system-preparing", "app-id", "storage-fs"]);
    assert_eq!(log["event_log"], run.json()["recorded"]);
    assert_eq!(log["event_log"][2]["event_payload"], "0x65787434");
    let people = tdxctl(&["event-log", "--td", &guest.spec]);
    assert!(
        people.out.contains("storage-fs") && people.out.contains("RTMR3"),
        "{people:?}"
    );
}

#[test]
fn nothing_is_recorded_when_one_event_cannot_be_read() {
    let guest = fresh();
    for bad in ["app-id=xyz", "app-id", "=00"] {
        let run = tdxctl(&["extend", "--td", &guest.spec, "system-preparing=", bad]);
        assert_eq!(run.code, 64, "{run:?}");
    }
    assert_eq!(
        tdxctl(&["event-log", "--td", &guest.spec, "--json"]).json()["event_log"],
        serde_json::json!([])
    );
}

#[test]
fn no_td_is_not_a_refusal() {
    let run = line("event-log --json --td", &["socket:/nonexistent/td.sock"]);
    assert_eq!(run.code, 2);
    assert_eq!(run.json()["error"]["kind"], "could_not_ask");
}

#[test]
fn a_machine_that_is_no_td_says_what_is_missing() {
    // Under a TDX guest kernel this would make a real quote.
    if std::path::Path::new("/sys/kernel/config/tsm/report").exists() {
        return;
    }
    let data = "ab".repeat(64);
    let run = tdxctl(&["quote", "--json", "--report-data", &data]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.message().contains("/sys/kernel/config/tsm/report"), "{run:?}");
    let advice = run.json()["error"]["advice"].as_str().unwrap().to_owned();
    assert!(
        advice.contains("tdx_guest") && advice.contains("--td socket:PATH"),
        "{advice}"
    );
    let run = line("quote --json --td tpm --report-data", &[&data]);
    assert_eq!(run.code, 64, "a TD of no known kind is no absent one: {run:?}");
}
