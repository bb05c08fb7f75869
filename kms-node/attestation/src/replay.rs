//! Replay of an event log to registers. Digests of RTMR3 are recomputed from name and payload; one that is given and
//! differs is refused. RTMR0–2 are replayed from the digests as given: they are for display, the catalogue judges the
//! registers themselves.

use crate::{AttestationError, Mismatch, error::ensure, events::BootEvents};
use kms_types::{EventLogEntry, RUNTIME_EVENT_TYPE, Rtmr};

/// Most entries of an event log.
pub const MAX_EVENTS: usize = 1024;
/// Most bytes of an event log: names, digests and payloads.
pub const MAX_EVENT_LOG_BYTES: usize = 1024 * 1024;
/// Longest name of an event.
pub const MAX_EVENT_NAME: usize = 256;

/// Registers and boot events of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// RTMR0 to RTMR3 after the last entry.
    pub rtmrs: [Rtmr; 4],
    /// Entries per register.
    pub counts: [usize; 4],
    /// The boot events of RTMR3.
    pub events: BootEvents,
}

impl Replayed {
    /// RTMR3 after the last entry.
    pub const fn rtmr3(&self) -> Rtmr {
        let [.., rtmr3] = self.rtmrs;
        rtmr3
    }
}

/// Replays a log and reads its boot events, in whichever phase the boot is.
///
/// # Errors
/// When the log is out of bounds, a digest differs or the boot events are not in order.
pub fn replay(log: &[EventLogEntry]) -> Result<Replayed, AttestationError> {
    let (rtmrs, counts) = replay_registers(log)?;
    Ok(Replayed {
        rtmrs,
        counts,
        events: BootEvents::parse(log)?,
    })
}

/// Replays a log to registers, without a look at what the events say.
///
/// # Errors
/// When the log is out of bounds or a digest differs.
pub fn replay_registers(log: &[EventLogEntry]) -> Result<([Rtmr; 4], [usize; 4]), AttestationError> {
    check_bounds(log)?;
    let mut rtmrs = [Rtmr::ZERO; 4];
    let mut counts = [0; 4];
    for entry in log {
        let slot = usize::try_from(entry.imr)
            .ok()
            .and_then(|imr| rtmrs.get_mut(imr).zip(counts.get_mut(imr)));
        let Some((rtmr, count)) = slot else {
            return Err(mismatch("register of an event", "0 to 3", entry.imr));
        };
        *rtmr = rtmr.extended(&digest(entry)?);
        *count += 1;
    }
    Ok((rtmrs, counts))
}

fn check_bounds(log: &[EventLogEntry]) -> Result<(), AttestationError> {
    // Q8: replay hashes everything, so everything is counted first.
    ensure(
        log.len() <= MAX_EVENTS,
        AttestationError::Bounds,
        "event log entries",
        format_args!("at most {MAX_EVENTS}"),
        log.len(),
    )?;
    let name = log.iter().map(|e| e.event.len()).max().unwrap_or(0);
    ensure(
        name <= MAX_EVENT_NAME,
        AttestationError::Bounds,
        "event name bytes",
        format_args!("at most {MAX_EVENT_NAME}"),
        name,
    )?;
    let bytes: usize = log
        .iter()
        .map(|e| e.event.len() + e.digest.as_bytes().len() + e.event_payload.as_bytes().len())
        .sum();
    ensure(
        bytes <= MAX_EVENT_LOG_BYTES,
        AttestationError::Bounds,
        "event log bytes",
        format_args!("at most {MAX_EVENT_LOG_BYTES}"),
        bytes,
    )
}

fn digest(entry: &EventLogEntry) -> Result<[u8; 48], AttestationError> {
    let given = entry.digest.as_bytes();
    if entry.imr != 3 {
        return <[u8; 48]>::try_from(given)
            .map_err(|_| mismatch("digest of a firmware event", "48 bytes", given.len()));
    }
    // B1: another type would be hashed by other rules, under which a name can be part of a payload.
    if entry.event_type != RUNTIME_EVENT_TYPE {
        return Err(mismatch(
            "type of an RTMR3 event",
            format_args!("{RUNTIME_EVENT_TYPE:#010x}"),
            format_args!("{:#010x}", entry.event_type),
        ));
    }
    let recomputed = entry.runtime_digest();
    // B1: the register proves digests; only recomputing them proves the names and payloads that are acted on.
    if !given.is_empty() && given != recomputed {
        return Err(mismatch(
            "digest of an RTMR3 event",
            hex::encode(recomputed),
            hex::encode(given),
        ));
    }
    Ok(recomputed)
}

fn mismatch(
    what: &'static str,
    expected: impl std::fmt::Display,
    actual: impl std::fmt::Display,
) -> AttestationError {
    AttestationError::EventLog(Mismatch::new(what, expected, actual))
}
