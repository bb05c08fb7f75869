//! Hex, lengths and names as they come from outside.

use kms_types::{
    AppId, Blob, BlobTooLong, BootInfo, EventLogEntry, Fmspc, MAX_EVENT_PAYLOAD, Mrtd, ParseBytesError,
    ReportData, TcbStatus, length_prefixed,
};
use proptest::prelude::*;
use serde_json::json;
use std::fmt::Write;

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}

#[test]
fn a_wrong_length_says_both_lengths() {
    let error = "0x0102".parse::<AppId>().unwrap_err();
    assert_eq!(
        error,
        ParseBytesError::Length {
            name: "AppId",
            expected: 20,
            actual: 2
        }
    );
    assert_eq!(error.to_string(), "AppId: expected 20 bytes, got 2");
    let odd = "0".repeat(41).parse::<AppId>().unwrap_err();
    assert_eq!(
        odd,
        ParseBytesError::Length {
            name: "AppId",
            expected: 20,
            actual: 21
        }
    );
    let bytes = AppId::try_from([0; 19].as_slice()).unwrap_err();
    assert_eq!(
        bytes,
        ParseBytesError::Length {
            name: "AppId",
            expected: 20,
            actual: 19
        }
    );
}

#[test]
fn other_digits_are_refused() {
    for text in [
        "0x00000000000g",
        "0x 0000000000",
        "00000000000\u{661}",
        "0X0000000000aa",
    ] {
        assert!(text.parse::<Fmspc>().is_err(), "{text}");
    }
    // One prefix, not two.
    assert!("0x0x0000000000".parse::<Fmspc>().is_err());
    assert!(
        "0x0000000000zz"
            .parse::<Fmspc>()
            .unwrap_err()
            .to_string()
            .starts_with("Fmspc: expected hex digits")
    );
}

#[test]
fn blobs_say_their_bound() {
    assert_eq!(
        Blob::<4>::new(vec![0; 5]).unwrap_err(),
        BlobTooLong { max: 4, actual: 5 }
    );
    assert_eq!(Blob::<4>::new(vec![0; 4]).unwrap().as_bytes(), [0; 4]);
    let error = serde_json::from_value::<Blob<4>>(json!("0x0102030405"))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "expected at most 4 bytes, got 5");
    assert!(serde_json::from_value::<Blob<4>>(json!("0x010")).is_err());
    // A blob may be public or not; its debug form does not decide.
    assert_eq!(
        format!("{:?}", Blob::<4>::new(vec![1, 2]).unwrap()),
        "Blob(2 bytes)"
    );
}

#[test]
fn q8_event_payloads_are_bounded() {
    EventLogEntry::runtime("e", &vec![0; MAX_EVENT_PAYLOAD]).unwrap();
    let error = EventLogEntry::runtime("e", &vec![0; MAX_EVENT_PAYLOAD + 1]).unwrap_err();
    assert_eq!(error.actual, MAX_EVENT_PAYLOAD + 1);
}

#[test]
fn a_digest_is_whole_or_absent() {
    let entry = |digest: &str| {
        serde_json::from_value::<EventLogEntry>(
            json!({"imr": 3, "event_type": 1, "digest": digest, "event": "e", "event_payload": ""}),
        )
    };
    entry("").unwrap();
    entry(&"00".repeat(48)).unwrap();
    for bytes in [1, 32, 47, 49] {
        entry(&"00".repeat(bytes)).unwrap_err();
    }
}

#[test]
fn statuses_are_intels_nine() {
    for status in TcbStatus::ALL {
        assert_eq!(status.as_str().parse::<TcbStatus>().unwrap(), status);
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for other in ["", "uptodate", "UpToDate ", "Unknown"] {
        let error = other.parse::<TcbStatus>().unwrap_err();
        assert_eq!(error.actual, other);
    }
    // What came is repeated in part only.
    assert_eq!(
        "x".repeat(1000).parse::<TcbStatus>().unwrap_err().actual.len(),
        64
    );
}

#[test]
fn records_have_no_unknown_fields() {
    let mut record = json!({
        "app_id": "00".repeat(20), "compose_hash": "00".repeat(32), "instance_id": "00".repeat(20),
        "device_id": "00".repeat(32), "mr_aggregated": "00".repeat(32), "mr_system": "00".repeat(32),
        "os_image_hash": "00".repeat(32), "tcb_status": "UpToDate", "advisory_ids": []
    });
    serde_json::from_value::<BootInfo>(record.clone()).unwrap();
    record["allowed"] = true.into();
    serde_json::from_value::<BootInfo>(record).unwrap_err();
}

proptest! {
    #[test]
    fn every_value_survives_text_and_json(bytes: [u8; 20]) {
        let id = AppId::new(bytes);
        prop_assert_eq!(id.to_string().parse::<AppId>().unwrap(), id);
        prop_assert_eq!(id.to_plain_hex().parse::<AppId>().unwrap(), id);
        prop_assert_eq!(id.to_plain_hex().to_uppercase().parse::<AppId>().unwrap(), id);
        prop_assert_eq!(serde_json::from_value::<AppId>(serde_json::to_value(id).unwrap()).unwrap(), id);
        prop_assert_eq!(id.to_string(), format!("0x{}", hex_of(&bytes)));
    }

    #[test]
    fn only_the_exact_length_is_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let text = hex_of(&bytes);
        prop_assert_eq!(text.parse::<Mrtd>().is_ok(), bytes.len() == Mrtd::LEN);
        prop_assert_eq!(text.parse::<ReportData>().is_ok(), bytes.len() == ReportData::LEN);
        prop_assert_eq!(Mrtd::try_from(bytes.as_slice()).is_ok(), bytes.len() == Mrtd::LEN);
        prop_assert_eq!(serde_json::from_value::<Blob<64>>(json!(text)).is_ok(), bytes.len() <= 64);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,100}") {
        let _ = text.parse::<AppId>();
        let _ = text.parse::<TcbStatus>();
        let _ = serde_json::from_str::<EventLogEntry>(&text);
        let _ = serde_json::from_value::<Blob<16>>(json!(text));
    }

    /// Two different lists of parts never give the same bytes.
    #[test]
    fn length_prefixes_are_unambiguous(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
        let encode = |parts: &[Vec<u8>]| length_prefixed(parts.iter().map(Vec::as_slice));
        prop_assert_eq!(encode(&a) == encode(&b), a == b);
    }
}
