//! `verify` over real quotes of Intel's hardware, with the collateral of their time.

use crate::{
    guest::{Guest, TIME, platform, samples},
    run::{Run, line},
};
use std::fs;
use td_quote::Td;

const AT: &str = "2025-06-20T07:20:00Z";

fn sample(name: &str) -> String {
    samples().join(name).display().to_string()
}

fn verify(extra: &[&str]) -> Run {
    let (quote, collateral) = (sample("tdx_quote"), sample("tdx_quote_collateral.json"));
    let files = ["--quote", &quote, "--collateral", &collateral];
    line("verify --json", &[&files, extra].concat())
}

#[test]
fn a_real_quote_holds_at_its_time() {
    let run = verify(&["--time", AT]);
    assert_eq!((run.code, run.failed().len()), (0, 0), "{run:?}");
    let json = run.json();
    let ids: Vec<_> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    assert_eq!(ids, ["Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q8"]);
    assert_eq!(json["not_checked"][0], "Q7");
    let people = line(
        "verify --quote",
        &[
            &sample("tdx_quote"),
            "--collateral",
            &sample("tdx_quote_collateral.json"),
            "--time",
            AT,
        ],
    );
    assert_eq!(people.code, 0);
    assert!(
        people.out.contains("OK: 7 checks hold") && people.out.contains("not checked"),
        "{people:?}"
    );
}

#[test]
fn a_version_5_quote_holds_at_its_time() {
    let (quote, collateral) = (
        sample("tdx_quote_td15ex"),
        sample("tdx_quote_td15ex_collateral.json"),
    );
    let run = line(
        "verify --json --time 2026-10-18T12:26:40Z --quote",
        &[&quote, "--collateral", &collateral],
    );
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn q3_another_time_is_refused() {
    for time in ["2025-07-25T00:00:00Z", "2024-01-01T00:00:00Z"] {
        let run = verify(&["--time", time]);
        assert_eq!(run.code, 1);
        assert!(run.failed().contains(&"Q3".to_owned()), "{run:?}");
    }
}

#[test]
fn q1_another_root_is_refused() {
    let run = verify(&["--time", AT, "--root-hash", &platform().root().to_string()]);
    assert_eq!(run.code, 1);
    assert!(run.failed().contains(&"Q1".to_owned()), "{run:?}");
    let intel = tdxctl::INTEL_ROOT.to_string();
    assert_eq!(verify(&["--time", AT, "--root-hash", &intel]).code, 0);
}

#[test]
fn q1_a_tampered_quote_is_refused() {
    let guest = Guest::booted();
    let mut quote = fs::read(sample("tdx_quote")).unwrap();
    // A bit of MRTD.
    quote[184] ^= 1;
    let quote = guest.write("tampered", &quote);
    let run = line(
        "verify --json --quote",
        &[
            &quote,
            "--collateral",
            &sample("tdx_quote_collateral.json"),
            "--time",
            AT,
        ],
    );
    assert_eq!(
        (run.code, run.failed().contains(&"Q1".to_owned())),
        (1, true),
        "{run:?}"
    );
}

#[test]
fn q1_a_simulated_quote_needs_its_own_root() {
    let guest = Guest::booted();
    let quote = guest.write(
        "quote.hex",
        hex::encode(guest.td.quote(&[1; 64].into()).unwrap()).as_bytes(),
    );
    let collateral = guest.path("collateral.json");
    let args = ["--quote", &quote, "--collateral", &collateral, "--time", TIME];
    assert_eq!(line("verify", &args).code, 1);
    let root = platform().root().to_string();
    let run = line(
        "verify --json --root-hash",
        &[&[root.as_str()], args.as_slice()].concat(),
    );
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn q6_q8_other_files_are_failed_checks_or_malformed() {
    let guest = Guest::booted();
    let garbage = guest.write("garbage", &[4, 0, 1, 2, 3]);
    let collateral = sample("tdx_quote_collateral.json");
    let run = line(
        "verify --json --quote",
        &[&garbage, "--collateral", &collateral, "--time", AT],
    );
    assert_eq!(run.code, 1);
    let sgx = line(
        "verify --json --quote",
        &[
            &sample("sgx_quote"),
            "--collateral",
            &sample("sgx_quote_collateral.json"),
            "--time",
            AT,
        ],
    );
    assert_eq!(
        (sgx.code, sgx.failed().contains(&"Q6".to_owned())),
        (1, true),
        "{sgx:?}"
    );
    let quote = sample("tdx_quote");
    assert_eq!(
        line(
            "verify --quote",
            &[&quote, "--collateral", &garbage, "--time", AT]
        )
        .code,
        64
    );
    assert_eq!(
        line(
            "verify --quote",
            &[&quote, "--collateral", &collateral, "--time", "yesterday"]
        )
        .code,
        64
    );
}

#[test]
fn a_policy_asks_more() {
    let guest = Guest::booted();
    let policy = |text: &str| {
        let file = guest.write("policy", text.as_bytes());
        verify(&["--time", AT, "--policy", &file])
    };
    let run = policy(
        "tcb_statuses = [\"UpToDate\"]\nfmspcs = [\"b0c06f000000\"]\nmin_tcb_evaluation_data_number = 17\n",
    );
    assert_eq!(run.code, 0, "{run:?}");
    let run = policy(r#"{"tcb_statuses": ["SWHardeningNeeded"], "allowed_advisories": [], "app_ids": []}"#);
    assert_eq!(
        (run.code, run.failed()),
        (
            1,
            vec!["policy.tcb_statuses".to_owned(), "policy.app_ids".to_owned()]
        )
    );
    assert_eq!(
        policy("min_tcb_evaluation_data_number = 18").failed(),
        ["Q1", "Q2", "Q3", "Q5"]
    );
    assert_eq!(
        policy("attestation_roots = []").failed(),
        ["Q1", "Q2", "Q3", "Q5"]
    );
    assert_eq!(
        policy("tcb_status = [\"UpToDate\"]").code,
        64,
        "unknown fields are refused"
    );
}
