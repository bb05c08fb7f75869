//! Local roots and the sealed box they travel in.

use kms_keys::{EpochRoot, LocalIdentity, LocalOpeningKey, SealedBoxError, Secret, local_root, seal_local};
use kms_types::{AttestationRoot, KeyEpoch, OsMeasurement, Rtmr};

fn td(change: usize) -> LocalIdentity {
    let at = |i: usize| Rtmr::new([u8::from(change == i); 48]);
    LocalIdentity {
        attestation_root: AttestationRoot::new([u8::from(change == 6); 32]),
        os: OsMeasurement {
            mrtd: kms_types::Mrtd::new([u8::from(change == 1); 48]),
            rtmr0: at(2),
            rtmr1: at(3),
            rtmr2: at(4),
        },
        rtmr3: at(5),
    }
}

#[test]
fn a_root_is_of_one_secret_one_platform_root_and_every_register() {
    let root = |secret: u8, change| {
        let secret = EpochRoot::from_secret(KeyEpoch::FIRST, Secret::new(Box::new([secret; 32])));
        *local_root(&secret, &td(change)).unwrap().expose()
    };
    assert_eq!(root(1, 0), root(1, 0));
    assert_ne!(root(1, 0), root(2, 0));
    for change in 1..=6 {
        assert_ne!(root(1, 0), root(1, change), "{change}");
    }
}

#[test]
fn a_box_opens_with_its_key_alone_and_unchanged() {
    let (key, other) = (
        LocalOpeningKey::generate(&mut rand::rng()),
        LocalOpeningKey::generate(&mut rand::rng()),
    );
    let mut sealed = seal_local(&key.public(), &Secret::new(Box::new([7; 32])), &mut rand::rng()).unwrap();
    assert_eq!(sealed.len(), 80);
    assert_eq!(key.open(&sealed).unwrap().expose(), &[7; 32]);
    assert!(matches!(other.open(&sealed), Err(SealedBoxError::Other)));
    for at in 0..sealed.len() {
        sealed[at] ^= 1;
        assert!(key.open(&sealed).is_err(), "{at}");
        sealed[at] ^= 1;
    }
    assert!(key.open(&sealed[..79]).is_err() && key.open(&[]).is_err());
}
