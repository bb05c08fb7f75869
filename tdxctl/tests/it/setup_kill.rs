//! `setup` killed: by SIGKILL at any moment, started again until it is done. The end is the same as without a kill.

use crate::{kms::Kms, setup::Machine};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

#[expect(
    clippy::disallowed_methods,
    reason = "not a wait for anything: the moment of the kill is what varies"
)]
/// Starts setup, kills it after `reports` reports and `pause`; true when it came to its end by itself.
fn killed_after(machine: &Machine, reports: usize, pause: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tdxctl"))
        .arg("--json")
        .args(machine.arguments())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let heard = lines.take(reports).filter(Result::is_ok).count();
    if heard == reports {
        std::thread::sleep(pause);
    }
    child.kill().unwrap();
    child.wait().unwrap().success()
}

/// What must be the same however often setup was killed.
fn end(machine: &Machine) -> (Vec<String>, Value, Value, Vec<String>) {
    let mut handover = machine.run_file("handover.json");
    handover["booted_at"] = Value::Null;
    handover["td"] = Value::Null;
    handover["storage"]["path"] = Value::Null;
    let mut left: Vec<String> = fs::read_dir(machine.guest.folder.path().join("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".new-"))
        .collect();
    left.sort();
    (machine.log(), handover, machine.run_file("app-keys.json"), left)
}

#[test]
fn killed_after_every_report_it_ends_in_the_same_state() {
    let kms = Kms::honest();
    let whole = Machine::new(&kms, json!({}));
    assert_eq!(whole.boot().code, 0);
    let whole = end(&whole);
    // Two reports a stage; after the last one only the outcome is left.
    for reports in 0..=18 {
        let machine = Machine::new(&kms, json!({}));
        killed_after(&machine, reports, Duration::ZERO);
        let run = machine.boot();
        assert_eq!(run.code, 0, "after {reports} reports: {run:?}");
        assert_eq!(end(&machine), whole, "after {reports} reports");
    }
}

#[test]
fn killed_again_and_again_it_comes_to_its_end() {
    let kms = Kms::honest();
    let whole = Machine::new(&kms, json!({}));
    assert_eq!(whole.boot().code, 0);
    let whole = end(&whole);
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..6 {
        let machine = Machine::new(&kms, json!({}));
        for _ in 0..6 {
            let reports = random.random_range(0..12);
            let pause = Duration::from_micros(random.random_range(0..4000));
            killed_after(&machine, reports, pause);
        }
        let run = machine.boot();
        assert_eq!(run.code, 0, "round {round}: {run:?}");
        assert_eq!(end(&machine), whole, "round {round}");
    }
}
