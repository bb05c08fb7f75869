//! What a signature or a token must not be.

use crate::support::{app, keys};
use kms_keys::{
    JwsError, SignatureError, recover_prehash, verify_app_key, verify_jws_es256k, verify_log, verify_prehash,
};
use proptest::prelude::*;

/// Order of secp256k1.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

/// The same signature with n - s: mathematically as valid as the first.
fn high_s(signature: &[u8; 65]) -> [u8; 65] {
    let parsed = k256::ecdsa::Signature::from_slice(&signature[..64]).unwrap();
    let high =
        k256::ecdsa::Signature::from_scalars(parsed.r().to_bytes(), (-*parsed.s()).to_bytes()).unwrap();
    let mut out = [0; 65];
    out[..64].copy_from_slice(&high.to_bytes());
    out[64] = signature[64] ^ 1;
    out
}

#[test]
fn another_signer_message_or_form_is_refused() {
    let (kms, other) = (keys(1, 1), keys(1, 2));
    let public = kms.identity().k256_public_key;
    let signature = kms.sign_prehash(&[7; 32]).unwrap();
    verify_prehash(&public, &[7; 32], &signature).unwrap();

    let forged = other.sign_prehash(&[7; 32]).unwrap();
    let error = verify_prehash(&public, &[7; 32], &forged).unwrap_err();
    assert_eq!(
        error,
        SignatureError::Signer {
            expected: hex::encode(public),
            actual: hex::encode(other.identity().k256_public_key)
        }
    );
    assert!(matches!(
        verify_prehash(&public, &[8; 32], &signature),
        Err(SignatureError::Signer { .. })
    ));
    assert_eq!(
        verify_prehash(&public, &[7; 32], &signature[..64]).unwrap_err(),
        SignatureError::Length {
            expected: 65,
            actual: 64
        }
    );
    for v in [2, 3, 27, 28, 255] {
        let mut ethereum = signature;
        ethereum[64] = v;
        assert_eq!(
            recover_prehash(&[7; 32], &ethereum).unwrap_err(),
            SignatureError::Form { v }
        );
    }
}

#[test]
fn the_second_form_of_a_signature_is_refused() {
    let kms = keys(1, 1);
    let high = high_s(&kms.sign_prehash(&[7; 32]).unwrap());
    assert!(matches!(
        recover_prehash(&[7; 32], &high),
        Err(SignatureError::Form { .. })
    ));
}

#[test]
fn scalars_out_of_range_are_refused() {
    let order = hex::decode(ORDER).unwrap();
    let zero = vec![0; 32];
    let one = [vec![0; 31], vec![1]].concat();
    for (r, s) in [(&zero, &one), (&one, &zero), (&order, &one), (&one, &order)] {
        let signature = [r.as_slice(), s, &[0]].concat();
        assert!(matches!(
            recover_prehash(&[7; 32], &signature),
            Err(SignatureError::Form { v: 0 })
        ));
    }
}

#[test]
fn an_app_key_signature_names_the_app() {
    let kms = keys(1, 1);
    let secrets = kms.app_keys(&app(1), &crate::support::instance(1)).unwrap();
    let public = kms.identity().k256_public_key;
    let check = |id| verify_app_key(&public, &id, &secrets.app_public_key, &secrets.app_key_signature);
    check(app(1)).unwrap();
    check(app(2)).unwrap_err();
}

#[test]
fn log_signatures_are_checked_strictly() {
    let kms = keys(1, 1);
    let public = kms.identity().log_public_key;
    let signature = kms.sign_log(b"head");
    verify_log(&public, b"head", &signature).unwrap();
    verify_log(&public, b"heae", &signature).unwrap_err();
    verify_log(&keys(1, 2).identity().log_public_key, b"head", &signature).unwrap_err();
    assert_eq!(
        verify_log(&public, b"head", &signature[1..]).unwrap_err(),
        SignatureError::Length {
            expected: 64,
            actual: 63
        }
    );
    // The neutral element as key and as R, and s of zero: valid for every message without strictness.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let anything = [neutral, [0; 32]].concat();
    verify_log(&neutral, b"any", &anything).unwrap_err();
}

#[test]
fn a_token_has_one_form() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let kms = keys(1, 1);
    let public = kms.identity().k256_public_key;
    let token = kms.sign_jws_es256k(b"{}").unwrap();
    assert_eq!(verify_jws_es256k(&token, &public).unwrap(), b"{}");
    let parts: Vec<&str> = token.split('.').collect();
    let refused = |token: &str| verify_jws_es256k(token, &public).unwrap_err();

    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"typ":"JWT","alg":"ES256K"}"#,
    ] {
        let other = format!("{}.{}.{}", B64.encode(header), parts[1], parts[2]);
        assert_eq!(refused(&other), JwsError::Form { part: "header" });
    }
    assert_eq!(
        refused(&format!("{}.{}.", parts[0], parts[1])),
        JwsError::Form { part: "signature" }
    );
    assert_eq!(
        refused(&format!("{}.{}", parts[0], parts[1])),
        JwsError::Form {
            part: "count of parts"
        }
    );
    assert_eq!(
        refused(&format!("{token}.")),
        JwsError::Form { part: "signature" }
    );
    assert_eq!(
        refused("nothing"),
        JwsError::Form {
            part: "count of parts"
        }
    );
    let padded = format!("{}.{}.{}=", parts[0], parts[1], parts[2]);
    assert_eq!(refused(&padded), JwsError::Form { part: "signature" });
    let other = format!("{}.{}.{}", parts[0], B64.encode(b"{ }"), parts[2]);
    assert_eq!(refused(&other), JwsError::Signature);
    assert_eq!(
        verify_jws_es256k(&token, &keys(1, 2).identity().k256_public_key).unwrap_err(),
        JwsError::Signature
    );
    let signature: [u8; 64] = B64.decode(parts[2]).unwrap().try_into().unwrap();
    let mut recoverable = [0; 65];
    recoverable[..64].copy_from_slice(&signature);
    let high = format!(
        "{}.{}.{}",
        parts[0],
        parts[1],
        B64.encode(&high_s(&recoverable)[..64])
    );
    assert_eq!(refused(&high), JwsError::Form { part: "signature" });
    assert_eq!(refused(&"a".repeat(9000)), JwsError::TooLong { actual: 9000 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn signatures_have_low_s_and_a_parity(prehash: [u8; 32]) {
        let kms = keys(1, 1);
        let signature = kms.sign_prehash(&prehash).unwrap();
        prop_assert!(signature[64] < 2);
        prop_assert_eq!(recover_prehash(&prehash, &signature).unwrap(), kms.identity().k256_public_key);
    }

    #[test]
    fn no_other_bytes_verify(prehash: [u8; 32], signature in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(verify_prehash(&[2; 33], &prehash, &signature).is_err());
    }

    #[test]
    fn tokens_of_any_text_are_refused(token in ".{0,200}") {
        let public = keys(1, 1).identity().k256_public_key;
        prop_assert!(verify_jws_es256k(&token, &public).is_err());
    }
}
