//! Event logs: what replays, what is refused, and by which check.

use attestation::{MAX_EVENTS, replay, replay_registers};
use kms_types::{Blob, EventLogEntry, Rtmr};
use proptest::prelude::*;

pub(crate) fn event(name: &str, payload: &[u8]) -> EventLogEntry {
    EventLogEntry::runtime(name, payload).unwrap()
}

/// Version 7 and a digest.
const ENV_ACCEPTED: [u8; 40] = {
    let mut payload = [8; 40];
    let mut at = 0;
    while at < 8 {
        payload[at] = if at == 7 { 7 } else { 0 };
        at += 1;
    }
    payload
};

/// A whole boot, with everything that may be there.
pub(crate) fn full_log() -> Vec<EventLogEntry> {
    vec![
        event("system-preparing", b""),
        event("app-id", &[0xa1; 20]),
        event("compose-hash", &[0xc0; 32]),
        event("init-script-hash", &[1; 32]),
        event("init-script-hash", &[2; 32]),
        event("gpu-policy-hash", &[3; 32]),
        event("gpu-attestation", b"{}"),
        event("instance-id", &[4; 20]),
        event("host-config", &[5; 32]),
        event("boot-mr-done", b""),
        event("os-image-hash", &[6; 32]),
        event("key-provider", br#"{"name":"kms","id":"00"}"#),
        event("storage-fs", b"ext4"),
        event("env-accepted", &ENV_ACCEPTED),
        event("system-ready", b""),
        event("my-event", b"anything"),
    ]
}

fn refusal(log: &[EventLogEntry]) -> &'static str {
    replay(log).unwrap_err().check()
}

fn without(name: &str) -> Vec<EventLogEntry> {
    full_log().into_iter().filter(|e| e.event != name).collect()
}

fn with_payload(name: &str, payload: &[u8]) -> Vec<EventLogEntry> {
    full_log()
        .into_iter()
        .map(|e| if e.event == name { event(name, payload) } else { e })
        .collect()
}

#[test]
fn a_whole_boot_replays() {
    let replayed = replay(&full_log()).unwrap();
    assert_eq!(replayed.counts, [0, 0, 0, 16]);
    assert_eq!(replayed.events.app_id.unwrap().as_bytes(), &[0xa1; 20]);
    assert_eq!(replayed.events.init_script_hashes, [[1; 32], [2; 32]]);
    assert_eq!(replayed.events.host_config_hash.unwrap().as_bytes(), &[5; 32]);
    assert_eq!(replayed.events.env_accepted, Some((7, [8; 32])));
    assert!(replayed.events.measured && replayed.events.ready);
    assert_eq!(replayed.events.runtime_events, 1);
    let by_hand = full_log().iter().fold(Rtmr::ZERO, |rtmr, e| e.extend(&rtmr));
    assert_eq!(replayed.rtmr3(), by_hand);
}

/// The digest rule as written down in docs/protocol.md §3, from another implementation:
/// `python3 -c 'import hashlib,struct; h=hashlib.sha384;
/// d=h(struct.pack("<I",0x08000001)+b":compose-hash:"+b"\xc0"*32).digest(); print(h(bytes(48)+d).hexdigest())'`
#[test]
fn one_event_gives_the_register_another_implementation_gives() {
    let (rtmrs, _) = replay_registers(&[event("compose-hash", &[0xc0; 32])]).unwrap();
    assert_eq!(rtmrs[3].to_plain_hex(), RTMR3_OF_COMPOSE_HASH);
}
const RTMR3_OF_COMPOSE_HASH: &str =
    "3d6e0a951359927717099c2f8e4c1ab35b2c252b729c03dfa2cdd90575e72b5ea4b0750936e6e2fc3bdb2959bbd695ef";

#[test]
fn b1_digest_that_differs_is_refused() {
    for at in 0..full_log().len() {
        let mut log = full_log();
        let mut digest = log[at].digest.as_bytes().to_vec();
        digest[47] ^= 1;
        log[at].digest = Blob::new(digest).unwrap();
        assert_eq!(refusal(&log), "B1");
        log[at].digest = Blob::new(vec![0; 47]).unwrap();
        assert_eq!(refusal(&log), "B1");
        // Left out, it is recomputed.
        log[at].digest = Blob::default();
        assert_eq!(
            replay(&log).unwrap().rtmr3(),
            replay(&full_log()).unwrap().rtmr3()
        );
    }
}

#[test]
fn b1_events_of_another_type_or_register_are_refused() {
    let mut log = full_log();
    log[1].event_type = 0x8000_0001;
    assert_eq!(refusal(&log), "B1");
    for imr in [4, 5, u32::MAX] {
        let mut log = full_log();
        log[0].imr = imr;
        assert_eq!(refusal(&log), "B1");
    }
}

#[test]
fn b1_firmware_events_replay_into_their_own_registers() {
    let mut log = full_log();
    let mut firmware = event("", b"");
    firmware.imr = 0;
    firmware.event_type = 4;
    firmware.digest = Blob::new(vec![9; 48]).unwrap();
    log.insert(0, firmware);
    let replayed = replay(&log).unwrap();
    assert_eq!(replayed.counts, [1, 0, 0, 16]);
    assert_eq!(replayed.rtmrs[0], Rtmr::ZERO.extended(&[9; 48]));
    assert_eq!(replayed.rtmr3(), replay(&full_log()).unwrap().rtmr3());
    log[0].digest = Blob::default();
    assert_eq!(refusal(&log), "B1");
}

