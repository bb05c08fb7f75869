//! The service under load, abuse and sudden death.

use crate::scene::{Scene, read, unlimited};
use anvil_tests::{NetworkOptions, NodeOptions};
use kms_types::ReportTag;
use kms_wire::{LeaseClaims, LeaseResponse, MAX_BODY, Problem, ProblemCode};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered_with_the_same_keys() {
    let node = unlimited(NodeOptions::default()).set("server", "max_in_flight", 2000);
    let scene = Arc::new(
        Scene::with(NetworkOptions {
            node: Some(node),
            ..NetworkOptions::default()
        })
        .await,
    );
    let td = scene.network.launch(&scene.spec()).unwrap();
    let mut drafts = Vec::new();
    for _ in 0..1000 {
        let challenge = scene.challenge().await;
        drafts.push(scene.draft(&scene.spec(), &td, &challenge));
    }
    let tasks: Vec<_> = drafts
        .into_iter()
        .map(|draft| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move {
                scene
                    .send(draft)
                    .await
                    .map(|r| (r.fingerprints().disk, r.response.log.index))
            })
        })
        .collect();
    let (mut keys, mut indexes) = (BTreeSet::new(), BTreeSet::new());
    for task in tasks {
        let (disk, index) = task.await.unwrap().unwrap();
        keys.insert(disk);
        assert!(indexes.insert(index), "one log entry for each release");
    }
    assert_eq!((keys.len(), indexes.len()), (1, 1000));
}

#[tokio::test]
async fn k7_no_released_key_is_missing_from_the_log_after_kill_9() {
    let mut scene = Scene::new().await;
    let mut cut_short = 0;
    for round in 0..3 {
        let mut drafts = Vec::new();
        let td = scene.network.launch(&scene.spec()).unwrap();
        for _ in 0..64 {
            let challenge = scene.challenge().await;
            drafts.push(scene.draft(&scene.spec(), &td, &challenge));
        }
        let (client, url) = (scene.client.clone(), scene.url("/v1/app-keys"));
        let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for draft in drafts {
            let (client, url, answered) = (client.clone(), url.clone(), answered.clone());
            tokio::spawn(async move {
                let Ok(answer) = client.post(url).json(&draft.evidence).send().await else {
                    return;
                };
                if answer.status() == 200
                    && let Ok(response) = answer.json::<kms_wire::AppKeysResponse>().await
                {
                    let _ = answered.send(response.log);
                }
            });
        }
        drop(answered);
        // Killed in the middle: after the first answers, before the last.
        let mut released = vec![answers.recv().await.expect("one answer at least")];
        let prepared = scene.network.nodes().remove(0).kill().unwrap();
        while let Some(position) = answers.recv().await {
            released.push(position);
        }
        cut_short += usize::from(released.len() < 64);
        let node = prepared.run(&scene.network).await.expect("a clean restart");
        scene.network.nodes().push(node);
        scene.client = scene.network.node().unwrap().client().unwrap();
        for position in &released {
            let path = format!("/v1/log/entries?start={}&count=1", position.index);
            let page: serde_json::Value = scene
                .client
                .get(scene.url(&path))
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let text = page.to_string();
            let entry = serde_json::to_string(&position.entry).unwrap();
            assert!(
                text.contains(&entry),
                "round {round}: {entry} is in the log: {text}"
            );
        }
        scene.seen().await;
        scene.granted().await;
    }
    assert!(
        cut_short > 0,
        "no round was killed in the middle: nothing was shown"
    );
}

#[tokio::test]
async fn bodies_that_are_too_large_or_make_no_sense() {
    let scene = Scene::new().await;
    let post = |body: Vec<u8>| {
        scene
            .client
            .post(scene.url("/v1/app-keys"))
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let problem =
        |answer: reqwest::Response| async { read::<serde_json::Value>(answer).await.expect_err("refused") };

    let cases: Vec<(&str, Vec<u8>, ProblemCode)> = vec![
        ("oversized", vec![b' '; MAX_BODY + 1], ProblemCode::TooLarge),
        ("empty", Vec::new(), ProblemCode::Malformed),
        ("not JSON", b"\xff\xfe".to_vec(), ProblemCode::Malformed),
        (
            "deep",
            [vec![b'['; 100_000], vec![b']'; 100_000]].concat(),
            ProblemCode::Malformed,
        ),
        (
            "another message",
            br#"{"csr":"00"}"#.to_vec(),
            ProblemCode::Malformed,
        ),
    ];
    for (name, body, code) in cases {
        let got = problem(post(body).await.unwrap()).await;
        assert_eq!(got.code, code, "{name}: {got:?}");
    }

    let td = scene.network.launch(&scene.spec()).unwrap();
    let good =
        serde_json::to_value(scene.draft(&scene.spec(), &td, &scene.challenge().await).evidence).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[key] = value;
        serde_json::to_vec(&body).unwrap()
    };
    let long_log: Vec<_> = (0..1100)
        .map(|_| json!({"imr":3,"event_type":0x0800_0001u32,"digest":"","event":"x","event_payload":""}))
        .collect();
    let cases = [
        (
            "quote above 16 KiB",
            with("quote", json!("00".repeat(16 * 1024 + 1))),
        ),
        (
            "event log above 1,024 entries",
            with("event_log", json!(long_log)),
        ),
        (
            "image proof above its bound",
            with("image_proof", json!("00".repeat(2000))),
        ),
        (
            "VM configuration above 64 KiB",
            with("vm_config", json!("x".repeat(64 * 1024 + 1))),
        ),
        ("short HPKE key", with("hpke_public_key", json!("00"))),
        ("unknown field", with("extra", json!(1))),
        (
            "duplicate key",
            [
                br#"{"quote":"00","#.as_slice(),
                &serde_json::to_vec(&good).unwrap()[1..],
            ]
            .concat(),
        ),
    ];
    for (name, body) in cases {
        let got = problem(post(body).await.unwrap()).await;
        assert!(
            matches!(got.code, ProblemCode::Malformed | ProblemCode::AttestationFailed),
            "{name}: {got:?}"
        );
        assert_eq!(got.code, ProblemCode::Malformed, "{name}: {got:?}");
    }
}

