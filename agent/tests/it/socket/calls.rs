//! What each method answers, judged by other code than the one that answers.

use super::support::{
    APP, Boot, COMPOSE, Instance, KEY_PROVIDER, Mode, VM_CONFIG, exchange, get, instance_id, now, post,
};
use attestation::describe;
use kms_keys::{app_key_message, path_key_message, recover_prehash, verify_app_key};
use kms_types::{EventLogEntry, Rtmr};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384};
use td_quote::Td;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// Follows a chain to the KMS: whoever signed the key must be whom the KMS signed.
fn check_chain(instance: &Instance, chain: &[Value], purpose: &str, public: &[u8]) {
    let app = recover_prehash(&path_key_message(purpose, public), &bytes(&chain[0])).unwrap();
    let kms = instance.epoch.identity().k256_public_key;
    verify_app_key(&kms, &APP, &app, &bytes(&chain[1])).unwrap();
    assert_eq!(
        recover_prehash(&app_key_message(&APP, &app), &bytes(&chain[1])).unwrap(),
        kms
    );
}

/// RTMR3 as a client replays it: from the digests of the answer, without our types.
fn replay(log: &Value) -> String {
    let events: Vec<Value> = serde_json::from_str(log.as_str().unwrap()).unwrap();
    let mut register = [0_u8; 48];
    for event in events.iter().filter(|event| event["imr"] == 3) {
        register = Sha384::new()
            .chain_update(register)
            .chain_update(bytes(&event["digest"]))
            .finalize()
            .into();
    }
    hex::encode(register)
}

#[tokio::test]
async fn get_key_is_stable_and_its_chain_leads_to_the_kms() {
    let instance = Instance::start().await;
    for algorithm in ["secp256k1", "k256", "", "ed25519"] {
        let body = json!({ "path": "wallet/1", "purpose": "ethereum", "algorithm": algorithm });
        let first = instance.call("GetKey", body.clone()).await;
        assert_eq!(first, instance.call("GetKey", body).await);
        let secret = bytes(&first["key"]);
        let public = match algorithm {
            "ed25519" => {
                let key = ed25519_dalek::SigningKey::from_bytes(secret.as_slice().try_into().unwrap());
                key.verifying_key().to_bytes().to_vec()
            }
            _ => k256::SecretKey::from_slice(&secret)
                .unwrap()
                .public_key()
                .to_sec1_bytes()
                .to_vec(),
        };
        check_chain(
            &instance,
            first["signature_chain"].as_array().unwrap(),
            "ethereum",
            &public,
        );
    }
}

#[tokio::test]
async fn paths_and_algorithms_share_no_bytes_and_purposes_no_signature() {
    let instance = Instance::start().await;
    let key = |path: &'static str, purpose: &'static str, algorithm: &'static str| {
        instance.call(
            "GetKey",
            json!({ "path": path, "purpose": purpose, "algorithm": algorithm }),
        )
    };
    let plain = key("a", "", "secp256k1").await;
    assert_ne!(plain["key"], key("b", "", "secp256k1").await["key"]);
    assert_ne!(plain["key"], key("a", "", "ed25519").await["key"]);
    let other = key("a", "other", "secp256k1").await;
    assert_eq!(plain["key"], other["key"]);
    assert_ne!(plain["signature_chain"][0], other["signature_chain"][0]);
    assert_eq!(plain["signature_chain"][1], other["signature_chain"][1]);
}

#[tokio::test]
async fn without_a_kms_the_second_signature_is_empty_and_certificates_cannot_be_asked_for() {
    let instance = Instance::with(Boot::Ready, Mode::None).await;
    let key = instance.call("GetKey", json!({ "path": "a" })).await;
    assert_eq!(key["signature_chain"][1], "");
    assert_eq!(bytes(&key["signature_chain"][0]).len(), 65);
    let signed = instance
        .call("Sign", json!({ "algorithm": "ed25519", "data": "00" }))
        .await;
    assert_eq!(signed["signature_chain"][2], "");
    let error = instance.refused("GetTlsKey", json!({}), 403, "denied").await;
    assert!(error.contains("key_provider"), "{error}");
}

