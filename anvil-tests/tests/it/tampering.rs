//! Requests bent in one place: each is refused with the code and the number of the check that refused it.

use crate::scene::{Draft, Scene, failed_check, refused};
use kms_keys::OpeningKey;
use kms_types::{Blob, EventLogEntry, InstanceSeed, ReportTag, TdConfigId};
use kms_wire::{ChallengeResponse, Evidence, Problem, ProblemCode};
use std::time::{Duration, Instant};
use td_quote::Td;

/// A whole and right request, bent by `bend` before it is sent.
async fn bent(scene: &Scene, bend: impl FnOnce(&mut Evidence)) -> Problem {
    let challenge = scene.challenge().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    let mut draft = scene.draft(&scene.spec(), &td, &challenge);
    bend(&mut draft.evidence);
    refused(scene.send(draft).await)
}

fn flip<const MAX: usize>(blob: &Blob<MAX>, at: usize) -> Blob<MAX> {
    let mut bytes = blob.as_bytes().to_vec();
    bytes[at] ^= 1;
    Blob::new(bytes).unwrap()
}

fn check(problem: &Problem) -> (ProblemCode, &str) {
    (problem.code, problem.check.as_deref().unwrap_or("none"))
}

#[tokio::test]
async fn a_request_bent_in_one_place() {
    let scene = Scene::new().await;
    let failed = ProblemCode::AttestationFailed;

    // Offset of RTMR0 in a v4 quote: signed, so the signature fails first.
    let problem = bent(&scene, |e| e.quote = flip(&e.quote, 376)).await;
    assert_eq!(check(&problem), (failed, "Q1"), "quote: {problem:?}");

    let problem = bent(&scene, |e| {
        e.hpke_public_key =
            Blob::new(OpeningKey::generate(&mut rand::rng()).unwrap().public().to_vec()).unwrap()
    })
    .await;
    assert_eq!(check(&problem), (failed, "Q7"), "HPKE key: {problem:?}");

    let problem = bent(&scene, |e| e.vm_config.push(' ')).await;
    assert_eq!(check(&problem), (failed, "Q7"), "VM configuration: {problem:?}");

    let problem = bent(&scene, |e| e.image_proof = flip(&e.image_proof, 20)).await;
    assert_eq!(check(&problem), (failed, "Q7"), "image proof: {problem:?}");

    let problem = bent(&scene, |e| {
        e.event_log[1] = EventLogEntry::runtime("app-id", &[7; 20]).unwrap()
    })
    .await;
    assert_eq!(check(&problem), (failed, "B1"), "event log: {problem:?}");

    let problem = bent(&scene, |e| e.event_log.swap(1, 2)).await;
    assert_eq!(check(&problem), (failed, "B1"), "event order: {problem:?}");

    let problem = bent(&scene, |e| e.instance_seed = Some(InstanceSeed::new([1; 20]))).await;
    assert_eq!(check(&problem), (failed, "B6"), "instance seed: {problem:?}");

    let problem = bent(&scene, |e| {
        e.quote = Blob::new([e.quote.as_bytes(), &[1]].concat()).unwrap()
    })
    .await;
    assert_eq!(check(&problem), (failed, "Q8"), "trailing byte: {problem:?}");

    // What was not bent is released, so that nothing above was refused for another reason.
    scene.granted().await;
}

#[tokio::test]
async fn b3_a_proof_of_another_image_names_that_image_or_nothing() {
    let scene = Scene::new().await;
    let other = soft_td::SimImage::new("another image").unwrap();
    let challenge = scene.challenge().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    let mut draft = scene.draft(&scene.spec(), &td, &challenge);
    let stolen = other
        .catalogue()
        .proof(&other.measurement(&scene.spec().shape).unwrap())
        .unwrap();
    draft.evidence.image_proof = Blob::new(stolen).unwrap();
    // The quote is made over the stolen proof, so that only the Merkle root can tell.
    let report_data =
        kms_wire::evidence_report_data(ReportTag::Release, &challenge.kms_identity, &draft.evidence);
    draft.evidence.quote = Blob::new(td.quote(&report_data).unwrap()).unwrap();
    draft.report_data = report_data;
    let problem = refused(scene.send(draft).await);
    assert_eq!(problem.code, ProblemCode::Denied, "{problem:?}");
    assert!(problem.reason.unwrap().starts_with("os_image_not_allowed: "));
}

