//! Leases and certificates against every lie a KMS, or somebody at its address, could tell about them.

use crate::{
    guest::{Guest, NOW, app, image},
    kms::{CHAIN, CONTRACT, Chain, Fault, Kms, block, epoch_keys, sign_lease},
};
use kms_client::{
    Described, Expected, Guest as Shown, Kms as Pinned, KmsPin, LeafOrder, RequestError, request_certificate,
    request_lease,
};
use kms_keys::EpochKeys;
use kms_protocol::VerifiedEvidence;
use kms_types::{AppId, Blob, ChainAddress, ChainId, DeviceId, InstanceId, KeyEpoch, UnixTime};
use kms_wire::{CertificateResponse, LeaseClaims, LeaseResponse};
use std::time::Duration;
use tokio::runtime::Runtime;

struct Asking {
    guest: Guest,
    shown: Shown,
    described: Described,
}

impl Asking {
    fn new() -> Self {
        let guest = Guest::booted();
        soft_td::finish_boot(&*guest.td, br#"{"name":"kms","id":"00"}"#).unwrap();
        let proof = image().catalogue().proof(&guest.td.config().measurement).unwrap();
        let shown = Shown::running(&*guest.td, proof).unwrap();
        let described = Described {
            instance_seed: app().instance_seed,
            ..Described::default()
        };
        Self {
            guest,
            shown,
            described,
        }
    }

    fn lease(&self, kms: &Kms, pinned: &Pinned) -> Result<LeaseClaims, RequestError> {
        let url = kms.url.parse().unwrap();
        let asked = request_lease(&url, pinned, &self.shown, &self.described, &*self.guest.td);
        Runtime::new().unwrap().block_on(asked).map(|lease| lease.claims)
    }

    fn chain(&self, kms: &Kms, pinned: &Pinned, now: UnixTime) -> Result<Vec<String>, RequestError> {
        let url = kms.url.parse().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = rcgen::CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let order = LeafOrder::new(csr.der());
        let asked = request_certificate(
            &url,
            pinned,
            &self.shown,
            &self.described,
            &order,
            now,
            &*self.guest.td,
        );
        Runtime::new().unwrap().block_on(asked).map(|given| given.chain)
    }
}

fn pinned(kms: &Kms) -> Pinned {
    Pinned {
        pin: KmsPin::from_identity(&kms.identity()).unwrap(),
        network: Expected {
            chain_id: Some(ChainId(CHAIN)),
            contract: Some(ChainAddress::new(CONTRACT)),
        },
        timeout: Duration::from_secs(10),
    }
}

fn refused<T: std::fmt::Debug>(asked: Result<T, RequestError>, words: &str) {
    let error = asked.expect_err(words);
    assert!(
        error.to_string().contains(words),
        "expected {words:?}, got {error}"
    );
    assert!(!error.denied(), "a lie is no denial: another node may be honest");
}

/// A lease with changed claims, signed as the KMS would.
fn forge(
    answer: &mut LeaseResponse,
    keys: &EpochKeys,
    evidence: &VerifiedEvidence,
    change: fn(&mut LeaseClaims),
) {
    let payload =
        kms_keys::verify_jws_es256k(&answer.lease, &evidence.keys().identity().k256_public_key).unwrap();
    let mut claims: LeaseClaims = serde_json::from_slice(&payload).unwrap();
    change(&mut claims);
    answer.lease = keys
        .sign_jws_es256k(&serde_json::to_vec(&claims).unwrap())
        .unwrap();
    sign_lease(answer, evidence.keys(), evidence.report_data());
}

#[test]
fn g3_a_lease_that_is_not_about_this_guest_is_refused() {
    let asking = Asking::new();
    let kms = Kms::honest();
    asking.lease(&kms, &pinned(&kms)).unwrap();
    type Change = fn(&mut LeaseClaims);
    let changes: [(Change, &str); 8] = [
        (|claims| claims.sub = AppId::new([1; 20]), "app of the lease"),
        (
            |claims| claims.instance_id = InstanceId::new([1; 20]),
            "instance of the lease",
        ),
        (|claims| claims.iss = "0x00".to_owned(), "issuer of the lease"),
        (
            |claims| claims.cnf = Blob::new(vec![9; 32]).unwrap(),
            "holder of the lease",
        ),
        (
            |claims| claims.exp = UnixTime(claims.exp.0 + 1),
            "end of the lease",
        ),
        (
            |claims| claims.block = block(99).block_ref(),
            "block of the lease",
        ),
        (
            |claims| claims.device_id = DeviceId::new([1; 32]),
            "platform of the lease",
        ),
        (|claims| claims.key_epoch = KeyEpoch(2), "key epoch of the lease"),
    ];
    for (change, words) in changes {
        let kms = Kms::start(
            Fault::Lease(Box::new(move |answer, evidence| {
                forge(answer, evidence.keys(), evidence, change);
            })),
            Chain::Honest,
        );
        refused(asking.lease(&kms, &pinned(&kms)), words);
    }
}

#[test]
fn g3_a_lease_that_the_kms_did_not_sign_over_this_request_is_refused() {
    let asking = Asking::new();
    type Spoil = fn(&mut LeaseResponse, &VerifiedEvidence);
    let spoils: [(Spoil, &str); 6] = [
        (
            |answer, evidence| sign_lease(answer, &epoch_keys(2), evidence.report_data()),
            "signature of the KMS",
        ),
        (
            |answer, _| answer.decision.head.number += 1,
            "signature of the KMS",
        ),
        (
            |answer, evidence| forge(answer, &epoch_keys(2), evidence, |_| {}),
            "a token signed by the KMS",
        ),
        (
            |answer, evidence| {
                answer.expires_at = UnixTime(1);
                forge(answer, evidence.keys(), evidence, |claims| {
                    claims.exp = UnixTime(1)
                });
            },
            "end of the lease",
        ),
        (
            |answer, evidence| {
                answer.log.entry.app_id = AppId::new([1; 20]);
                sign_lease(answer, evidence.keys(), evidence.report_data());
            },
            "app of the log entry",
        ),
        (
            |answer, evidence| {
                answer.log.entry.kind = kms_wire::ReleaseKind::AppKeys;
                sign_lease(answer, evidence.keys(), evidence.report_data());
            },
            "kind of the log entry",
        ),
    ];
    for (spoil, words) in spoils {
        let kms = Kms::start(Fault::Lease(Box::new(spoil)), Chain::Honest);
        refused(asking.lease(&kms, &pinned(&kms)), words);
    }
    let kms = Kms::honest();
    let mut elsewhere = pinned(&kms);
    elsewhere.network.chain_id = Some(ChainId(1));
    refused(asking.lease(&kms, &elsewhere), "chain id");
}

#[test]
fn g3_a_certificate_of_another_key_ca_or_time_is_refused() {
    let asking = Asking::new();
    let kms = Kms::honest();
    let honest = asking.chain(&kms, &pinned(&kms), NOW).unwrap();
    assert_eq!(honest.len(), 3);
    // Each request makes a key of its own: the chain above is good, and not for this one.
    type Spoil = Box<dyn Fn(&mut CertificateResponse, &VerifiedEvidence) + Send + Sync>;
    let spoils: [(Spoil, &str); 5] = [
        (
            Box::new({
                let honest = honest.clone();
                move |answer, _| answer.chain.clone_from(&honest)
            }),
            "key of the certificate",
        ),
        (
            Box::new(|answer, _| answer.chain.truncate(2)),
            "leaf, app CA and KMS CA",
        ),
        (
            Box::new(|answer, _| answer.chain[2] = epoch_keys(2).identity().ca_certificate.clone()),
            "CA of the certificate",
        ),
        (
            Box::new(|answer, _| answer.chain[1] = answer.chain[2].clone()),
            "signatures up to the CA of the KMS",
        ),
        (
            Box::new(|answer, _| answer.decision.chain_id = ChainId(1)),
            "chain id",
        ),
    ];
    for (spoil, words) in spoils {
        let kms = Kms::start(Fault::Chain(spoil), Chain::Honest);
        refused(asking.chain(&kms, &pinned(&kms), NOW), words);
    }
    let later = UnixTime(NOW.0 + 4000);
    refused(asking.chain(&kms, &pinned(&kms), later), "valid now");
}
