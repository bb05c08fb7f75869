//! `event-log --ccel`: a log of firmware and kernel, held against the registers of a quote and of a simulated TD.

use crate::{
    guest::{Guest, image, platform},
    run::{Run, tdxctl},
};
use kms_types::{OsMeasurement, Rtmr};
use soft_td::TdConfig;
use td_measure::sha384;

/// Header and events as firmware writes them: register, what it measured.
fn log(events: &[(u32, &[u8])]) -> Vec<u8> {
    let mut log = [1u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    log.extend([0; 20]);
    log.extend(33u32.to_le_bytes());
    log.extend(b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02\x01\0\0\0\x0c\0\x30\0\0");
    for (register, data) in events {
        log.extend(register.to_le_bytes());
        log.extend(0x8000_0007u32.to_le_bytes());
        log.extend(1u32.to_le_bytes());
        log.extend(12u16.to_le_bytes());
        log.extend(sha384(data));
        log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        log.extend(*data);
    }
    log.extend([0xff; 128]);
    log
}

const EVENTS: [(u32, &[u8]); 4] = [
    (1, b"firmware"),
    (1, b"devices"),
    (2, b"kernel"),
    (3, b"command line"),
];

/// A TD whose registers are those of [`EVENTS`].
fn guest() -> Guest {
    let after = |data: &[&[u8]]| {
        data.iter()
            .fold(Rtmr::ZERO, |register, data| register.extended(&sha384(data)))
    };
    let measurement = OsMeasurement {
        rtmr0: after(&[b"firmware", b"devices"]),
        rtmr1: after(&[b"kernel"]),
        rtmr2: after(&[b"command line"]),
        ..image().measurement("small").unwrap()
    };
    Guest::serve(platform().launch(TdConfig::new(measurement)))
}

fn show(arguments: &[&str]) -> Run {
    tdxctl(&[&["event-log", "--json", "--ccel"], arguments].concat())
}

#[test]
fn registers_of_the_td_are_those_of_the_log() {
    let guest = guest();
    let file = guest.write("ccel", &log(&EVENTS));
    let run = show(&[&file, "--td", &guest.spec]);
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    assert_eq!(json["compared_with"], "TD");
    for (name, count) in [("rtmr0", 2), ("rtmr1", 1), ("rtmr2", 1)] {
        let register = &json["registers"][name];
        assert_eq!(
            (&register["matches"], &register["events"]),
            (&true.into(), &count.into())
        );
    }
    assert_eq!(json["events"][3]["description"], "command line");
    assert_eq!(json["events"][3]["digest_is_of_data"], true);

    guest.evidence([1; 64]);
    let quoted = show(&[&file, "--quote", &guest.path("quote.json")]).json();
    assert_eq!(
        (&quoted["ok"], &quoted["compared_with"]),
        (&true.into(), &"quote".into())
    );
    let people = tdxctl(&["event-log", "--ccel", &file, "--td", &guest.spec]);
    for words in ["EV_EFI_ACTION", "command line", "rtmr2", "matches"] {
        assert!(people.out.contains(words), "{people:?}");
    }
}

#[test]
fn a_log_that_leads_elsewhere_is_a_failed_check() {
    let guest = guest();
    let mut forged = EVENTS;
    forged[2].1 = b"another kernel";
    let mut more = EVENTS.to_vec();
    more.push((3, b"one more"));
    for (events, register) in [
        (forged.as_slice(), "rtmr1"),
        (&EVENTS[..3], "rtmr2"),
        (&more, "rtmr2"),
    ] {
        let run = show(&[&guest.write("ccel", &log(events)), "--td", &guest.spec]);
        assert_eq!(run.code, 1, "{run:?}");
        let json = run.json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["registers"][register]["matches"], false, "{json}");
    }
    // Firmware that writes to the register of the app.
    let mut app = EVENTS.to_vec();
    app.push((4, b"app"));
    assert_eq!(
        show(&[&guest.write("ccel", &log(&app)), "--td", &guest.spec]).code,
        1
    );
}

#[test]
fn a_log_alone_is_shown_and_said_to_prove_nothing() {
    let guest = guest();
    let file = guest.write("ccel", &log(&EVENTS));
    let run = show(&[&file]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        run.json()["registers"]["rtmr0"]["matches"],
        serde_json::Value::Null
    );
    let people = tdxctl(&["event-log", "--ccel", &file]);
    assert!(people.out.contains("proves nothing"), "{people:?}");
    // A TD that was named and does not answer is no silence.
    assert_eq!(show(&[&file, "--td", "socket:/nonexistent/td.sock"]).code, 2);
}

#[test]
fn malformed_and_absent_logs_are_told_apart() {
    let guest = guest();
    let whole = log(&EVENTS);
    let cut = show(&[&guest.write("ccel", &whole[..whole.len() - 140])]);
    assert_eq!(cut.code, 64, "{cut:?}");
    assert!(cut.message().contains("data at byte"), "{cut:?}");
    let long = show(&[&guest.write("ccel", &vec![0; (1 << 20) + 1])]);
    assert_eq!(long.code, 64, "{long:?}");
    // This machine is no confidential VM: its kernel shows no such table.
    if !std::path::Path::new("/sys/firmware/acpi/tables/CCEL").exists() {
        let none = show(&[]);
        assert_eq!(none.code, 2, "{none:?}");
        assert!(
            none.message().contains("/sys/firmware/acpi/tables/CCEL"),
            "{none:?}"
        );
        assert!(
            none.json()["error"]["advice"]
                .as_str()
                .unwrap()
                .contains("--ccel FILE")
        );
    }
}

/// The ACPI table of a log of this kind and length.
fn table(kind: u8, length: u64) -> Vec<u8> {
    let mut table = b"CCEL\x38\0\0\0\x01\0".to_vec();
    table.resize(36, b' ');
    table.extend([kind, 0, 0, 0]);
    table.extend(length.to_le_bytes());
    table.extend(0x7fbe_e000u64.to_le_bytes());
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = 0u8.wrapping_sub(sum);
    table
}

#[test]
fn the_table_must_be_of_tdx_and_as_long_as_the_log() {
    let guest = guest();
    let bytes = log(&EVENTS);
    let file = guest.write("ccel", &bytes);
    let length = u64::try_from(bytes.len()).unwrap();
    let with = |table: &[u8]| show(&[&file, "--ccel-table", &guest.write("table", table)]);
    assert_eq!(with(&table(2, length)).code, 0);
    assert_eq!(with(&table(2, length + 1)).code, 0);
    let short = with(&table(2, length - 1));
    assert_eq!(short.code, 64, "{short:?}");
    assert!(short.message().contains("as the table says"), "{short:?}");
    let sev = with(&table(1, length));
    assert_eq!(sev.code, 1, "{sev:?}");
    assert!(sev.message().contains("Sev"), "{sev:?}");
    let mut broken = table(2, length);
    broken[20] ^= 1;
    assert!(with(&broken).message().contains("checksum"));
    assert_eq!(with(b"CCEL").code, 64);
    let alone = tdxctl(&["event-log", "--json", "--ccel-table", &file]);
    assert_eq!(alone.code, 64, "{alone:?}");
}
