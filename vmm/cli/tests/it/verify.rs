//! `kedge verify` ends as `tdxctl verify` does, and says no more than it.

use serde_json::Value;
use std::{path::Path, process::Command};

/// A real quote of Intel's hardware and its collateral: the seeds of the fuzz targets.
const SEEDS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kms-node/attestation/fuzz/seeds"
);
/// A time at which both hold.
const TIME: &str = "2025-06-20T07:20:00Z";

/// Runs `kedge --json verify`: its exit code and its one JSON object.
fn verify(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_kedge"))
        .args(["--json", "verify"])
        .args(arguments)
        .output()
        .expect("kedge starts");
    let object = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    (output.status.code(), object)
}

/// The same, over the quote.
fn verify_quote(arguments: &[&str]) -> (Option<i32>, Value) {
    let file = |folder: &str| Path::new(SEEDS).join(folder).join("tdx_quote");
    let (quote, collateral) = (file("quote"), file("collateral"));
    let named = [
        "--quote",
        quote.to_str().unwrap(),
        "--collateral",
        collateral.to_str().unwrap(),
    ];
    verify(&[&named, arguments].concat())
}

#[test]
fn exit_codes_are_those_of_tdxctl_verify() {
    let (code, object) = verify_quote(&["--time", TIME]);
    assert_eq!((code, &object["ok"]), (Some(0), &true.into()), "{object}");

    // Its collateral has expired by then.
    let (code, object) = verify_quote(&["--time", "2026-01-01T00:00:00Z"]);
    assert_eq!((code, &object["ok"]), (Some(1), &false.into()), "{object}");

    let nobody = [
        "--time",
        TIME,
        "--trusted-rpc",
        "http://127.0.0.1:1",
        "--authority",
    ];
    let (code, object) =
        verify_quote(&[&nobody[..], &["0x3333333333333333333333333333333333333333"]].concat());
    assert_eq!(
        (code, &object["error"]["exit_code"]),
        (Some(2), &2.into()),
        "{object}"
    );

    let (code, object) = verify(&[]);
    assert_eq!(
        (code, &object["error"]["exit_code"]),
        (Some(64), &64.into()),
        "{object}"
    );
}

#[test]
fn json_may_be_asked_for_on_either_side() {
    let (code, object) = verify_quote(&["--json", "--time", TIME]);
    assert_eq!((code, &object["ok"]), (Some(0), &true.into()), "{object}");
}