#[tokio::test]
async fn b4_a_td_bound_to_another_document_or_to_none() {
    let scene = Scene::new().await;
    for id in [TdConfigId::ZERO, TdConfigId::new([1; 48])] {
        let td = scene
            .network
            .launch_with(&scene.spec(), |config| config.mr_config_id = id)
            .unwrap();
        assert_eq!(
            failed_check(scene.keys_of(&scene.spec(), &td).await),
            "B4",
            "{id}"
        );
    }
}

#[tokio::test]
async fn b5_a_td_that_runs_its_app_already() {
    let scene = Scene::new().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    soft_td::finish_boot(&*td, br#"{"name":"kms","id":""}"#).unwrap();
    assert_eq!(failed_check(scene.keys_of(&scene.spec(), &td).await), "B5");
}

#[tokio::test]
async fn q4_a_debug_td() {
    let scene = Scene::new().await;
    let td = scene
        .network
        .launch_with(&scene.spec(), |config| {
            config.attributes |= soft_td::ATTRIBUTE_DEBUG
        })
        .unwrap();
    assert_eq!(failed_check(scene.keys_of(&scene.spec(), &td).await), "Q4");
}

#[tokio::test]
async fn q7_evidence_made_for_a_lease_or_for_another_kms() {
    let scene = Scene::new().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    let challenge = scene.challenge().await;
    let draft = scene.draft_for(ReportTag::Lease, &scene.spec(), &td, &challenge);
    assert_eq!(failed_check(scene.send(draft).await), "Q7");

    let challenge = ChallengeResponse {
        kms_identity: kms_types::KmsIdentity::new([3; 32]),
        ..scene.challenge().await
    };
    let draft = scene.draft(&scene.spec(), &td, &challenge);
    assert_eq!(failed_check(scene.send(draft).await), "Q7");
}

fn again(draft: &Draft) -> Draft {
    let key = OpeningKey::generate(&mut rand::rng()).unwrap();
    Draft {
        evidence: draft.evidence.clone(),
        report_data: draft.report_data,
        key,
    }
}

#[tokio::test]
async fn q7_a_challenge_is_good_once_and_at_its_own_node() {
    let scene = Scene::new().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    let challenge = scene.challenge().await;
    let draft = scene.draft(&scene.spec(), &td, &challenge);
    let replay = again(&draft);
    assert!(scene.send(draft).await.is_ok(), "the first use");
    let problem = refused(scene.send(replay).await);
    assert_eq!(problem.code, ProblemCode::StaleChallenge, "{problem:?}");

    // A fresh quote over the used challenge is a replay too.
    let problem = refused(scene.send(scene.draft(&scene.spec(), &td, &challenge)).await);
    assert_eq!(problem.code, ProblemCode::StaleChallenge, "{problem:?}");

    let invented = ChallengeResponse {
        challenge: flip(&challenge.challenge, 40),
        ..challenge
    };
    let problem = refused(scene.send(scene.draft(&scene.spec(), &td, &invented)).await);
    assert_eq!(problem.code, ProblemCode::StaleChallenge, "{problem:?}");
}

#[tokio::test]
async fn q7_a_challenge_expires() {
    let scene = Scene::new().await;
    let td = scene.network.launch(&scene.spec()).unwrap();
    let challenge = scene.challenge().await;
    let draft = scene.draft(&scene.spec(), &td, &challenge);
    let start = Instant::now();
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    while now() <= challenge.expires_at.0 {
        assert!(
            start.elapsed() < Duration::from_secs(90),
            "a challenge lives a minute"
        );
        // The head must stay young, or the node refuses for another reason.
        scene.network.mine(1).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    scene.seen().await;
    let problem = refused(scene.send(draft).await);
    assert_eq!(problem.code, ProblemCode::StaleChallenge, "{problem:?}");
}
