//! The webhook's body: exact lengths, every fault with its field, bounds.

use kms_types::{AppId, BootInfo};
use kms_wire::boot_auth::{BootFault, MAX_ADVISORIES, MAX_ADVISORY, MAX_DEPTH, read_boot};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a dstack KMS sends: camelCase, hex without `0x`, fields no contract knows.
fn body() -> Value {
    json!({
        "attestationMode": "dstack-tdx",
        "mrAggregated": "31".repeat(32),
        "osImageHash": "05".repeat(32),
        "mrSystem": "32".repeat(32),
        "appId": "aa".repeat(20),
        "composeHash": "c0".repeat(32),
        "instanceId": "11".repeat(20),
        "deviceId": "de".repeat(32),
        "keyProviderInfo": "7b7d",
        "tcbStatus": "UpToDate",
        "advisoryIds": ["INTEL-SA-00837"],
    })
}

fn with(field: &str, value: Value) -> Result<BootInfo, BootFault> {
    let mut body = body();
    body[field] = value;
    read_boot(&serde_json::to_vec(&body).unwrap())
}

#[test]
fn what_a_kms_sends_is_read_with_and_without_a_prefix() {
    let plain = read_boot(&serde_json::to_vec(&body()).unwrap()).unwrap();
    assert_eq!(plain.app_id, AppId::new([0xaa; 20]));
    assert_eq!(plain.advisory_ids, ["INTEL-SA-00837"]);
    assert_eq!(
        with("appId", format!("0x{}", "AA".repeat(20)).into()).unwrap(),
        plain
    );
}

#[test]
fn an_app_without_instance_ids_is_asked_about_as_zero() {
    assert!(with("instanceId", "".into()).unwrap().instance_id.is_zero());
    assert!(with("instanceId", "00".into()).is_err());
    assert!(with("appId", "".into()).is_err());
}

#[test]
fn every_fault_is_told_at_once_with_its_field() {
    let BootFault::Fields(faults) = read_boot(b"{\"appId\": 5, \"tcbStatus\": \"Fine\"}").unwrap_err() else {
        panic!("fields");
    };
    assert_eq!(faults.len(), 9, "{faults:?}");
    let told = faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    assert!(
        told.contains("appId: expected 20 bytes in hex, got a number"),
        "{told}"
    );
    assert!(
        told.contains("mrSystem: expected 32 bytes in hex, got nothing"),
        "{told}"
    );
    assert!(told.contains("got \"Fine\""), "{told}");
}

#[test]
fn bounds_hold() {
    assert!(with("advisoryIds", json!(vec!["A"; MAX_ADVISORIES])).is_ok());
    for advisories in [
        json!(vec!["A"; MAX_ADVISORIES + 1]),
        json!(["A".repeat(MAX_ADVISORY + 1)]),
        json!([""]),
        json!(["a\nb"]),
        json!([5]),
        json!("A"),
    ] {
        assert!(with("advisoryIds", advisories.clone()).is_err(), "{advisories}");
    }
    let nested = |depth: usize| format!("{{\"more\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read_boot(nested(MAX_DEPTH).as_bytes()), Err(BootFault::Depth));
    assert!(matches!(
        read_boot(nested(MAX_DEPTH - 1).as_bytes()),
        Err(BootFault::Fields(_))
    ));
    assert!(with("more", "]}[[[[[[[[[[[[[[[[[[[[[[[\\\"".into()).is_ok());
}

#[test]
fn other_json_and_repeated_fields_are_refused() {
    let twice = serde_json::to_string(&body())
        .unwrap()
        .replacen('{', "{\"appId\":\"00\",", 1);
    for text in ["", "null", "[]", "5", "{", "{} {}", &twice] {
        let fault = read_boot(text.as_bytes()).unwrap_err();
        assert!(matches!(fault, BootFault::Syntax { .. }), "{text}: {fault}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = read_boot(&bytes);
    }

    #[test]
    fn only_the_exact_length_is_read(length in 0_usize..80, prefix in any::<bool>()) {
        let prefix = if prefix { "0x" } else { "" };
        for (field, exact) in [("appId", 40), ("composeHash", 64), ("mrSystem", 64), ("deviceId", 64)] {
            let read = with(field, format!("{prefix}{}", "a".repeat(length)).into());
            prop_assert_eq!(read.is_ok(), length == exact);
            if let Err(fault) = read {
                prop_assert!(fault.to_string().starts_with(field), "{}", fault);
            }
        }
    }
}
