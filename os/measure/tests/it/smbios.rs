//! Structures as QEMU writes them, and what is left of them in the measurement.

use proptest::prelude::*;
use td_measure::{MAX_SMBIOS, measured_smbios};

/// A structure with this handle: its fields behind the header, and its strings.
fn structure(kind: u8, fields: &[u8], strings: &[&str]) -> Vec<u8> {
    let mut bytes = vec![kind, fields.len() as u8 + 4, kind, 1];
    bytes.extend(fields);
    for text in strings {
        bytes.extend(text.bytes().chain([0]));
    }
    bytes.extend(if strings.is_empty() { vec![0, 0] } else { vec![0] });
    bytes
}

/// The end as QEMU writes it; the firmware's driver puts its own in its place.
fn with_end(structures: &[Vec<u8>]) -> Vec<u8> {
    [structures.concat(), structure(127, &[], &[])].concat()
}

const END: [u8; 6] = [127, 4, 0xfe, 0xff, 0, 0];

#[test]
fn a_machine_s_own_numbers_are_left_out() {
    // Manufacturer, product, version, serial number, UUID, wake-up type, SKU, family.
    let mut fields = vec![1, 2, 0, 3];
    fields.extend([0xaa; 16]);
    fields.extend([6, 0, 0]);
    let machine = |serial: &str, uuid: u8| {
        let mut fields = fields.clone();
        fields[4..20].fill(uuid);
        with_end(&[structure(1, &fields, &["QEMU", "Standard PC", serial])])
    };
    let measured = measured_smbios(&machine("abc", 1)).unwrap();
    assert_eq!(measured, measured_smbios(&machine("xyz", 2)).unwrap());
    let mut left = vec![1, 2, 0, 0];
    left.extend([0; 16]);
    left.extend([0, 0, 0]);
    let expected = structure(1, &left, &["QEMU", "Standard PC", "   "]);
    assert_eq!(measured, [expected, END.to_vec()].concat());
    // Another product is another machine.
    let other = with_end(&[structure(1, &fields, &["QEMU", "Other PC", "abc"])]);
    assert_ne!(measured, measured_smbios(&other).unwrap());
}

#[test]
fn of_a_processor_the_model_stays_and_speed_and_counts_go() {
    let mut fields: Vec<u8> = (4..0x30).collect();
    // No strings but the socket's.
    for at in [4, 7, 16, 0x20, 0x21, 0x22] {
        fields[at - 4] = u8::from(at == 4);
    }
    let measured = measured_smbios(&with_end(&[structure(4, &fields, &["CPU 0"])])).unwrap();
    for at in 4..0x30_usize {
        let gone = matches!(at, 0x11 | 0x16 | 0x17 | 0x23..=0x25 | 0x2a..=0x2f);
        let expected = if gone { 0 } else { fields[at - 4] };
        assert_eq!(measured[at], expected, "{at:#x}");
    }
}

#[test]
fn of_some_types_the_header_is_all_and_unknown_ones_stay_whole() {
    for kind in [11, 15, 18, 31, 33, 128, 255] {
        let measured = measured_smbios(&with_end(&[structure(kind, &[1, 2], &["text"])])).unwrap();
        assert_eq!(measured[..4], [kind, 6, kind, 1]);
        assert!(measured[4..12].iter().all(|byte| *byte == 0), "{kind}");
    }
    for kind in [0, 16, 19, 32] {
        let own = structure(kind, &[1, 2], &["text"]);
        let measured = measured_smbios(&with_end(std::slice::from_ref(&own))).unwrap();
        assert_eq!(measured, [own, END.to_vec()].concat());
    }
    assert_eq!(measured_smbios(&[]).unwrap(), END);
}

#[test]
fn what_qemu_never_writes_is_refused() {
    let expected = |bytes: &[u8]| measured_smbios(bytes).unwrap_err().expected;
    assert_eq!(expected(&[1]), "a header");
    assert_eq!(expected(&[1, 3, 0, 0, 0, 0]), "a structure");
    assert_eq!(expected(&[1, 40, 0, 0, 0, 0]), "a structure");
    assert_eq!(expected(&[1, 4, 0, 0, b'a', 0]), "two zeros after the strings");
    assert_eq!(expected(&structure(22, &[], &[])), "a type that QEMU makes");
    // Serial number three of two strings.
    assert_eq!(
        expected(&structure(3, &[1, 1, 2, 3, 0], &["a", "b"])),
        "a string the structure has"
    );
    assert_eq!(expected(&vec![0; MAX_SMBIOS + 1]), "at most 1 MiB");
}

proptest! {
    #[test]
    fn any_bytes_are_measured_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(measured) = measured_smbios(&bytes) {
            prop_assert!(measured.len() <= bytes.len() + END.len());
            prop_assert!(measured.ends_with(&END));
        }
    }
}
