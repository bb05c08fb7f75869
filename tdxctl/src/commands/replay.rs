//! `replay`: registers an event log leads to, beside those a quote claims. Verifies no signature.

use crate::{
    cli::Replay,
    exit::{Failure, Outcome},
    input,
    table::{list, table},
};
use attestation::{BootEvents, QuoteDescription, describe, mr_aggregated, mr_system, replay_registers};
use kms_types::{EventLogEntry, KeyProviderHash, Rtmr};
use serde_json::{Map, Value, json};

pub(crate) fn replay(arguments: &Replay) -> Result<Outcome, Failure> {
    let evidence = input::read_quote(&arguments.quote)?;
    let log = match &arguments.event_log {
        Some(path) => input::read_event_log(path)?,
        None => evidence.event_log.ok_or_else(|| {
            Failure::usage("event log: expected --event-log, or a quote file with `event_log`, got neither")
        })?,
    };
    let claimed = describe(&evidence.quote).map_err(Failure::usage)?;
    // The log does not lead anywhere: that is a failed check, and a statement about the log, not about the file.
    let (rtmrs, counts) = replay_registers(&log).map_err(Failure::refused)?;
    Ok(outcome(&claimed, &log, rtmrs, counts))
}

/// One register, replayed and claimed.
struct Register {
    name: &'static str,
    replayed: Rtmr,
    quoted: Rtmr,
    entries: usize,
}

impl Register {
    /// Nothing when the log says nothing about a register that firmware and kernel extend.
    fn matches(&self) -> Option<bool> {
        let silent = self.entries == 0 && self.name != "rtmr3";
        (!silent).then_some(self.replayed == self.quoted)
    }

    fn word(&self) -> &'static str {
        match self.matches() {
            None => "not in the log",
            Some(true) => "matches",
            Some(false) => "DIFFERS",
        }
    }
}

fn outcome(
    claimed: &QuoteDescription,
    log: &[EventLogEntry],
    [replayed0, replayed1, replayed2, replayed3]: [Rtmr; 4],
    [entries0, entries1, entries2, entries3]: [usize; 4],
) -> Outcome {
    let register = |name, replayed, quoted, entries| Register {
        name,
        replayed,
        quoted,
        entries,
    };
    let registers = [
        register("rtmr0", replayed0, claimed.os.rtmr0, entries0),
        register("rtmr1", replayed1, claimed.os.rtmr1, entries1),
        register("rtmr2", replayed2, claimed.os.rtmr2, entries2),
        register("rtmr3", replayed3, claimed.rtmr3, entries3),
    ];
    let matches = registers.iter().all(|register| register.matches() != Some(false));
    let boot = BootEvents::parse(log);
    let ok = matches && boot.is_ok();
    let error = boot.as_ref().err().map(ToString::to_string);
    let identities = identities(claimed, &boot.unwrap_or_default());
    let mut json = Map::new();
    json.insert("ok".to_owned(), ok.into());
    json.insert("matches".to_owned(), matches.into());
    json.insert("mrtd".to_owned(), json!(claimed.os.mrtd));
    json.insert(
        "registers".to_owned(),
        registers
            .iter()
            .map(|r| (r.name.to_owned(), register_json(r)))
            .collect::<Map<_, _>>()
            .into(),
    );
    json.extend(
        identities
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    json.insert("boot_events_error".to_owned(), json!(error));
    let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "not in the log".to_owned());
    let text = format!(
        "{}\n\n{}\n{}\nThe quote's signature was not looked at: see `tdxctl verify`.",
        table(
            ["register", "", "events", "replayed", "quoted"],
            registers.iter().map(|r| {
                [
                    r.name.to_owned(),
                    r.word().to_owned(),
                    r.entries.to_string(),
                    r.replayed.to_string(),
                    r.quoted.to_string(),
                ]
            }),
        ),
        list(identities.iter().map(|(name, value)| (*name, word(value)))),
        error.map_or_else(String::new, |error| format!("\nboot events: {error}\n")),
    );
    Outcome {
        code: crate::exit::of(ok),
        json: json.into(),
        text,
    }
}

fn register_json(register: &Register) -> Value {
    json!({
        "replayed": register.replayed,
        "quoted": register.quoted,
        "events": register.entries,
        "matches": register.matches(),
    })
}

/// Identities that follow from registers and events; those the log does not name are absent.
fn identities(claimed: &QuoteDescription, events: &BootEvents) -> [(&'static str, Option<String>); 8] {
    let key_provider = events.key_provider_hash.unwrap_or(KeyProviderHash::ZERO);
    let aggregated = mr_aggregated(
        &claimed.os,
        &claimed.rtmr3,
        &claimed.mr_config_id,
        &claimed.mr_owner,
        &claimed.mr_owner_config,
    );
    [
        ("mr_aggregated", Some(aggregated.to_string())),
        (
            "mr_system",
            Some(mr_system(&claimed.os, &key_provider).to_string()),
        ),
        ("app_id", events.app_id.map(|id| id.to_string())),
        ("compose_hash", events.compose_hash.map(|hash| hash.to_string())),
        ("instance_id", events.instance_id.map(|id| id.to_string())),
        ("os_image_hash", events.os_image_hash.map(|hash| hash.to_string())),
        (
            "key_provider_hash",
            events.key_provider_hash.map(|hash| hash.to_string()),
        ),
        (
            "host_config_hash",
            events.host_config_hash.map(|hash| hash.to_string()),
        ),
    ]
}
