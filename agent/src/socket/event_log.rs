//! The event log as clients read it: plain hex, digests recomputed. And what an app may add to it.

use super::{
    SocketError,
    limits::{MAX_APP_EVENT_BYTES, MAX_APP_EVENTS, MAX_EVENT_NAME, MAX_EVENT_PAYLOAD},
    messages::{EmitEventArgs, Event},
};
use attestation::is_boot_event;
use kms_types::{EventLogEntry, RUNTIME_EVENT_TYPE, Rtmr};

/// Names the agent keeps for itself.
const OWN_PREFIX: &str = "kedge-";

fn is_runtime(entry: &EventLogEntry) -> bool {
    entry.imr == 3 && entry.event_type == RUNTIME_EVENT_TYPE
}

/// Events for an answer.
pub(super) fn events(log: &[EventLogEntry]) -> Vec<Event<'_>> {
    log.iter()
        .map(|entry| Event {
            imr: entry.imr,
            event_type: entry.event_type,
            // A log may leave out digests of runtime events; clients replay what stands here.
            digest: if is_runtime(entry) {
                hex::encode(entry.runtime_digest())
            } else {
                hex::encode(entry.digest.as_bytes())
            },
            event: &entry.event,
            event_payload: hex::encode(entry.event_payload.as_bytes()),
        })
        .collect()
}

/// The log as a JSON array.
pub(super) fn json(log: &[EventLogEntry]) -> Result<String, SocketError> {
    serde_json::to_string(&events(log)).map_err(|error| SocketError::Internal {
        reason: error.to_string(),
    })
}

/// RTMR3 after these events.
pub(super) fn rtmr3(log: &[EventLogEntry]) -> Rtmr {
    log.iter()
        .filter(|entry| entry.imr == 3)
        .fold(Rtmr::ZERO, |register, entry| entry.extend(&register))
}

/// Refuses an event that no app may record, whatever the log holds.
pub(super) fn check_event(event: &EmitEventArgs) -> Result<(), SocketError> {
    let name = &event.event;
    let refused = |expected: &str| {
        let actual: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        Err(SocketError::malformed("event", expected, format!("{actual:?}")))
    };
    if name.is_empty() || name.len() > MAX_EVENT_NAME {
        return refused("a name of 1 to 128 bytes");
    }
    // The digest joins name and payload with a colon: with one in the name, two events would have one digest.
    if name.contains(':') || name.chars().any(char::is_control) {
        return refused("a name without colon and control characters");
    }
    // G8: an app that could record a boot event could tell a verifier another boot.
    if is_boot_event(name) || name.starts_with(OWN_PREFIX) {
        return refused("a name that the system does not use");
    }
    if event.payload.0.len() > MAX_EVENT_PAYLOAD {
        return Err(SocketError::TooLarge {
            what: "payload",
            max: MAX_EVENT_PAYLOAD,
        });
    }
    Ok(())
}

/// Refuses an event there is no more room for.
pub(super) fn check_room(log: &[EventLogEntry], event: &EmitEventArgs) -> Result<(), SocketError> {
    let Some(ready) = log.iter().position(|entry| entry.event == "system-ready") else {
        return Err(SocketError::NotReady);
    };
    let apps = log.iter().skip(ready + 1);
    // G8: verifiers refuse a log above their bounds, and a register cannot be taken back: a full log would end the app's leases.
    if apps.clone().count() >= MAX_APP_EVENTS {
        return Err(SocketError::Full {
            what: "events",
            max: MAX_APP_EVENTS,
        });
    }
    let size = |name: &str, payload: &[u8]| name.len() + payload.len();
    let held: usize = apps
        .map(|entry| size(&entry.event, entry.event_payload.as_bytes()))
        .sum();
    if held + size(&event.event, &event.payload.0) > MAX_APP_EVENT_BYTES {
        return Err(SocketError::Full {
            what: "bytes of events",
            max: MAX_APP_EVENT_BYTES,
        });
    }
    Ok(())
}