#[tokio::test]
async fn k6_one_address_does_not_starve_the_node() {
    let node = NodeOptions::default()
        .set("limits", "peer_per_s", 1)
        .set("limits", "peer_burst", 60);
    let scene = Scene::with(NetworkOptions {
        node: Some(node),
        ..NetworkOptions::on_demand()
    })
    .await;
    let mut limited = None;
    for _ in 0..200 {
        let answer = scene
            .client
            .post(scene.url("/v1/challenges"))
            .send()
            .await
            .unwrap();
        if answer.status() != 200 {
            limited = Some(read::<serde_json::Value>(answer).await.unwrap_err());
            break;
        }
    }
    assert_eq!(limited.expect("a limit").code, ProblemCode::RateLimited);
}

#[tokio::test]
async fn leases_go_to_running_apps_alone_and_end_with_the_allowance() {
    let scene = Scene::new().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    let challenge = scene.challenge().await;
    let early = scene.draft_for(ReportTag::Lease, &scene.spec(), &td, &challenge);
    let problem = scene
        .post::<LeaseResponse>("/v1/leases", &early.evidence)
        .await
        .unwrap_err();
    assert_eq!(
        (problem.code, problem.check.as_deref()),
        (ProblemCode::AttestationFailed, Some("B5"))
    );

    soft_td::finish_boot(&*td, br#"{"name":"kms","id":""}"#).unwrap();
    let challenge = scene.challenge().await;
    let draft = scene.draft_for(ReportTag::Lease, &scene.spec(), &td, &challenge);
    let lease: LeaseResponse = scene.post("/v1/leases", &draft.evidence).await.unwrap();
    let key: [u8; 33] = scene
        .network
        .node()
        .unwrap()
        .identity()
        .k256_public_key
        .as_bytes()
        .try_into()
        .unwrap();
    let payload = kms_keys::verify_jws_es256k(&lease.lease, &key).expect("signed by the KMS");
    let claims: LeaseClaims = serde_json::from_slice(&payload).unwrap();
    assert_eq!((claims.sub, claims.exp), (scene.app, lease.expires_at));
    assert_eq!(claims.cnf.as_bytes(), draft.evidence.hpke_public_key.as_bytes());

    let hash = crate::scene::b256(kms_types::ComposeHash::of(crate::scene::COMPOSE).to_bytes());
    scene
        .manage(authority_contracts::abi::AppAuthority::removeComposeHashCall { composeHash: hash })
        .await;
    scene.seen().await;
    let challenge = scene.challenge().await;
    let draft = scene.draft_for(ReportTag::Lease, &scene.spec(), &td, &challenge);
    let problem: Problem = scene
        .post::<LeaseResponse>("/v1/leases", &draft.evidence)
        .await
        .unwrap_err();
    assert_eq!(
        problem.reason,
        Some(format!("compose_hash_not_allowed: {hash:#x}"))
    );
}

#[tokio::test]
async fn k2_a_node_whose_own_allowance_ends_stops_releasing() {
    let scene = Scene::new().await;
    scene.granted().await;
    let kms = scene.network.description().kms_app_id;
    let hash = crate::scene::b256(kms_types::ComposeHash::of(anvil_tests::KMS_COMPOSE).to_bytes());
    let call = authority_contracts::abi::AppAuthority::removeComposeHashCall { composeHash: hash };
    scene
        .network
        .manage(anvil_tests::Account::NetworkOwner, kms, &call)
        .await
        .unwrap();
    scene.seen().await;
    let problem = crate::scene::refused(scene.request(&scene.spec()).await);
    assert_eq!(problem.code, ProblemCode::NodeNotAllowed, "{problem:?}");
    let ready = scene.client.get(scene.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
}
