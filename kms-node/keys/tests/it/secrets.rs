//! K4: what a secret must not be able to do.

use crate::support::{keys, rng};
use kms_keys::{
    AppSecrets, EpochKeys, EpochRoot, NodeTls, OpeningKey, Passphrase, Secret, Wrapping, WrappingKey,
};

/// Fails to compile when `$type` implements `$trait`: the method would then be found twice.
macro_rules! assert_lacks {
    ($type:ty: $($trait:path),+) => {
        $({
            trait Ambiguous<A> {
                fn some_item() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            #[allow(dead_code)]
            struct Invalid;
            impl<T: ?Sized + $trait> Ambiguous<Invalid> for T {}
            let _ = <$type as Ambiguous<_>>::some_item;
        })+
    };
}

macro_rules! assert_secret {
    ($($type:ty),+ $(,)?) => {
        $(assert_lacks!($type: std::fmt::Debug, std::fmt::Display, Clone, Copy, PartialEq, std::hash::Hash, serde::Serialize, ToString);)+
    };
}

#[test]
fn k4_secrets_cannot_be_printed_copied_compared_or_serialised() {
    assert_secret!(
        Secret<32>,
        Secret<64>,
        EpochRoot,
        EpochKeys,
        AppSecrets,
        OpeningKey,
        NodeTls,
        WrappingKey,
        Passphrase,
        Wrapping,
    );
}

#[test]
fn k4_secrets_are_wiped_on_drop() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<Secret<32>>();
    wiped::<EpochRoot>();
    // Safe code cannot look at freed memory; it can look at what the wipe leaves.
    let mut secret = Secret::<32>::generate(&mut rng(1));
    assert_ne!(secret.expose(), &[0; 32]);
    zeroize::Zeroize::zeroize(&mut secret);
    assert_eq!(secret.expose(), &[0; 32]);
}

#[test]
fn a_box_that_is_handed_over_is_the_only_copy() {
    let secret = Secret::<64>::generate(&mut rng(2));
    let before = *secret.expose();
    let place = std::ptr::from_ref(secret.expose());
    let handed = secret.into_box();
    assert_eq!(*handed, before);
    assert_eq!(
        std::ptr::from_ref(handed.as_ref()),
        place,
        "moved to another place"
    );
}

#[test]
fn roots_are_fresh() {
    let a = EpochRoot::generate(kms_types::KeyEpoch::FIRST, &mut rng(3));
    let b = EpochRoot::generate(kms_types::KeyEpoch::FIRST, &mut rng(4));
    assert_ne!(a.expose(), b.expose());
}

#[test]
fn epoch_is_part_of_every_key() {
    let (one, two) = (keys(1, 9), keys(2, 9));
    assert_ne!(one.identity().kms_identity, two.identity().kms_identity);
    assert_ne!(one.identity().k256_public_key, two.identity().k256_public_key);
    assert_ne!(one.identity().log_public_key, two.identity().log_public_key);
    assert_ne!(one.identity().hpke_public_key, two.identity().hpke_public_key);
    let (app, instance) = (crate::support::app(1), crate::support::instance(1));
    let (a, b) = (
        one.app_keys(&app, &instance).unwrap(),
        two.app_keys(&app, &instance).unwrap(),
    );
    assert_ne!(a.disk_key.expose(), b.disk_key.expose());
    assert_ne!(a.env_key.expose(), b.env_key.expose());
    assert_ne!(a.app_key.expose(), b.app_key.expose());
    assert_ne!(a.ca_certificates, b.ca_certificates);
}

#[test]
fn instance_decides_the_disk_key_and_nothing_else() {
    let keys = keys(1, 9);
    let app = crate::support::app(1);
    let a = keys.app_keys(&app, &crate::support::instance(1)).unwrap();
    let b = keys.app_keys(&app, &crate::support::instance(2)).unwrap();
    assert_ne!(a.disk_key.expose(), b.disk_key.expose());
    assert_eq!(a.env_key.expose(), b.env_key.expose());
    assert_eq!(a.app_key.expose(), b.app_key.expose());
    assert_eq!(a.app_key_signature, b.app_key_signature);
}
