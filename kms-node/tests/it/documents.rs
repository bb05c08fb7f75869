//! Documents: OpenAPI, meta, env public key, certificates.

use crate::support::{
    KEY_PROVIDER, World, app_boot,
    client::{outcome, requote},
};
use kms_types::{Blob, ReportTag};
use kms_wire::{CertificateRequest, CertificateResponse, EnvPublicKey, Meta};
use sha2::{Digest, Sha256};
use soft_td::finish_boot;

#[test]
fn openapi_document_is_whole() {
    let document = serde_json::to_value(kms_node::openapi()).unwrap();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 16, "{:?}", paths.keys());
    // Every reference leads somewhere.
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200"), "{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(!id.is_empty(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn served_openapi_is_the_same() {
    let world = World::start().await;
    let served: serde_json::Value = world.client().get_json("/openapi.json").await;
    assert_eq!(served, serde_json::to_value(kms_node::openapi()).unwrap());
}

#[tokio::test]
async fn meta_names_identity_chain_and_blocks() {
    let world = World::start().await;
    let meta: Meta = world.client().get_json("/v1/meta").await;
    assert_eq!(meta.epochs, std::slice::from_ref(&world.identity));
    assert_eq!((meta.chain_id.0, meta.head.unwrap().number), (31337, 100));
    assert!(meta.tree_head.is_none() && meta.development);
}

#[tokio::test]
async fn env_public_key_is_signed_by_the_kms() {
    let world = World::start().await;
    let app = app_boot(1, 1).app_id;
    let key: EnvPublicKey = world
        .client()
        .get_json(&format!("/v1/apps/{app}/env-public-key"))
        .await;
    let signer: &[u8; 33] = world.identity.k256_public_key.as_bytes().try_into().unwrap();
    let public: [u8; 32] = key.public_key.as_bytes().try_into().unwrap();
    for (time, signature) in [(Some(key.time), &key.signature), (None, &key.legacy_signature)] {
        let message = kms_keys::env_public_key_message(&app, time, &public);
        kms_keys::verify_prehash(signer, &message, signature.as_bytes()).unwrap();
    }
}

/// A P-256 key in the shape that rcgen asks for.
struct Key(p256::ecdsa::SigningKey, Vec<u8>);

impl Key {
    fn new() -> Self {
        let key = p256::ecdsa::SigningKey::from_slice(&[0x42; 32]).unwrap();
        let point = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self(key, point)
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        use p256::ecdsa::signature::Signer;
        let signature: p256::ecdsa::DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

fn request(names: &[String]) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(|name| rcgen::SanType::DnsName(name.as_str().try_into().unwrap()))
        .collect();
    params.serialize_request(&Key::new()).unwrap().der().to_vec()
}

#[tokio::test]
async fn certificates_are_for_the_key_in_the_quote_and_names_of_the_app() {
    let world = World::start().await;
    let client = world.client();
    let boot = app_boot(1, 1);
    let td = world.td(&boot);
    finish_boot(&td, KEY_PROVIDER).unwrap();
    let domain = kms_keys::app_domain(&boot.app_id);
    for (names, bound, works) in [
        (vec![domain.clone()], true, true),
        (vec![], true, true),
        (vec!["example.com".to_owned()], true, false),
        (vec![domain.clone()], false, false),
    ] {
        let csr = request(&names);
        let mut asking = client
            .evidence(&world, &td, boot.instance_seed, ReportTag::RaTls)
            .await;
        let hash = if bound {
            Sha256::digest(&csr).to_vec()
        } else {
            Sha256::digest(b"another").to_vec()
        };
        asking.evidence.hpke_public_key = Blob::new(hash).unwrap();
        requote(&mut asking.evidence, &world.identity, &td, ReportTag::RaTls);
        let body = CertificateRequest {
            evidence: asking.evidence,
            csr: Blob::new(csr).unwrap(),
            not_before: None,
            not_after: None,
        };
        let answer = outcome::<CertificateResponse>(client.post("/v1/certificates", &body).await).await;
        assert_eq!(answer.is_ok(), works, "{names:?} {bound}: {answer:?}");
        if let Ok(answer) = answer {
            assert_eq!(answer.chain.len(), 3);
            assert_eq!(answer.chain[2], world.identity.ca_certificate);
        }
    }
}
