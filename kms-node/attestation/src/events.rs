//! The boot events of RTMR3 (docs/protocol.md §3), each once, in order, of the right length. Unknown, repeated,
//! misplaced or missing events are refused, and so is an event named like a boot event after the boot.
//!
//! `key-provider` and `storage-fs` may be there or not before `system-ready`: a guest asks for keys before it records
//! who gave them, and may ask again after. `env-accepted` stands in the log of a guest that took a signed environment.

use crate::{AttestationError, Mismatch, error::ensure, identity};
use kms_types::{
    AppId, ComposeHash, EventLogEntry, HostConfigHash, InstanceId, KeyProviderHash, OsImageHash,
};
use serde::Deserialize;

/// What the boot events say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootEvents {
    /// `app-id`.
    pub app_id: Option<AppId>,
    /// `compose-hash`.
    pub compose_hash: Option<ComposeHash>,
    /// `init-script-hash`, in order.
    pub init_script_hashes: Vec<[u8; 32]>,
    /// `gpu-policy-hash`.
    pub gpu_policy_hash: Option<[u8; 32]>,
    /// `gpu-attestation`.
    pub gpu_attestation: Option<Vec<u8>>,
    /// `instance-id`; none when its payload is empty.
    pub instance_id: Option<InstanceId>,
    /// `host-config`.
    pub host_config_hash: Option<HostConfigHash>,
    /// `os-image-hash`.
    pub os_image_hash: Option<OsImageHash>,
    /// SHA-256 of the payload of `key-provider`.
    pub key_provider_hash: Option<KeyProviderHash>,
    /// `storage-fs`.
    pub storage_fs: Option<String>,
    /// `boot-mr-done` was recorded: the identity of the boot is complete.
    pub measured: bool,
    /// `env-accepted`: version and digest of the signed environment the guest took.
    pub env_accepted: Option<(u64, [u8; 32])>,
    /// `system-ready` was recorded.
    pub ready: bool,
    /// Events the app recorded after `system-ready`.
    pub runtime_events: usize,
}

/// A boot event: its name, how often it must and may come, and the lengths its payload may have.
struct Step {
    name: &'static str,
    least: usize,
    most: usize,
    lengths: Option<&'static [usize]>,
}

const fn step(name: &'static str, least: usize, most: usize, lengths: Option<&'static [usize]>) -> Step {
    Step {
        name,
        least,
        most,
        lengths,
    }
}

/// Text, of any length the type of a payload allows.
const TEXT: Option<&[usize]> = None;
const EMPTY: Option<&[usize]> = Some(&[0]);
const DIGEST: Option<&[usize]> = Some(&[32]);

const STEPS: [Step; 14] = [
    step("system-preparing", 1, 1, EMPTY),
    step("app-id", 1, 1, Some(&[20])),
    step("compose-hash", 1, 1, DIGEST),
    step("init-script-hash", 0, 5, DIGEST),
    step("gpu-policy-hash", 1, 1, DIGEST),
    step("gpu-attestation", 0, 1, TEXT),
    step("instance-id", 1, 1, Some(&[0, 20])),
    step("host-config", 0, 1, DIGEST),
    step("boot-mr-done", 1, 1, EMPTY),
    step("os-image-hash", 0, 1, DIGEST),
    step("key-provider", 1, 1, TEXT),
    step("storage-fs", 1, 1, TEXT),
    step("env-accepted", 0, 1, Some(&[40])),
    step("system-ready", 1, 1, EMPTY),
];

/// True for the name of a boot event, which nothing but the boot may record.
pub fn is_boot_event(name: &str) -> bool {
    STEPS.iter().any(|step| step.name == name)
}

/// Payload of `key-provider`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "parsing is the check: both fields must be there and be text"
)]
struct KeyProvider {
    name: String,
    id: String,
}

impl BootEvents {
    /// Reads the RTMR3 entries of a log, up to where it stops.
    ///
    /// # Errors
    /// When an event is unknown, repeated, misplaced, missing before a later one, or of the wrong length.
    pub fn parse(log: &[EventLogEntry]) -> Result<Self, AttestationError> {
        let mut events = Self::default();
        let mut seen = [0_usize; STEPS.len()];
        for entry in log.iter().filter(|entry| entry.imr == 3) {
            let Some(at) = STEPS.iter().position(|step| step.name == entry.event) else {
                events.runtime_event(entry)?;
                continue;
            };
            admit(&mut seen, at, entry)?;
            events.record(entry)?;
        }
        Ok(events)
    }

