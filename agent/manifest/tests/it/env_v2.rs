//! Version 2 of the encrypted environment: bytes, signers, versions.

use crate::support::{Given, array, bytes, environment, low_order, names, pairs, rng, sample, vectors};
use app_manifest::{
    EnvBinding, EnvSealError, EnvVersion, EnvelopeError, Expected, RejectedEnv, SealedEnv, SignatureError,
    SignedEnv, VersionError, accept, environment_digest,
};
use k256::ecdsa::SigningKey;
use kms_types::{AppId, ChainAddress, ChainId, ComposeHash};
use proptest::prelude::*;
use x25519_dalek::{PublicKey, StaticSecret};

const SECRET: [u8; 32] = [7; 32];
const CHAIN: ChainId = ChainId(31337);

fn public() -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(SECRET)).to_bytes()
}

fn owner() -> SigningKey {
    SigningKey::from_slice(&[3; 32]).unwrap()
}

fn binding(version: u64) -> EnvBinding {
    EnvBinding {
        app_id: AppId::new([5; 20]),
        compose_hash: ComposeHash::new([6; 32]),
        version,
    }
}

fn sealed(version: u64) -> SealedEnv {
    SealedEnv::seal(
        &public(),
        binding(version),
        &environment(&[("A", "1")]),
        &mut rng(version),
    )
    .unwrap()
}

fn signed(version: u64) -> SignedEnv {
    sealed(version).sign(CHAIN, &owner()).unwrap()
}

fn account(key: &SigningKey) -> ChainAddress {
    sealed(1).sign(CHAIN, key).unwrap().signer(CHAIN).unwrap()
}

