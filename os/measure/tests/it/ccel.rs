//! Logs built byte by byte as firmware writes them. The digests of the known ones are from event logs of real TDs.

use kms_types::Rtmr;
use proptest::prelude::*;
use td_measure::{
    CcLog, CcRegister, CcType, CcelError, CcelTable, EventDigest, FirmwareBuild, MAX_CCEL, MAX_CCEL_EVENTS,
    replay, rtmr1_events, rtmr2_events, sha384,
};

/// Header event of edk2: no platform class, version 2.0, size of UINTN, these algorithms, no vendor data.
fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
    data.extend_from_slice(&u32::try_from(algorithms.len()).unwrap().to_le_bytes());
    for (algorithm, size) in algorithms {
        data.extend_from_slice(&algorithm.to_le_bytes());
        data.extend_from_slice(&size.to_le_bytes());
    }
    data.push(0);
    let mut event = [1u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    event.extend_from_slice(&[0; 20]);
    event.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    event.extend_from_slice(&data);
    event
}

fn event(register: u32, event_type: u32, digests: &[(u16, &[u8])], data: &[u8]) -> Vec<u8> {
    let mut event = [register.to_le_bytes(), event_type.to_le_bytes()].concat();
    event.extend_from_slice(&u32::try_from(digests.len()).unwrap().to_le_bytes());
    for (algorithm, digest) in digests {
        event.extend_from_slice(&algorithm.to_le_bytes());
        event.extend_from_slice(digest);
    }
    event.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    event.extend_from_slice(data);
    event
}

fn measured(register: u32, event_type: u32, digest: &EventDigest, data: &[u8]) -> Vec<u8> {
    event(register, event_type, &[(12, digest)], data)
}

