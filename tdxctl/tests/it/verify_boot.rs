//! `verify` over a simulated boot: every check of the boot, each refused once.

use crate::{
    guest::{Guest, TIME, app, image, platform},
    run::{Run, line},
};
use soft_td::{SimImage, TdConfig, finish_boot};

struct Boot {
    guest: Guest,
    report_data: String,
}

impl Boot {
    fn new(guest: Guest) -> Self {
        guest.evidence([7; 64]);
        Self {
            guest,
            report_data: "07".repeat(64),
        }
    }

    fn verify(&self, change: &[(&str, &str)]) -> Run {
        let seed = app().instance_seed.unwrap().to_string();
        let root = platform().root().to_string();
        let path = |name| self.guest.path(name);
        let mut options = vec![
            ("--quote", path("quote.json")),
            ("--collateral", path("collateral.json")),
            ("--time", TIME.to_owned()),
            ("--root-hash", root),
            ("--report-data", self.report_data.clone()),
            ("--catalogue", path("catalogue.json")),
            ("--instance-seed", seed),
            ("--phase", "keys".to_owned()),
        ];
        for (name, value) in change {
            options.retain(|(other, _)| other != name);
            if !value.is_empty() {
                options.push((name, (*value).to_owned()));
            }
        }
        let words: Vec<&str> = options
            .iter()
            .flat_map(|(name, value)| [*name, value.as_str()])
            .collect();
        line("verify --json", &words)
    }
}

#[test]
fn a_whole_boot_holds() {
    let boot = Boot::new(Guest::booted());
    let run = boot.verify(&[]);
    assert_eq!((run.code, run.failed().len()), (0, 0), "{run:?}");
    assert_eq!(run.json()["checks"].as_array().unwrap().len(), 14);
    assert_eq!(run.json()["not_checked"], serde_json::json!([]));
    let policy = format!(
        "os_image_hashes = [\"{}\"]\napp_ids = [\"{}\"]\ncompose_hashes = [\"{}\"]\n",
        image().catalogue().os_image_hash(),
        app().app_id,
        app().compose_hash
    );
    let policy = boot.guest.write("policy.toml", policy.as_bytes());
    let run = boot.verify(&[("--policy", &policy)]);
    assert_eq!(
        (run.code, run.json()["checks"].as_array().unwrap().len()),
        (0, 17),
        "{run:?}"
    );
}

#[test]
fn what_is_not_given_is_not_checked() {
    let boot = Boot::new(Guest::booted());
    let run = boot.verify(&[
        ("--report-data", ""),
        ("--catalogue", ""),
        ("--instance-seed", ""),
        ("--phase", ""),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        run.json()["not_checked"],
        serde_json::json!(["Q7", "B3", "B5", "B6"])
    );
    // A rule about a fact that was not verified does not hold.
    let policy = format!("os_image_hashes = [\"{}\"]", image().catalogue().os_image_hash());
    let policy = boot.guest.write("policy.toml", policy.as_bytes());
    let run = boot.verify(&[("--catalogue", ""), ("--policy", &policy)]);
    assert_eq!(run.failed(), ["policy.os_image_hashes"]);
}

#[test]
fn q7_other_report_data_is_refused() {
    let boot = Boot::new(Guest::booted());
    assert_eq!(
        boot.verify(&[("--report-data", &"08".repeat(64))]).failed(),
        ["Q7"]
    );
}

#[test]
fn b3_another_image_is_refused() {
    let boot = Boot::new(Guest::booted());
    let other = SimImage::new("another").unwrap().catalogue().to_json().unwrap();
    let other = boot.guest.write("other.json", &other);
    assert_eq!(boot.verify(&[("--catalogue", &other)]).failed(), ["B3"]);
}

#[test]
fn b4_an_unbound_td_is_refused_unless_allowed() {
    let td = platform().launch(TdConfig::new(image().measurement("small").unwrap()));
    for event in app().events().unwrap() {
        td_quote::Td::extend(&td, &event.event, event.payload_hex.as_bytes()).unwrap();
    }
    let boot = Boot::new(Guest::serve(td));
    assert_eq!(boot.verify(&[]).failed(), ["B4"]);
}

#[test]
fn b5_a_running_app_is_refused_for_keys() {
    let guest = Guest::booted();
    finish_boot(&*guest.td, br#"{"name":"kms","id":"00"}"#).unwrap();
    let boot = Boot::new(guest);
    assert_eq!(boot.verify(&[]).failed(), ["B5"]);
    assert_eq!(boot.verify(&[("--phase", "lease")]).code, 0);
}

#[test]
fn b6_another_seed_is_refused() {
    let boot = Boot::new(Guest::booted());
    assert_eq!(
        boot.verify(&[("--instance-seed", &"00".repeat(20))]).failed(),
        ["B6"]
    );
}