    // B2: before `system-ready` only the boot itself writes to the register; an unknown event there is a boot nobody specified.
    fn runtime_event(&mut self, entry: &EventLogEntry) -> Result<(), AttestationError> {
        ensure(
            self.ready,
            AttestationError::BootEvents,
            "event before system-ready",
            "a boot event",
            &entry.event,
        )?;
        self.runtime_events += 1;
        Ok(())
    }

    fn record(&mut self, entry: &EventLogEntry) -> Result<(), AttestationError> {
        let payload = entry.event_payload.as_bytes();
        match entry.event.as_str() {
            "app-id" => self.app_id = AppId::try_from(payload).ok(),
            "compose-hash" => self.compose_hash = ComposeHash::try_from(payload).ok(),
            "init-script-hash" => self.init_script_hashes.extend(<[u8; 32]>::try_from(payload)),
            "gpu-policy-hash" => self.gpu_policy_hash = payload.try_into().ok(),
            "gpu-attestation" => self.gpu_attestation = Some(payload.to_vec()),
            "instance-id" => self.instance_id = InstanceId::try_from(payload).ok(),
            "host-config" => self.host_config_hash = HostConfigHash::try_from(payload).ok(),
            "boot-mr-done" => self.measured = true,
            "os-image-hash" => self.os_image_hash = OsImageHash::try_from(payload).ok(),
            "key-provider" => self.key_provider_hash = Some(key_provider(payload)?),
            "storage-fs" => self.storage_fs = Some(storage_fs(payload)?),
            "env-accepted" => self.env_accepted = env_accepted(payload),
            "system-ready" => self.ready = true,
            _ => {}
        }
        Ok(())
    }
}

/// Lets the event of step `at` in: everything required before it was there, nothing after it, and it not too often.
fn admit(seen: &mut [usize; STEPS.len()], at: usize, entry: &EventLogEntry) -> Result<(), AttestationError> {
    for (index, (step, count)) in STEPS.iter().zip(seen.iter_mut()).enumerate() {
        // B2: a missing event leaves a fact out of the register; a repeated or late one lets a later value stand for an earlier.
        let (ok, expected) = match index.cmp(&at) {
            std::cmp::Ordering::Less => (*count >= step.least, "after"),
            std::cmp::Ordering::Equal => (*count < step.most, "not again after"),
            std::cmp::Ordering::Greater => (*count == 0, "before"),
        };
        ensure(
            ok,
            AttestationError::BootEvents,
            "order of boot events",
            format_args!("{} {expected} {}", entry.event, step.name),
            &entry.event,
        )?;
        if index == at {
            *count += 1;
            check_length(step, entry)?;
        }
    }
    Ok(())
}

fn check_length(step: &Step, entry: &EventLogEntry) -> Result<(), AttestationError> {
    let len = entry.event_payload.as_bytes().len();
    let Some(lengths) = step.lengths else {
        return Ok(());
    };
    // B2: a payload of another length would be read as another value, or padded into one.
    ensure(
        lengths.contains(&len),
        AttestationError::BootEvents,
        step.name,
        format_args!("payload of {lengths:?} bytes"),
        len,
    )
}

fn key_provider(payload: &[u8]) -> Result<KeyProviderHash, AttestationError> {
    serde_json::from_slice::<KeyProvider>(payload)
        .map(|_| identity::key_provider_hash(payload))
        .map_err(|e| AttestationError::BootEvents(Mismatch::new("key-provider", r#"{"name","id"}"#, e)))
}

fn env_accepted(payload: &[u8]) -> Option<(u64, [u8; 32])> {
    let (version, digest) = payload.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*version), digest.try_into().ok()?))
}

fn storage_fs(payload: &[u8]) -> Result<String, AttestationError> {
    std::str::from_utf8(payload)
        .map(str::to_owned)
        .map_err(|e| AttestationError::BootEvents(Mismatch::new("storage-fs", "text", e)))
}
