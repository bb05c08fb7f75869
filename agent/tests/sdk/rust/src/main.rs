//! Calls every method of dstack's Rust SDK, unmodified, on a running app socket and judges the answers with code of its own.
//!
//! `dstack-sdk-tests FACTS.json`: FACTS is what the Rust test of the agent knows; one JSON object with what was called goes to
//! standard output. Any wrong answer panics.
#![forbid(unsafe_code)]

use dstack_sdk::{
    dstack_client::{DstackClient, TlsKeyConfig},
    ethereum::to_account,
    tappd_client::TappdClient,
};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384};
use sha3::Keccak256;

fn text<'a>(facts: &'a Value, name: &str) -> &'a str {
    facts[name].as_str().unwrap()
}

fn recovered(digest: &[u8], signature: &[u8]) -> Vec<u8> {
    assert_eq!(signature.len(), 65);
    let parsed = Signature::from_slice(&signature[..64]).unwrap();
    let recovery = RecoveryId::from_byte(signature[64]).unwrap();
    let key = VerifyingKey::recover_from_prehash(digest, &parsed, recovery).unwrap();
    key.to_sec1_bytes().to_vec()
}

/// The key's signer must be whom the KMS signed.
fn check_chain(facts: &Value, purpose: &str, public: &[u8], chain: &[Vec<u8>]) {
    let digest = Keccak256::digest(format!("{purpose}:{}", hex::encode(public)));
    let app = recovered(&digest, &chain[0]);
    let digest = Keccak256::new()
        .chain_update(b"dstack-kms-issued:")
        .chain_update(hex::decode(text(facts, "app_id")).unwrap())
        .chain_update(&app)
        .finalize();
    assert_eq!(
        hex::encode(recovered(&digest, &chain[1])),
        text(facts, "kms_public_key")
    );
}

/// Report data and RTMR3 of a version 4 quote.
fn fields(quote: &[u8]) -> (Vec<u8>, String) {
    assert_eq!(quote[..2], [4, 0]);
    (quote[568..632].to_vec(), hex::encode(&quote[520..568]))
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut padded = data.to_vec();
    padded.resize(64, 0);
    padded
}

async fn main_client(facts: &Value, socket: &str) {
    let client = DstackClient::new(Some(socket));
    assert_eq!(client.version().await.unwrap().version, text(facts, "version"));
    let key = client
        .get_key(Some("a/b".into()), Some("p".into()))
        .await
        .unwrap();
    let signer = SigningKey::from_slice(&key.decode_key().unwrap()).unwrap();
    let public = signer.verifying_key().to_sec1_bytes();
    check_chain(facts, "p", &public, &key.decode_signature_chain().unwrap());
    let point = signer.verifying_key().to_encoded_point(false);
    let address = hex::encode(&Keccak256::digest(&point.as_bytes()[1..])[12..]);
    let account = to_account(&key).unwrap().address().to_string();
    assert_eq!(account.trim_start_matches("0x").to_lowercase(), address);

    client.emit_event("rust".into(), vec![0, 255]).await.unwrap();
    let answer = client.get_quote(b"hello".to_vec()).await.unwrap();
    let (report, rtmr3) = fields(&answer.decode_quote().unwrap());
    assert_eq!(report, padded(b"hello"));
    assert_eq!(answer.replay_rtmrs().unwrap()[&3], rtmr3);
    let last = answer.decode_event_log().unwrap().pop().unwrap();
    assert_eq!(
        (last.event.as_str(), last.event_payload.as_str()),
        ("rust", "00ff")
    );

    let document: Value = serde_json::from_slice(
        &client
            .attest(b"x".to_vec())
            .await
            .unwrap()
            .decode_attestation()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        document["report_data"],
        format!("0x{}", hex::encode(padded(b"x")))
    );

    let info = client.info().await.unwrap();
    assert_eq!(info.app_id, text(facts, "app_id"));
    assert_eq!(
        hex::encode(Sha256::digest(&info.tcb_info.app_compose)),
        text(facts, "compose_hash")
    );
    let replayed = info
        .tcb_info
        .event_log
        .iter()
        .fold([0_u8; 48], |register, event| {
            let digest = hex::decode(&event.digest).unwrap();
            Sha384::new()
                .chain_update(register)
                .chain_update(digest)
                .finalize()
                .into()
        });
    assert_eq!(hex::encode(replayed), info.tcb_info.rtmr3);

    let hash = Sha256::digest(b"data").to_vec();
    for (algorithm, data) in [
        ("ed25519", b"data".to_vec()),
        ("secp256k1", b"data".to_vec()),
        ("secp256k1_prehashed", hash),
    ] {
        let signed = client.sign(algorithm, data.clone()).await.unwrap();
        let (signature, public) = (
            signed.decode_signature().unwrap(),
            signed.decode_public_key().unwrap(),
        );
        check_chain(
            facts,
            "signing",
            &public,
            &signed.decode_signature_chain().unwrap()[1..],
        );
        let verify = |data| client.verify(algorithm, data, signature.clone(), public.clone());
        assert!(verify(data).await.unwrap().valid);
        assert!(!verify(vec![7; 32]).await.unwrap().valid);
    }

    let names = facts["names"].as_array().unwrap();
    let config = TlsKeyConfig::builder()
        .subject("web")
        .alt_names(
            names
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect(),
        )
        .usage_client_auth(true)
        .build();
    let tls = client.get_tls_key(config).await.unwrap();
    assert_eq!(tls.certificate_chain.len(), 3);
    assert_eq!(
        tls.certificate_chain[2].trim(),
        text(facts, "ca_certificate").trim()
    );
    assert!(client.sign("rsa", vec![1]).await.is_err());
}

async fn legacy_client(facts: &Value, socket: &str) {
    let client = TappdClient::new(Some(socket));
    let first = client.derive_key("a").await.unwrap();
    assert_eq!(
        first.decode_key().unwrap(),
        client
            .derive_key_with_subject("a", "s")
            .await
            .unwrap()
            .decode_key()
            .unwrap()
    );
    let names = Some(vec![facts["names"][0].as_str().unwrap().to_owned()]);
    let other = client
        .derive_key_with_subject_and_alt_names("b", None, names)
        .await
        .unwrap();
    assert_ne!(first.decode_key().unwrap(), other.decode_key().unwrap());
    assert_eq!(first.certificate_chain.len(), 3);
    let answer = client.get_quote(vec![9; 64]).await.unwrap();
    let (report, rtmr3) = fields(&answer.decode_quote().unwrap());
    assert_eq!(report, [9; 64]);
    assert_eq!(answer.replay_rtmrs().unwrap()[&3], rtmr3);
    assert_eq!(client.info().await.unwrap().app_id, text(facts, "app_id"));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let path = std::env::args()
        .nth(1)
        .expect("usage: dstack-sdk-tests FACTS.json");
    let facts: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    main_client(&facts, text(&facts, "dstack")).await;
    main_client(&facts, text(&facts, "tappd")).await;
    legacy_client(&facts, text(&facts, "tappd")).await;
    let called = [
        "DstackClient::version",
        "DstackClient::get_key",
        "DstackClient::emit_event",
        "DstackClient::get_quote",
        "DstackClient::attest",
        "DstackClient::info",
        "DstackClient::sign",
        "DstackClient::verify",
        "DstackClient::get_tls_key",
        "TappdClient::derive_key",
        "TappdClient::derive_key_with_subject",
        "TappdClient::derive_key_with_subject_and_alt_names",
        "TappdClient::get_quote",
        "TappdClient::info",
    ];
    println!("{}", json!({ "called": called }));
}