#[tokio::test]
async fn a_quote_carries_the_padded_report_data_and_its_log_replays_to_rtmr3() {
    let instance = Instance::start().await;
    for data in ["", "01", "0xdeadbeef", &"ab".repeat(64)] {
        let answer = instance.call("GetQuote", json!({ "report_data": data })).await;
        let quote = describe(&bytes(&answer["quote"])).unwrap();
        let digits = data.trim_start_matches("0x");
        assert_eq!(quote.report_data.to_plain_hex(), format!("{digits:0<128}"));
        assert_eq!(answer["report_data"], quote.report_data.to_plain_hex());
        assert_eq!(replay(&answer["event_log"]), quote.rtmr3.to_plain_hex());
        assert_eq!(quote.rtmr3, instance.td.rtmr3());
        assert_eq!(answer["vm_config"], VM_CONFIG);
    }
    instance
        .refused(
            "GetQuote",
            json!({ "report_data": "00".repeat(65) }),
            400,
            "malformed",
        )
        .await;
}

#[tokio::test]
async fn an_attestation_holds_all_that_a_verifier_needs() {
    let instance = Instance::start().await;
    let answer = instance.call("Attest", json!({ "report_data": "c0ffee" })).await;
    let document: Value = serde_json::from_slice(&bytes(&answer["attestation"])).unwrap();
    assert_eq!(document["format"], "kedge/attestation/v1");
    let hex_of = |name: &str| hex::decode(document[name].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let quote = describe(&hex_of("quote")).unwrap();
    assert_eq!(&quote.report_data.as_ref()[..3], &[0xc0, 0xff, 0xee]);
    let log: Vec<EventLogEntry> = serde_json::from_value(document["event_log"].clone()).unwrap();
    let replayed = log
        .iter()
        .fold(Rtmr::ZERO, |register, entry| entry.extend(&register));
    assert_eq!(replayed, quote.rtmr3);
    assert_eq!(hex_of("image_proof"), vec![7; 16]);
}

#[tokio::test]
async fn info_says_what_the_quote_says() {
    let instance = Instance::start().await;
    let info = instance.call("Info", json!({})).await;
    let answer = instance.call("GetQuote", json!({ "report_data": "00" })).await;
    let quote = describe(&bytes(&answer["quote"])).unwrap();
    assert_eq!(info["app_id"], APP.to_plain_hex());
    assert_eq!(info["instance_id"], instance_id().to_plain_hex());
    assert_eq!(info["app_name"], "demo");
    assert_eq!(info["key_provider_info"], KEY_PROVIDER);
    assert_eq!(info["compose_hash"], hex::encode(Sha256::digest(COMPOSE)));
    assert_eq!(info["device_id"], quote.device_id.to_plain_hex());
    assert_eq!(info["app_cert"], "");
    let tcb: Value = serde_json::from_str(info["tcb_info"].as_str().unwrap()).unwrap();
    assert_eq!(tcb["mrtd"], quote.os.mrtd.to_plain_hex());
    assert_eq!(tcb["rtmr0"], quote.os.rtmr0.to_plain_hex());
    assert_eq!(tcb["rtmr3"], quote.rtmr3.to_plain_hex());
    assert_eq!(tcb["app_compose"], COMPOSE);
    assert_eq!(tcb["mr_aggregated"], info["mr_aggregated"]);
    assert_eq!(
        tcb["event_log"].as_array().unwrap().len(),
        instance.td.event_log().unwrap().len()
    );
    instance.state.set_app_certificate("chain".to_owned());
    assert_eq!(instance.call("Info", json!({})).await["app_cert"], "chain");
}

#[tokio::test]
async fn signatures_verify_and_lead_to_the_kms() {
    let instance = Instance::start().await;
    let hash = hex::encode(Sha256::digest(b"message"));
    for (algorithm, data) in [
        ("ed25519", hex::encode("message")),
        ("secp256k1", hex::encode("message")),
        ("k256", hex::encode("message")),
        ("secp256k1_prehashed", hash),
    ] {
        let signed = instance
            .call("Sign", json!({ "algorithm": algorithm, "data": data }))
            .await;
        let verify = |data: String, signature: Value| json!({ "algorithm": algorithm, "data": data, "signature": signature, "public_key": signed["public_key"] });
        let good = verify(data.clone(), signed["signature"].clone());
        assert_eq!(
            instance.call("Verify", good).await,
            json!({ "valid": true }),
            "{algorithm}"
        );
        let other = verify(hex::encode([7; 32]), signed["signature"].clone());
        assert_eq!(
            instance.call("Verify", other).await,
            json!({ "valid": false }),
            "{algorithm}"
        );
        let chain = signed["signature_chain"].as_array().unwrap();
        assert_eq!(chain[0], signed["signature"]);
        check_chain(&instance, &chain[1..], "signing", &bytes(&signed["public_key"]));
    }
}

#[tokio::test]
async fn an_event_moves_rtmr3_and_the_log_follows() {
    let instance = Instance::start().await;
    let before = instance.td.rtmr3();
    let answer = post(
        &instance.dstack,
        "EmitEvent",
        r#"{"event":"opened","payload":"0102"}"#,
    )
    .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "null"));
    let entry = EventLogEntry::runtime("opened", &[1, 2]).unwrap();
    assert_eq!(instance.td.rtmr3(), entry.extend(&before));
    let quote = instance.call("GetQuote", json!({})).await;
    assert_eq!(replay(&quote["event_log"]), instance.td.rtmr3().to_plain_hex());
    let info = instance.call("Info", json!({})).await;
    let tcb: Value = serde_json::from_str(info["tcb_info"].as_str().unwrap()).unwrap();
    assert_eq!(tcb["rtmr3"], instance.td.rtmr3().to_plain_hex());
}