/// A small log of every register, with the filling of the area.
fn sample() -> Vec<u8> {
    let action = b"Exit Boot Services Invocation";
    let mut variable = vec![7; 16];
    variable.extend_from_slice(&10u64.to_le_bytes());
    variable.extend_from_slice(&2u64.to_le_bytes());
    variable.extend("SecureBoot".bytes().flat_map(|byte| [byte, 0]));
    variable.extend_from_slice(&[1, 2]);
    let mut log = header(&[(12, 48)]);
    log.extend(event(1, 3, &[(12, &[0; 48])], b"StartupLocality\0\0"));
    log.extend(measured(
        1,
        0x8000_000b,
        &[1; 48],
        b"\x05TdHob\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ));
    log.extend(measured(1, 0x8000_0001, &sha384(&variable), &variable));
    log.extend(measured(1, 4, &sha384(&[0; 4]), &[0; 4]));
    log.extend(measured(2, 0x8000_0007, &sha384(action), action));
    log.extend(measured(
        3,
        6,
        &[3; 48],
        "console=ttyS0\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>()
            .as_slice(),
    ));
    log.extend(vec![0xff; 512]);
    log
}

#[test]
fn a_log_replays_to_the_registers_of_its_events() {
    let log = CcLog::parse(&sample()).unwrap();
    assert_eq!(log.events.len(), 6);
    let variable = &log.events[2];
    let [rtmr0, rtmr1, rtmr2, rtmr3] = log.replay();
    let expected = Rtmr::ZERO
        .extended(&[1; 48])
        .extended(&variable.digest)
        .extended(&sha384(&[0; 4]));
    assert_eq!(rtmr0, (expected, 3), "EV_NO_ACTION is in no register");
    assert_eq!(rtmr1, (Rtmr::ZERO.extended(&log.events[4].digest), 1));
    assert_eq!(rtmr2, (Rtmr::ZERO.extended(&[3; 48]), 1));
    assert_eq!(rtmr3, (Rtmr::ZERO, 0));
}

#[test]
fn the_events_of_a_measured_boot_replay_to_what_is_computed_for_it() {
    let (kernel, initrd) = ([7; 48], sha384(b"initrd"));
    let mut log = header(&[(12, 48)]);
    for event in rtmr1_events(kernel) {
        log.extend(measured(2, 0x8000_0007, &event.digest, event.name.as_bytes()));
    }
    for event in rtmr2_events(FirmwareBuild::Ovmf, "quiet", initrd) {
        log.extend(measured(3, 6, &event.digest, event.name.as_bytes()));
    }
    let read = CcLog::parse(&log).unwrap();
    assert_eq!(read.replay()[1].0, replay(&rtmr1_events(kernel)));
    assert_eq!(
        read.replay()[2].0,
        replay(&rtmr2_events(FirmwareBuild::Ovmf, "quiet", initrd))
    );
    let last = read
        .events
        .iter()
        .find(|event| event.description().starts_with("Exit Boot Services R"));
    assert!(last.unwrap().digest_is_of_data());
    assert!(
        hex::encode(last.unwrap().digest).starts_with("0a2e01c8"),
        "digest of a real log"
    );
    assert!(
        !read.events[0].digest_is_of_data(),
        "the kernel is not in the log"
    );
}

#[test]
fn events_are_shown_in_words() {
    let log = CcLog::parse(&sample()).unwrap();
    let shown: Vec<_> = log
        .events
        .iter()
        .map(|event| (event.type_name().unwrap(), event.description()))
        .collect();
    let expected = [
        ("EV_NO_ACTION", "StartupLocality"),
        ("EV_EFI_HANDOFF_TABLES2", "TdHob"),
        ("EV_EFI_VARIABLE_DRIVER_CONFIG", "SecureBoot (2 bytes)"),
        ("EV_SEPARATOR", "00000000"),
        ("EV_EFI_ACTION", "Exit Boot Services Invocation"),
        ("EV_EVENT_TAG", "console=ttyS0"),
    ];
    assert_eq!(shown, expected.map(|(name, words)| (name, words.to_owned())));
    assert_eq!(log.events[5].register, CcRegister::Rtmr2);
    // What steers a terminal is shown as hex.
    let mut log = header(&[(12, 48)]);
    log.extend(measured(2, 0x1234_5678, &[0; 48], b"\x1b[2J"));
    let read = CcLog::parse(&log).unwrap();
    assert_eq!(read.events[0].description(), "1b5b324a");
    assert_eq!(read.events[0].type_name(), None);
}

#[test]
fn several_algorithms_may_stand_beside_sha384() {
    let mut log = header(&[(4, 20), (11, 32), (12, 48)]);
    log.extend(event(1, 4, &[(4, &[4; 20]), (12, &[5; 48]), (11, &[6; 32])], b""));
    log.extend([0; 64]);
    assert_eq!(CcLog::parse(&log).unwrap().events[0].digest, [5; 48]);
}

fn refused(log: &[u8], what: &str) {
    let error = CcLog::parse(log).unwrap_err().to_string();
    assert!(error.contains(what), "expected {what:?}: {error}");
}

#[test]
fn other_bytes_are_no_log() {
    refused(b"", "register");
    refused(&[0xff; 64], "register");
    refused(&header(&[(11, 32)]), "SHA-384");
    refused(&header(&[(12, 32)]), "SHA-384");
    refused(&header(&[(12, 48); 9]), "algorithms");
    let whole = sample();
    let mut other = whole.clone();
    other[32..36].copy_from_slice(b"spec");
    refused(&other, "Spec ID Event03");
    let start = header(&[(12, 48)]);
    for (event, what) in [
        (measured(5, 4, &[0; 48], b""), "register"),
        (event(1, 4, &[], b""), "one of SHA-384"),
        (
            event(1, 4, &[(12, &[0; 48]), (12, &[0; 48])], b""),
            "one of SHA-384, got two",
        ),
        (event(1, 4, &[(11, &[0; 32])], b""), "one the header names"),
        (
            event(1, 4, &[(12, [0; 48].as_slice()); 9], b""),
            "number of digests",
        ),
    ] {
        refused(&[start.clone(), event].concat(), what);
    }
    // Filling that is not all the same hides something.
    refused(&[whole, vec![0xff, 1]].concat(), "register");
}

#[test]
fn lengths_are_bounded_before_anything_is_kept() {
    let mut log = header(&[(12, 48)]);
    let mut long = measured(1, 4, &[0; 48], b"");
    let end = long.len();
    long[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
    log.extend(long);
    assert!(matches!(
        CcLog::parse(&log),
        Err(CcelError::Cut { what: "data", .. })
    ));
    assert!(matches!(
        CcLog::parse(&vec![0; MAX_CCEL + 1]),
        Err(CcelError::TooMany { max: MAX_CCEL, .. })
    ));
    let events = |count| [header(&[(12, 48)]), measured(1, 4, &[0; 48], b"").repeat(count)].concat();
    assert_eq!(
        CcLog::parse(&events(MAX_CCEL_EVENTS)).unwrap().events.len(),
        MAX_CCEL_EVENTS
    );
    assert!(matches!(
        CcLog::parse(&events(MAX_CCEL_EVENTS + 1)),
        Err(CcelError::TooMany { what: "events", .. })
    ));
}

#[test]
fn a_log_cut_anywhere_is_refused_or_shorter() {
    let whole = sample();
    let all = CcLog::parse(&whole).unwrap().events;
    let end = whole.len() - 512;
    for length in 0..end {
        if let Ok(log) = CcLog::parse(&whole[..length]) {
            assert!(log.events.len() < all.len());
            assert_eq!(log.events, all[..log.events.len()]);
        }
    }
}

/// The table, with its sum made right.
fn table(kind: u8, length: u64) -> Vec<u8> {
    let mut table = b"CCEL\x38\0\0\0\x01\0".to_vec();
    table.extend_from_slice(b"BOCHSEBXPC      ");
    table.resize(36, 0);
    table.extend_from_slice(&[kind, 0, 0, 0]);
    table.extend_from_slice(&length.to_le_bytes());
    table.extend_from_slice(&0x7fbe_e000u64.to_le_bytes());
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = 0u8.wrapping_sub(sum);
    table
}

#[test]
fn the_table_names_kind_and_area() {
    let read = CcelTable::parse(&table(2, 0x10000)).unwrap();
    assert_eq!((read.cc_type, read.cc_subtype), (CcType::Tdx, 0));
    assert_eq!((read.log_length, read.log_address), (0x10000, 0x7fbe_e000));
    assert_eq!(CcelTable::parse(&table(1, 0)).unwrap().cc_type, CcType::Sev);
    let good = table(2, 0x10000);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(CcelTable::parse(&bad).is_err(), "byte {at}");
    }
    assert!(CcelTable::parse(&good[..55]).is_err());
    assert!(CcelTable::parse(&[good.as_slice(), &[0]].concat()).is_err());
    let mut other = table(2, 0);
    other[..4].copy_from_slice(b"LECC");
    assert!(
        CcelTable::parse(&other)
            .unwrap_err()
            .to_string()
            .contains("signature")
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = CcelTable::parse(&bytes);
        if let Ok(log) = CcLog::parse(&[header(&[(12, 48)]), bytes].concat()) {
            for event in &log.events {
                let _ = event.description();
            }
        }
    }

    #[test]
    fn any_events_come_back(
        events in prop::collection::vec((0u32..5, any::<u32>(), any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        filling in prop_oneof![Just(0u8), Just(0xff)],
        length in 0usize..100,
    ) {
        let digest = |seed: &[u8; 32]| sha384(seed);
        let mut bytes = header(&[(12, 48)]);
        for (register, kind, seed, data) in &events {
            bytes.extend(measured(*register, *kind, &digest(seed), data));
        }
        bytes.extend(vec![filling; length]);
        let log = CcLog::parse(&bytes).unwrap();
        let read: Vec<_> = log.events.iter().map(|e| (e.event_type, e.digest, e.data.clone())).collect();
        let expected: Vec<_> = events.iter().map(|(_, kind, seed, data)| (*kind, digest(seed), data.clone())).collect();
        prop_assert_eq!(read, expected);
    }
}
