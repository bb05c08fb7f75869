//! The boot events of RTMR3, in their fixed order (docs/protocol.md §3), up to `boot-mr-done`.
//!
//! A register cannot be taken back: a run after a kill compares the log with what it would record and goes on where the log
//! stops. A log that says anything else belongs to another boot, and the guest has to be started again.

use crate::{Effects, HostDocument, StageError, host_config_hash};
use kms_types::{EventLogEntry, InstanceId};
use sha2::{Digest, Sha256};

const REBOOT: &str = "start the VM again: its register cannot be taken back";

/// An event to record.
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) payload: Vec<u8>,
}

/// Records the events that are not in the log yet.
pub(crate) fn measure(document: &HostDocument, effects: &mut dyn Effects) -> Result<String, StageError> {
    let events = events(document);
    let log = runtime(&effects.event_log()?);
    compare(&events, &log)?;
    for event in events.iter().skip(log.len()) {
        effects.extend(event.name, &event.payload)?;
    }
    Ok(format!(
        "{} events recorded, {} of them before",
        events.len(),
        log.len().min(events.len())
    ))
}

/// How far a boot of this document has come by what the log says.
pub(crate) fn standing(document: &HostDocument, log: &[EventLogEntry]) -> Result<String, StageError> {
    let (events, log) = (events(document), runtime(log));
    compare(&events, &log)?;
    Ok(if log.is_empty() {
        "nothing recorded yet".to_owned()
    } else if log.iter().any(|entry| entry.event == "system-ready") {
        "this boot is complete".to_owned()
    } else {
        format!(
            "{} of {} events recorded by an earlier run of this boot",
            log.len().min(events.len()),
            events.len()
        )
    })
}

fn compare(events: &[Event], log: &[EventLogEntry]) -> Result<(), StageError> {
    for (recorded, event) in log.iter().zip(events) {
        // B2: what is recorded stays; a guest that went on after another boot's events would end in a register nobody allowed.
        if recorded.event != event.name || recorded.event_payload.as_bytes() != event.payload {
            return Err(StageError::refused(
                format!(
                    "event log: expected {} with {} bytes of this document, got {} with others",
                    event.name,
                    event.payload.len(),
                    printable(&recorded.event),
                ),
                REBOOT,
            ));
        }
    }
    Ok(())
}

/// Records one later event, unless the log has it with this very payload.
pub(crate) fn record_once(
    effects: &mut dyn Effects,
    name: &'static str,
    payload: &[u8],
) -> Result<(), StageError> {
    let log = runtime(&effects.event_log()?);
    match log.iter().find(|entry| entry.event == name) {
        None => effects.extend(name, payload),
        Some(entry) if entry.event_payload.as_bytes() == payload => Ok(()),
        Some(_) => Err(StageError::refused(
            format!("event log: expected {name} as it is now, got another one from an earlier run"),
            REBOOT,
        )),
    }
}

/// True when nothing of a boot is recorded: this TD was just started.
pub(crate) fn untouched(effects: &mut dyn Effects) -> Result<bool, StageError> {
    Ok(runtime(&effects.event_log()?).is_empty())
}

/// True when the boot was completed before.
pub(crate) fn completed(effects: &mut dyn Effects) -> Result<bool, StageError> {
    let log = effects.event_log()?;
    Ok(runtime(&log).iter().any(|entry| entry.event == "system-ready"))
}

/// Every event up to `boot-mr-done`.
pub(crate) fn events(document: &HostDocument) -> Vec<Event> {
    let compose = document.manifest.compose();
    let event = |name, payload: &[u8]| Event {
        name,
        payload: payload.to_vec(),
    };
    let mut events = vec![
        event("system-preparing", &[]),
        event("app-id", document.app_id.as_ref()),
        event("compose-hash", document.manifest.hash().as_ref()),
    ];
    let scripts = compose.init_script.iter();
    events.extend(scripts.map(|script| event("init-script-hash", &Sha256::digest(script))));
    let policy = compose
        .requirements
        .as_ref()
        .and_then(|all| all.gpu_policy.as_ref());
    let rego = policy.and_then(|policy| policy.rego.as_deref()).unwrap_or("");
    events.push(event("gpu-policy-hash", &Sha256::digest(rego)));
    let instance = instance_id(document);
    events.push(event(
        "instance-id",
        instance.as_ref().map_or(&[], |id| id.as_ref()),
    ));
    events.push(event("host-config", host_config_hash(document).as_ref()));
    events.push(event("boot-mr-done", &[]));
    events
}

/// The instance; none for an app without instance ids.
pub(crate) fn instance_id(document: &HostDocument) -> Option<InstanceId> {
    let seed = document.instance_seed.as_ref()?;
    Some(InstanceId::derive(seed, &document.app_id))
}

/// The log's events of RTMR3.
fn runtime(log: &[EventLogEntry]) -> Vec<EventLogEntry> {
    log.iter().filter(|entry| entry.imr == 3).cloned().collect()
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
