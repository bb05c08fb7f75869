//! `catalogue.json`: one form, bounded, order and repeats without effect.

use crate::measurement;
use proptest::prelude::*;
use td_measure::{Catalogue, CatalogueError, MAX_CATALOGUE_JSON, MAX_MEASUREMENTS};

#[test]
fn json_round_trip_keeps_bytes_and_hash() {
    let catalogue = Catalogue::from_measurements((0..7).map(measurement)).unwrap();
    let json = catalogue.to_json().unwrap();
    let again = Catalogue::from_json(&json).unwrap();
    assert_eq!(again.to_json().unwrap(), json);
    assert_eq!(again.os_image_hash(), catalogue.os_image_hash());
    assert_eq!(again.measurements(), catalogue.measurements());
}

#[test]
fn order_and_repeats_do_not_matter() {
    let forward = Catalogue::from_measurements((0..9).map(measurement)).unwrap();
    let shuffled = Catalogue::from_measurements([4, 8, 0, 3, 3, 1, 7, 2, 6, 5, 0].map(measurement)).unwrap();
    assert_eq!(forward.os_image_hash(), shuffled.os_image_hash());
    assert_eq!(shuffled.measurements().len(), 9);
}

#[test]
fn one_more_measurement_is_another_image() {
    let nine = Catalogue::from_measurements((0..9).map(measurement)).unwrap();
    let ten = Catalogue::from_measurements((0..10).map(measurement)).unwrap();
    assert_ne!(nine.os_image_hash(), ten.os_image_hash());
}

#[test]
fn empty_is_refused() {
    assert!(matches!(
        Catalogue::from_measurements([]),
        Err(CatalogueError::Empty)
    ));
    let json = br#"{"format":"kedge/catalogue/v1","measurements":[]}"#;
    assert!(matches!(Catalogue::from_json(json), Err(CatalogueError::Empty)));
}

#[test]
fn unknown_format_and_fields_are_refused() {
    let json = Catalogue::from_measurements([measurement(1)])
        .unwrap()
        .to_json()
        .unwrap();
    let text = String::from_utf8(json).unwrap();
    let other = text.replace("catalogue/v1", "catalogue/v2");
    assert!(matches!(
        Catalogue::from_json(other.as_bytes()),
        Err(CatalogueError::Format { actual }) if actual == "kedge/catalogue/v2"
    ));
    let extra = text.replace("\"measurements\"", "\"image\":\"x\",\"measurements\"");
    assert!(matches!(
        Catalogue::from_json(extra.as_bytes()),
        Err(CatalogueError::Json(_))
    ));
    let short = text.replace(&"01".repeat(48), &"01".repeat(47));
    assert!(matches!(
        Catalogue::from_json(short.as_bytes()),
        Err(CatalogueError::Json(_))
    ));
}

#[test]
fn bounds_hold_at_their_edge() {
    let full = Catalogue::from_measurements((0..MAX_MEASUREMENTS as u64).map(measurement)).unwrap();
    let json = full.to_json().unwrap();
    assert!(json.len() <= MAX_CATALOGUE_JSON, "{} bytes", json.len());
    let proof = full.proof(&measurement(MAX_MEASUREMENTS as u64 - 1)).unwrap();
    assert_eq!(proof.len(), 16 + 16 * 32);

    let over = Catalogue::from_measurements((0..=MAX_MEASUREMENTS as u64).map(measurement));
    assert!(matches!(over, Err(CatalogueError::TooMany { actual }) if actual == MAX_MEASUREMENTS + 1));
    let long = vec![b' '; MAX_CATALOGUE_JSON + 1];
    assert!(matches!(
        Catalogue::from_json(&long),
        Err(CatalogueError::TooLong { .. })
    ));
}

proptest! {
    #[test]
    fn no_damage_panics_or_passes_for_another_format(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let catalogue = Catalogue::from_measurements((0..3).map(measurement)).unwrap();
        let mut json = catalogue.to_json().unwrap();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(read) = Catalogue::from_json(&json) {
            prop_assert!((1..=3).contains(&read.measurements().len()));
            let same = read.measurements() == catalogue.measurements();
            prop_assert_eq!(read.os_image_hash() == catalogue.os_image_hash(), same);
        }
    }
}