#[test]
fn b2_missing_boot_events_are_refused() {
    for name in [
        "system-preparing",
        "app-id",
        "compose-hash",
        "gpu-policy-hash",
        "instance-id",
        "boot-mr-done",
        "key-provider",
        "storage-fs",
    ] {
        assert_eq!(refusal(&without(name)), "B2", "{name}");
    }
    for name in [
        "init-script-hash",
        "gpu-attestation",
        "host-config",
        "os-image-hash",
        "env-accepted",
        "my-event",
    ] {
        replay(&without(name)).unwrap();
    }
}

#[test]
fn b2_repeated_boot_events_are_refused() {
    for at in 0..full_log().len() - 1 {
        if full_log()[at].event == "init-script-hash" {
            continue;
        }
        let mut log = full_log();
        log.insert(at, log[at].clone());
        assert_eq!(refusal(&log), "B2", "{}", log[at].event);
        // Nor may the app repeat one later, when it may record what it likes.
        let mut log = full_log();
        log.push(log[at].clone());
        assert_eq!(refusal(&log), "B2", "{}", log[at].event);
    }
    let mut log = full_log();
    for _ in 0..3 {
        log.insert(3, event("init-script-hash", &[7; 32]));
    }
    replay(&log).unwrap();
    log.insert(3, event("init-script-hash", &[7; 32]));
    assert_eq!(refusal(&log), "B2");
}

#[test]
fn b2_boot_events_out_of_order_are_refused() {
    for at in 0..full_log().len() - 1 {
        let mut log = full_log();
        if log[at].event == log[at + 1].event {
            continue;
        }
        log.swap(at, at + 1);
        assert_eq!(
            refusal(&log),
            "B2",
            "{} before {}",
            log[at].event,
            log[at + 1].event
        );
    }
}

#[test]
fn b2_unknown_events_before_the_end_of_the_boot_are_refused() {
    for at in 0..14 {
        let mut log = full_log();
        log.insert(at, event("unheard-of", b""));
        assert_eq!(refusal(&log), "B2");
    }
}

#[test]
fn b2_payloads_of_the_wrong_length_are_refused() {
    for (name, len) in [
        ("system-preparing", 0),
        ("app-id", 20),
        ("compose-hash", 32),
        ("init-script-hash", 32),
        ("gpu-policy-hash", 32),
        ("instance-id", 20),
        ("host-config", 32),
        ("boot-mr-done", 0),
        ("os-image-hash", 32),
        ("system-ready", 0),
    ] {
        for wrong in [1, 19, 21, 31, 33, 64] {
            assert_ne!(wrong, len);
            assert_eq!(
                refusal(&with_payload(name, &vec![0; wrong])),
                "B2",
                "{name} {wrong}"
            );
        }
    }
    assert!(
        replay(&with_payload("instance-id", b""))
            .unwrap()
            .events
            .instance_id
            .is_none()
    );
    for payload in [
        &b""[..],
        b"{}",
        br#"{"name":"a"}"#,
        br#"{"name":"a","id":"b","x":1}"#,
        &[b'{'; 5000],
    ] {
        assert_eq!(refusal(&with_payload("key-provider", payload)), "B2");
    }
    assert_eq!(refusal(&with_payload("storage-fs", &[0xff])), "B2");
    assert_eq!(refusal(&with_payload("env-accepted", &[0; 32])), "B2");
}

#[test]
fn q8_event_logs_out_of_bounds_are_refused() {
    let mut log = full_log();
    log.resize(MAX_EVENTS, event("my-event", b""));
    replay(&log).unwrap();
    log.push(event("my-event", b""));
    assert_eq!(refusal(&log), "Q8");
    let mut log = full_log();
    log.resize(log.len() + 17, event("my-event", &[0; 64 * 1024]));
    assert_eq!(refusal(&log), "Q8");
    let mut log = full_log();
    log.push(event(&"x".repeat(257), b""));
    assert_eq!(refusal(&log), "Q8");
}

proptest! {
    /// Whatever order and selection of boot events comes, only the specified one is accepted.
    #[test]
    fn b2_only_sorted_selections_are_accepted(picks in proptest::collection::vec(0_usize..14, 0..16)) {
        let all = full_log();
        let log: Vec<_> = picks.iter().map(|i| all[*i].clone()).collect();
        let accepted = replay(&log).is_ok();
        // Steps: index in the log, with both script hashes as one step that may be repeated.
        let steps: Vec<_> = picks.iter().map(|i| if *i == 4 { 3 } else { *i }).collect();
        let ordered = steps.windows(2).all(|w| w[0] < w[1] || (w[0] == w[1] && w[0] == 3));
        let scripts = steps.iter().filter(|s| **s == 3).count() <= 5;
        let last = steps.iter().max().map_or(0, |last| *last);
        let complete = [0, 1, 2, 5, 7, 9, 11, 12, 13].iter().all(|s| *s >= last || steps.contains(s));
        prop_assert_eq!(accepted, ordered && scripts && complete);
    }

    /// A changed payload never gives the same register.
    #[test]
    fn b1_register_depends_on_every_byte(at in 0_usize..15, byte in any::<u8>()) {
        let mut log = full_log();
        let mut payload = log[at].event_payload.as_bytes().to_vec();
        payload.push(byte);
        log[at] = event(&log[at].event.clone(), &payload);
        prop_assert_ne!(replay_registers(&log).unwrap().0, replay_registers(&full_log()).unwrap().0);
    }
}