#[tokio::test]
async fn a_tls_key_is_fresh_and_its_certificate_is_under_the_app_ca() {
    let instance = Instance::start().await;
    let domain = kms_keys::instance_domain(&APP, &instance_id());
    let body = json!({ "subject": "demo", "alt_names": [domain], "usage_server_auth": true,
                       "not_before": now().0 - 60, "not_after": now().0 + 600, "with_app_info": true });
    let first = instance.call("GetTlsKey", body.clone()).await;
    let second = instance.call("GetTlsKey", body).await;
    assert_ne!(first["key"], second["key"]);
    let chain = first["certificate_chain"].as_array().unwrap();
    assert_eq!(chain.len(), 3);
    assert_eq!(
        chain[2].as_str().unwrap(),
        instance.epoch.identity().ca_certificate
    );
    let key = first["key"].as_str().unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{key}");
    let error = instance
        .refused(
            "GetTlsKey",
            json!({ "alt_names": ["example.com"] }),
            400,
            "malformed",
        )
        .await;
    assert!(error.contains("example.com"), "{error}");
    instance
        .refused(
            "GetTlsKey",
            json!({ "not_before": 20, "not_after": 10 }),
            400,
            "malformed",
        )
        .await;
}

#[tokio::test]
async fn a_certificate_with_an_attestation_is_bound_to_its_key() {
    let instance = Instance::start().await;
    let answer = instance
        .call(
            "GetTlsKey",
            json!({ "usage_ra_tls": true, "usage_server_auth": true }),
        )
        .await;
    let pem = answer["certificate_chain"][0].as_str().unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let extension = leaf
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.35")
        .unwrap();
    let (rest, text) = x509_parser::der_parser::der::parse_der_utf8string(extension.value).unwrap();
    assert!(rest.is_empty() && !extension.critical);
    let record: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(record[0], agent::socket::ATTESTATION_MEDIA_TYPE);
    assert_eq!(record[2], 4);
    let document = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        record[1].as_str().unwrap(),
    )
    .unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let quote = hex::decode(document["quote"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let quote = describe(&quote).unwrap();
    let expected = kms_types::ReportData::bind(kms_types::ReportTag::RaTls, &[leaf.public_key().raw]);
    assert_eq!(quote.report_data, expected);
    assert_eq!(quote.rtmr3, instance.td.rtmr3());
    assert!(pem.contents.len() < 40 * 1024, "{}", pem.contents.len());
    // Without being asked for, none.
    let plain = instance.call("GetTlsKey", json!({})).await;
    assert!(plain["certificate_chain"][0].as_str().unwrap().len() < 2048);
    // An app that recorded much has none that fits.
    instance.td.extend("large", &[0; 16 * 1024]).unwrap();
    instance
        .refused("GetTlsKey", json!({ "usage_ra_tls": true }), 413, "too_large")
        .await;
}

#[tokio::test]
async fn legacy_quotes_hash_prefix_and_data() {
    let instance = Instance::start().await;
    let quote = async |body: Value| {
        let answer = post(&instance.tappd, "prpc/Tappd.TdxQuote", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(replay(&answer["event_log"]), instance.td.rtmr3().to_plain_hex());
        let report = describe(&bytes(&answer["quote"]))
            .unwrap()
            .report_data
            .to_plain_hex();
        (answer, report)
    };
    let (answer, report) = quote(json!({ "report_data": hex::encode("data") })).await;
    assert_eq!(
        (&answer["hash_algorithm"], &answer["prefix"]),
        (&json!("sha512"), &json!("app-data"))
    );
    assert_eq!(report, hex::encode(sha2::Sha512::digest(b"app-data:data")));
    let (_, report) = quote(json!({ "report_data": "", "hash_algorithm": "sha256", "prefix": "mine" })).await;
    assert_eq!(report, format!("{:0<128}", hex::encode(Sha256::digest(b"mine:"))));
    // keccak-256("app-data:"), computed with another implementation.
    let (_, report) = quote(json!({ "report_data": "", "hash_algorithm": "keccak256" })).await;
    assert_ne!(
        report,
        quote(json!({ "report_data": "", "hash_algorithm": "sha3-256" }))
            .await
            .1
    );
    let (answer, report) = quote(json!({ "report_data": "aa".repeat(64), "hash_algorithm": "raw" })).await;
    assert_eq!((report, &answer["prefix"]), ("aa".repeat(64), &json!("")));
    for wrong in [
        json!({ "hash_algorithm": "md5" }),
        json!({ "prefix": "a:b" }),
        json!({ "report_data": "aa".repeat(65), "hash_algorithm": "raw" }),
    ] {
        let answer = post(&instance.tappd, "prpc/Tappd.TdxQuote", &wrong.to_string()).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("malformed")),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn legacy_keys_are_the_paths_own() {
    let instance = Instance::start().await;
    let legacy = async |method: &str, body: Value| {
        let answer = post(
            &instance.tappd,
            &format!("prpc/Tappd.{method}"),
            &body.to_string(),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let first = legacy("DeriveKey", json!({ "path": "a", "subject": "a" })).await;
    assert_eq!(
        first["key"],
        legacy("DeriveKey", json!({ "path": "a" })).await["key"]
    );
    assert_ne!(
        first["key"],
        legacy("DeriveKey", json!({ "path": "b" })).await["key"]
    );
    let random = legacy("DeriveKey", json!({ "path": "a", "random_seed": true })).await;
    assert_ne!(first["key"], random["key"]);
    assert_eq!(first["certificate_chain"].as_array().unwrap().len(), 3);
    let k256 = legacy("DeriveK256Key", json!({ "path": "a" })).await;
    let key = instance.call("GetKey", json!({ "path": "a" })).await;
    assert_eq!(k256["k256_key"], key["key"]);
    assert_eq!(k256["k256_signature_chain"], key["signature_chain"]);
    assert_eq!(
        legacy("Version", json!({})).await,
        instance.call("Version", json!({})).await
    );
    assert_eq!(
        legacy("Info", json!({})).await,
        instance.call("Info", json!({})).await
    );
}

#[tokio::test]
async fn every_spelling_of_a_call_is_one_call() {
    let instance = Instance::start().await;
    let expected = instance
        .call("GetKey", json!({ "path": "a b", "purpose": "p" }))
        .await;
    for method in [
        "DstackGuest.GetKey",
        "prpc/GetKey",
        "prpc/dstack_guest.DstackGuest.GetKey",
    ] {
        assert_eq!(
            instance
                .call(method, json!({ "path": "a b", "purpose": "p" }))
                .await,
            expected
        );
    }
    for target in [
        "/GetKey?path=a+b&purpose=p",
        "/prpc/DstackGuest.GetKey?path=a%20b&purpose=p&json",
    ] {
        let answer = get(&instance.dstack, target).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, expected.clone()),
            "{target}"
        );
    }
    let quoted = get(&instance.dstack, "/GetQuote?report_data=0x1234").await.json();
    assert!(quoted["report_data"].as_str().unwrap().starts_with("1234000"));
    let names = format!(
        "/GetTlsKey?alt_names={}&alt_names={}&usage_server_auth=true",
        kms_keys::app_domain(&APP),
        kms_keys::instance_domain(&APP, &instance_id())
    );
    assert_eq!(get(&instance.dstack, &names).await.status, 200);
    // A body nobody announced as JSON, and none at all.
    let bare = b"POST /GetKey HTTP/1.1\r\nhost: d\r\ncontent-length: 30\r\n\r\n{\"path\":\"a b\",\"purpose\":\"p\"}  ";
    assert_eq!(exchange(&instance.dstack, bare).await.json(), expected);
    let empty = post(&instance.dstack, "GetKey", "").await;
    assert_eq!(empty.json(), instance.call("GetKey", json!({})).await);
    assert_eq!(
        instance.call("GpuInfo", json!({})).await,
        json!({ "attestation": "" })
    );
}

#[tokio::test]
async fn the_description_names_every_method() {
    let instance = Instance::start().await;
    let answer = get(&instance.dstack, "/openapi.json").await;
    let document = answer.json();
    assert_eq!(document["openapi"].as_str().unwrap().get(..3), Some("3.1"));
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths.len(), agent::socket::Method::ALL.len());
    for method in agent::socket::Method::ALL {
        assert!(
            paths.iter().any(|path| path.ends_with(method.as_str())),
            "{} is not described",
            method.as_str()
        );
    }
}