fn verify(env: SignedEnv, change: impl FnOnce(&mut Expected<'_>)) -> Result<EnvVersion, RejectedEnv> {
    let signers = [ChainAddress::new([9; 20]), account(&owner())];
    let mut expected = Expected {
        chain: CHAIN,
        app_id: binding(1).app_id,
        compose_hash: binding(1).compose_hash,
        signers: &signers,
        last: None,
    };
    change(&mut expected);
    env.verify(&expected).map(|verified| verified.version())
}

#[test]
fn v2_is_the_bytes_of_the_second_implementation() {
    let v = vectors();
    let v2 = &v["v2"];
    let (chain, version) = (
        ChainId(v2["chain_id"].as_u64().unwrap()),
        v2["version"].as_u64().unwrap(),
    );
    let (app_id, compose_hash) = (
        AppId::new(array(&v2["app_id"])),
        ComposeHash::new(array(&v2["compose_hash"])),
    );
    let key = SigningKey::from_slice(&bytes(&v2["owner_secret"])).unwrap();
    let mut given = Given(bytes(&v2["ephemeral_ikm"]));
    let to = array(&v["recipient_public"]);
    let sealed = SealedEnv::seal(
        &to,
        EnvBinding {
            app_id,
            compose_hash,
            version,
        },
        &sample(),
        &mut given,
    )
    .unwrap();
    assert_eq!(hex::encode(sealed.digest(chain)), v2["digest"].as_str().unwrap());
    let digest = environment_digest(chain, &app_id, &compose_hash, version, &sealed.ciphertext_hash());
    assert_eq!(digest, sealed.digest(chain));
    let envelope = sealed.sign(chain, &key).unwrap().to_bytes();
    assert_eq!(hex::encode(&envelope), v2["envelope"].as_str().unwrap());

    let owner = ChainAddress::new(array(&v2["owner"]));
    let expected = Expected {
        chain,
        app_id,
        compose_hash,
        signers: &[owner],
        last: None,
    };
    let verified = SignedEnv::parse(&envelope).unwrap().verify(&expected).unwrap();
    assert_eq!(
        (verified.signer(), verified.version()),
        (
            owner,
            EnvVersion {
                number: version,
                digest
            }
        )
    );
    let opened = verified
        .open(&array(&v["recipient_secret"]), &names(&["GREETING"]))
        .unwrap();
    assert_eq!(
        (pairs(&opened), opened.dropped()),
        (pairs(&sample())[..1].to_vec(), 1)
    );
}

#[test]
fn g5_only_the_owner_or_a_deployer_is_believed() {
    verify(signed(1), |_| ()).unwrap();
    let stranger = SigningKey::from_slice(&[4; 32]).unwrap();
    let error = verify(sealed(1).sign(CHAIN, &stranger).unwrap(), |_| ()).unwrap_err();
    assert_eq!(
        error,
        RejectedEnv::Signer {
            actual: account(&stranger)
        }
    );
    assert!(error.to_string().contains("check G5"));
    assert!(matches!(
        verify(signed(1), |e| e.signers = &[]),
        Err(RejectedEnv::Signer { .. })
    ));
}

#[test]
fn g5_another_app_document_or_chain_is_refused() {
    let other_app = verify(signed(1), |e| e.app_id = AppId::new([1; 20]));
    assert_eq!(
        other_app,
        Err(RejectedEnv::App {
            expected: AppId::new([1; 20]),
            actual: binding(1).app_id
        })
    );
    let other_compose = verify(signed(1), |e| e.compose_hash = ComposeHash::ZERO);
    assert!(matches!(other_compose, Err(RejectedEnv::Compose { .. })));
    // The chain is not in the envelope: signed for another, it is signed by nobody known.
    assert!(matches!(
        verify(signed(1), |e| e.chain = ChainId(1)),
        Err(RejectedEnv::Signer { .. })
    ));
}

/// What the signature covers cannot be changed by who carries it; what it does not cover is refused by its form.
#[test]
fn g5_no_byte_of_an_envelope_can_be_changed() {
    let envelope = signed(1).to_bytes();
    for at in 0..envelope.len() {
        for bit in [0, 7] {
            let mut changed = envelope.clone();
            changed[at] ^= 1 << bit;
            let believed = SignedEnv::parse(&changed).is_ok_and(|env| verify(env, |_| ()).is_ok());
            assert!(!believed, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn g5_versions_never_go_back() {
    let at = |number, byte| EnvVersion {
        number,
        digest: [byte; 32],
    };
    assert_eq!(accept(None, at(1, 1)), Ok(at(1, 1)));
    assert_eq!(accept(None, at(0, 1)), Err(VersionError::Zero));
    assert_eq!(accept(Some(at(4, 1)), at(5, 2)), Ok(at(5, 2)));
    assert_eq!(accept(Some(at(4, 1)), at(4, 1)), Ok(at(4, 1)), "a restart");
    assert_eq!(
        accept(Some(at(4, 1)), at(4, 2)),
        Err(VersionError::Reused { number: 4 })
    );
    assert_eq!(
        accept(Some(at(4, 1)), at(3, 1)),
        Err(VersionError::Older { last: 4, new: 3 })
    );

    let last = verify(signed(3), |_| ()).unwrap();
    assert_eq!(verify(signed(3), |e| e.last = Some(last)), Ok(last));
    let older = verify(signed(2), |e| e.last = Some(last));
    assert_eq!(
        older,
        Err(RejectedEnv::Version(VersionError::Older { last: 3, new: 2 }))
    );
    let again = SealedEnv::seal(&public(), binding(3), &environment(&[("A", "2")]), &mut rng(9)).unwrap();
    let reused = verify(again.sign(CHAIN, &owner()).unwrap(), |e| e.last = Some(last));
    assert_eq!(
        reused,
        Err(RejectedEnv::Version(VersionError::Reused { number: 3 }))
    );
}

/// n − s, which signs the same with the other v.
fn high_s(signature: &[u8]) -> Vec<u8> {
    let parsed = k256::ecdsa::Signature::from_slice(&signature[..64]).unwrap();
    let (r, s) = parsed.split_scalars();
    let other = k256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    [&other.to_bytes()[..], &[signature[64] ^ 1]].concat()
}

#[test]
fn g5_a_signature_has_one_form() {
    let envelope = signed(1).to_bytes();
    let signature = &envelope[envelope.len() - 65..];
    assert_eq!(sealed(1).with_signature(signature).unwrap(), signed(1));
    let wallet = [&signature[..64], &[signature[64] + 27]].concat();
    assert_eq!(
        sealed(1).with_signature(&wallet).unwrap(),
        signed(1),
        "as wallets have it"
    );

    let high = high_s(signature);
    let form = EnvelopeError::Signature(SignatureError::Form { v: high[64] });
    assert_eq!(sealed(1).with_signature(&high).unwrap_err(), form);
    let mut forged = envelope.clone();
    forged.truncate(envelope.len() - 65);
    forged.extend_from_slice(&high);
    let error = verify(SignedEnv::parse(&forged).unwrap(), |_| ()).unwrap_err();
    assert_eq!(
        error,
        RejectedEnv::Signature(SignatureError::Form { v: high[64] })
    );

    for length in [0, 64, 66] {
        let error = sealed(1).with_signature(&vec![1; length]).unwrap_err();
        assert_eq!(
            error,
            EnvelopeError::Signature(SignatureError::Length { actual: length })
        );
    }
    for v in [2, 3, 4, 26, 29, 255] {
        let other = [&signature[..64], &[v]].concat();
        assert!(matches!(
            sealed(1).with_signature(&other),
            Err(EnvelopeError::Signature(SignatureError::Form { .. }))
        ));
    }
    let zero = [[0; 64].as_slice(), &[0]].concat();
    assert!(sealed(1).with_signature(&zero).is_err());
    let unwalleted = [&envelope[..envelope.len() - 1], &[signature[64] + 27]].concat();
    assert!(
        verify(SignedEnv::parse(&unwalleted).unwrap(), |_| ()).is_err(),
        "27 and 28 are for wallets alone"
    );
}

#[test]
fn an_envelope_is_exact_to_the_byte() {
    let envelope = signed(1).to_bytes();
    assert_eq!(SignedEnv::parse(&envelope).unwrap(), signed(1));
    let longer = [envelope.as_slice(), &[0]].concat();
    assert!(matches!(
        SignedEnv::parse(&longer),
        Err(EnvelopeError::Ciphertext { .. })
    ));
    assert!(matches!(
        SignedEnv::parse(&envelope[..envelope.len() - 1]),
        Err(EnvelopeError::Ciphertext { .. })
    ));
    assert_eq!(
        SignedEnv::parse(&[0; 100]),
        Err(EnvelopeError::Length { actual: 100 })
    );
    let huge = vec![0; 2 << 20];
    assert_eq!(
        SignedEnv::parse(&huge),
        Err(EnvelopeError::Length { actual: 2 << 20 })
    );
    let mut other = envelope.clone();
    other[11] = b'1';
    assert_eq!(SignedEnv::parse(&other), Err(EnvelopeError::Magic));
    let mut zero = envelope;
    zero[65..73].fill(0);
    assert_eq!(SignedEnv::parse(&zero), Err(EnvelopeError::VersionZero));
    let none = SealedEnv::seal(&public(), binding(0), &environment(&[]), &mut rng(1));
    assert_eq!(none, Err(EnvelopeError::VersionZero));
}

#[test]
fn it_opens_with_the_apps_key_alone() {
    let signers = [account(&owner())];
    let EnvBinding {
        app_id, compose_hash, ..
    } = binding(1);
    let expected = Expected {
        chain: CHAIN,
        app_id,
        compose_hash,
        signers: &signers,
        last: None,
    };
    let verified = signed(1).verify(&expected).unwrap();
    assert_eq!(
        pairs(&verified.open(&SECRET, &names(&["A"])).unwrap()),
        [("A".to_owned(), "1".to_owned())]
    );
    assert_eq!(
        verified.open(&[8; 32], &names(&["A"])).err(),
        Some(RejectedEnv::Seal(EnvSealError::Open))
    );
}

/// An owner who moves a seal to another version or document signs something that does not open.
#[test]
fn the_seal_is_bound_to_app_document_and_version() {
    let envelope = signed(1).to_bytes();
    for at in [13, 33, 72] {
        let mut moved = envelope[..envelope.len() - 65].to_vec();
        moved[at] ^= 4;
        moved.extend_from_slice(&[1; 65]);
        let parsed = SignedEnv::parse(&moved).unwrap();
        let (binding, chain) = (*parsed.binding(), CHAIN);
        let enc: [u8; 32] = moved[73..105].try_into().unwrap();
        let hash = keccak(&[&enc[..], &moved[109..moved.len() - 65]].concat());
        let digest = environment_digest(
            chain,
            &binding.app_id,
            &binding.compose_hash,
            binding.version,
            &hash,
        );
        let (signature, v) = owner().sign_prehash_recoverable(&digest).unwrap();
        let end = moved.len() - 65;
        moved[end..end + 64].copy_from_slice(&signature.to_bytes());
        moved[end + 64] = v.to_byte();
        let signers = [account(&owner())];
        let EnvBinding {
            app_id, compose_hash, ..
        } = binding;
        let expected = Expected {
            chain,
            app_id,
            compose_hash,
            signers: &signers,
            last: None,
        };
        let verified = SignedEnv::parse(&moved).unwrap().verify(&expected).unwrap();
        assert_eq!(
            verified.open(&SECRET, &names(&["A"])).err(),
            Some(RejectedEnv::Seal(EnvSealError::Open)),
            "byte {at}"
        );
    }
}

fn keccak(data: &[u8]) -> [u8; 32] {
    use sha3::Digest;
    sha3::Keccak256::digest(data).into()
}

#[test]
fn keys_of_small_order_are_refused() {
    for point in low_order() {
        let error = SealedEnv::seal(&point, binding(1), &environment(&[]), &mut rng(1)).unwrap_err();
        assert_eq!(error, EnvelopeError::Seal(EnvSealError::Recipient));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_exactly(
        head in prop_oneof![Just(b"kedge/env/v2\0".to_vec()), Just(Vec::new())],
        rest in prop::collection::vec(any::<u8>(), 0..300),
        fit in any::<bool>(),
    ) {
        let mut bytes = [head, rest].concat();
        if fit && bytes.len() >= 190 {
            let length = (bytes.len() - 109 - 65) as u32;
            bytes[105..109].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(env) = SignedEnv::parse(&bytes) {
            prop_assert_eq!(env.to_bytes(), bytes);
            prop_assert!(verify(env, |_| ()).is_err());
        }
    }

    #[test]
    fn what_is_accepted_never_falls(numbers in prop::collection::vec((0u64..6, 0u8..2), 1..40)) {
        let mut last: Option<EnvVersion> = None;
        for (number, byte) in numbers {
            let before = last;
            if let Ok(next) = accept(last, EnvVersion { number, digest: [byte; 32] }) {
                prop_assert!(before.is_none_or(|b| next.number > b.number || next == b));
                last = Some(next);
            }
        }
    }
}
