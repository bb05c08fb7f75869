//! What is released, to whom, and what is not.

use crate::support::{KEY_PROVIDER, World, app_boot, client::requote, script::block};
use authority_bridge::Verdict;
use kms_node::log::LogReader;
use kms_types::{Blob, InstanceSeed, KeyEpoch, ReportTag};
use kms_wire::{LeaseClaims, LogEntries, ProblemCode, ReleaseKind};
use soft_td::finish_boot;

const SEED: Option<InstanceSeed> = Some(InstanceSeed::new([1; 20]));

fn denied(reason: &str) -> Verdict {
    Verdict::Denied {
        reason: reason.to_owned(),
    }
}

#[tokio::test]
async fn the_same_instance_gets_the_same_keys_and_others_get_others() {
    let world = World::start().await;
    let client = world.client();
    let mut keys = Vec::new();
    for (app, instance) in [(1, 1), (1, 1), (1, 2), (2, 1)] {
        let boot = app_boot(app, instance);
        let td = world.td(&boot);
        let asking = client
            .evidence(&world, &td, boot.instance_seed, ReportTag::Release)
            .await;
        let answer = client.app_keys(&asking.evidence).await.unwrap();
        assert_eq!(answer.decision.head.number, 100);
        assert_eq!(answer.log.entry.kind, ReleaseKind::AppKeys);
        assert_eq!(answer.log.entry.block.number, 100);
        keys.push(client.open(&asking, &answer));
    }
    let disk: Vec<_> = keys.iter().map(|keys| *keys.disk_key.expose()).collect();
    let app: Vec<_> = keys.iter().map(|keys| *keys.app_key.expose()).collect();
    assert!(disk[0] == disk[1] && disk[0] != disk[2] && disk[0] != disk[3]);
    assert!(app[0] == app[2] && app[0] != app[3]);
    assert_eq!(keys[0].gateway_app_id.as_bytes(), &[0xaa; 20]);
}

#[tokio::test]
async fn q7_replayed_foreign_and_tampered_evidence_is_refused() {
    let world = World::start().await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    let asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
    client.app_keys(&asking.evidence).await.unwrap();
    let replayed = client.app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(replayed.code, ProblemCode::StaleChallenge);

    let other = World::start().await;
    let problem = other.client().app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(
        problem.code,
        ProblemCode::StaleChallenge,
        "a challenge is of one node"
    );

    let mut foreign = asking.evidence.clone();
    foreign.challenge = client.challenge().await.challenge;
    requote(&mut foreign, &other.identity, &td, ReportTag::Release);
    let problem = client.app_keys(&foreign).await.unwrap_err();
    assert_eq!(
        (problem.code, problem.check.as_deref()),
        (ProblemCode::AttestationFailed, Some("Q7"))
    );

    for (name, tamper) in [
        (
            "hpke key",
            (|e| e.hpke_public_key = Blob::new(vec![9; 32]).unwrap()) as fn(&mut kms_wire::Evidence),
        ),
        ("vm config", |e| e.vm_config.push(' ')),
        ("image proof", |e| {
            let mut proof = e.image_proof.as_bytes().to_vec();
            *proof.last_mut().unwrap() ^= 1;
            e.image_proof = Blob::new(proof).unwrap();
        }),
    ] {
        let mut asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
        tamper(&mut asking.evidence);
        let problem = client.app_keys(&asking.evidence).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::AttestationFailed, "{name}");
        assert_eq!(problem.check.as_deref(), Some("Q7"), "{name}");
    }
    let lease = client.evidence(&world, &td, SEED, ReportTag::Lease).await;
    let problem = client.app_keys(&lease.evidence).await.unwrap_err();
    assert_eq!(
        problem.check.as_deref(),
        Some("Q7"),
        "evidence for a lease opens no keys"
    );
}

#[tokio::test]
async fn q7_expired_challenge_is_refused() {
    let world = World::start().await;
    let client = world.client();
    let asking = client
        .evidence(&world, &world.td(&app_boot(1, 1)), SEED, ReportTag::Release)
        .await;
    world.clock.0.store(61, std::sync::atomic::Ordering::Relaxed);
    let problem = client.app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::StaleChallenge);
    assert!(problem.detail.contains("expected before"), "{}", problem.detail);
}

#[tokio::test]
async fn k1_only_the_key_in_the_quote_opens_the_answer() {
    let world = World::start().await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    let asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
    let answer = client.app_keys(&asking.evidence).await.unwrap();
    let other = client.evidence(&world, &td, SEED, ReportTag::Release).await;
    let info = kms_wire::ReleaseTranscript::info(&kms_wire::evidence_report_data(
        asking.tag,
        &world.kms_identity(),
        &asking.evidence,
    ));
    let enc = answer.enc.as_bytes().try_into().unwrap();
    let open =
        |key: &kms_keys::OpeningKey, aad: &[u8]| key.open(enc, &info, aad, answer.ciphertext.as_bytes());
    let aad = answer.decision.to_bytes();
    assert!(open(&asking.opening, &aad).is_ok());
    assert!(open(&other.opening, &aad).is_err());
    let mut elsewhere = answer.decision.clone();
    elsewhere.head = block(99);
    assert!(
        open(&asking.opening, &elsewhere.to_bytes()).is_err(),
        "the decision is bound to the seal"
    );
    let text = serde_json::to_string(&answer).unwrap();
    let keys = client.open(&asking, &answer);
    for secret in [
        keys.env_key.expose().as_slice(),
        keys.app_key.expose(),
        keys.disk_key.expose(),
    ] {
        assert!(!text.contains(&hex::encode(secret)));
    }
}

#[tokio::test]
async fn a_denial_names_reason_and_block() {
    let world = World::start().await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    world
        .script
        .set(|state| state.app = denied("compose hash not allowed"));
    let asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
    let problem = client.app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Denied);
    assert_eq!(problem.reason.as_deref(), Some("compose hash not allowed"));
    assert_eq!(problem.block.unwrap().number, 101);
    assert_eq!(world.script.last_record().info.app_id.as_bytes(), &[1; 20]);
    let log: LogEntries = client.get_json("/v1/log/entries").await;
    assert_eq!(log.entries, [], "what is denied is no release");
}

#[tokio::test]
async fn c4_revocation_seen_while_the_log_is_written_wins() {
    let world = World::start().await;
    let client = world.client();
    world
        .script
        .set(|state| state.then = Some((1, denied("revoked"))));
    let asking = client
        .evidence(&world, &world.td(&app_boot(1, 1)), SEED, ReportTag::Release)
        .await;
    let problem = client.app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Denied);
    assert_eq!(problem.reason.as_deref(), Some("revoked"));
    assert_eq!(problem.block.unwrap().number, 102);
}

#[tokio::test]
async fn k5_epoch_below_the_minimum_is_refused() {
    let world = World::start().await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    let epochs = |epoch| {
        world.script.set(|state| {
            state.network.key_epoch = Some(KeyEpoch(epoch));
            state.network.min_key_epoch = KeyEpoch(epoch);
        });
    };
    epochs(2);
    let challenge = client
        .http
        .post(format!("{}/v1/challenges", client.base))
        .send()
        .await
        .unwrap();
    assert_eq!(challenge.status(), 404, "the current epoch's root is not here");
    epochs(1);
    world.until_ready().await;
    let mut asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
    epochs(2);
    asking.evidence.key_epoch = Some(KeyEpoch(1));
    // A node without the current root does not stand either; whichever is seen first refuses.
    let problem = client.app_keys(&asking.evidence).await.unwrap_err();
    assert!(
        matches!(problem.code, ProblemCode::Denied | ProblemCode::NodeNotAllowed),
        "{problem:?}"
    );
}

#[tokio::test]
async fn k7_every_release_is_in_the_log_with_a_proof() {
    let world = World::start().await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    for expected in 0..5_u64 {
        let asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
        let answer = client.app_keys(&asking.evidence).await.unwrap();
        assert_eq!(answer.log.index, expected);
        let head = &answer.log.tree_head;
        let proof: kms_wire::InclusionProof = client
            .get_json(&format!(
                "/v1/log/inclusion?index={expected}&tree_size={}",
                head.size
            ))
            .await;
        crate::log::check_inclusion(&answer.log.entry, &proof, head);
        crate::log::check_signature(head, &world.identity);
    }
    let page: LogEntries = client.get_json("/v1/log/entries?start=3&count=1").await;
    assert_eq!(
        (page.entries.len(), page.entries[0].index, page.next),
        (1, 3, Some(4))
    );
    let other = format!("/v1/log/entries?app_id=0x{}", "02".repeat(20));
    assert_eq!(client.get_json::<LogEntries>(&other).await.entries, []);
}

#[tokio::test]
async fn k7_nothing_is_released_when_the_log_takes_no_entry() {
    let world = World::start().await;
    let client = world.client();
    let asking = client
        .evidence(&world, &world.td(&app_boot(1, 1)), SEED, ReportTag::Release)
        .await;
    let store = world.store().await;
    // A full disk as the database shows it: the insert fails.
    sqlx::query::<sqlx::Any>(
        "CREATE TRIGGER full BEFORE INSERT ON log_entries BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let problem = client.app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::LogUnavailable);
    assert!(
        !problem.detail.contains("database or disk is full"),
        "{}",
        problem.detail
    );
    sqlx::query::<sqlx::Any>("DROP TRIGGER full")
        .execute(store.pool())
        .await
        .unwrap();
    let asking = client
        .evidence(&world, &world.td(&app_boot(1, 1)), SEED, ReportTag::Release)
        .await;
    assert_eq!(client.app_keys(&asking.evidence).await.unwrap().log.index, 0);
}

#[tokio::test]
async fn leases_are_signed_tokens_for_running_instances_alone() {
    let world = World::start().await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    let early = client.evidence(&world, &td, SEED, ReportTag::Lease).await;
    let problem = client.lease(&early.evidence).await.unwrap_err();
    assert_eq!(problem.check.as_deref(), Some("B5"));
    finish_boot(&td, KEY_PROVIDER).unwrap();
    let asking = client.evidence(&world, &td, SEED, ReportTag::Lease).await;
    let answer = client.lease(&asking.evidence).await.unwrap();
    let signer: &[u8; 33] = world.identity.k256_public_key.as_bytes().try_into().unwrap();
    let payload = kms_keys::verify_jws_es256k(&answer.lease, signer).unwrap();
    let claims: LeaseClaims = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims.exp.0 - claims.nbf.0, 300);
    assert_eq!(claims.cnf, asking.evidence.hpke_public_key);
    assert_eq!(claims.sub.as_bytes(), &[1; 20]);
    assert_eq!(answer.log.entry.kind, ReleaseKind::Lease);
    let late = client.evidence(&world, &td, SEED, ReportTag::Release).await;
    let problem = client.app_keys(&late.evidence).await.unwrap_err();
    assert_eq!(
        problem.check.as_deref(),
        Some("B5"),
        "no keys once the system runs"
    );
}

#[tokio::test]
async fn k6_device_above_its_rate_is_refused() {
    let world = World::with("[limits]\ndevice_per_s = 1\ndevice_burst = 2").await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    let mut codes = Vec::new();
    for _ in 0..3 {
        let asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
        codes.push(
            client
                .app_keys(&asking.evidence)
                .await
                .err()
                .map(|problem| problem.code),
        );
    }
    assert_eq!(codes, [None, None, Some(ProblemCode::RateLimited)]);
}

#[tokio::test]
async fn one_thousand_parallel_requests_are_all_answered_and_logged() {
    let world = World::with("[server]\nmax_in_flight = 2000").await;
    let client = world.client();
    let td = std::sync::Arc::new(world.td(&app_boot(1, 1)));
    let proof = world.image_proof();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let (client, td, proof) = (client.clone(), std::sync::Arc::clone(&td), proof.clone());
            tokio::spawn(async move {
                let challenge = client.challenge().await;
                let asking = client.evidence_over(challenge, proof, &*td, SEED, ReportTag::Release);
                client.app_keys(&asking.evidence).await.unwrap().log.index
            })
        })
        .collect();
    let mut indices = Vec::new();
    for task in tasks {
        indices.push(task.await.unwrap());
    }
    indices.sort_unstable();
    assert_eq!(indices, (0..1000).collect::<Vec<u64>>());
    let head = LogReader::new(&world.store().await)
        .head()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.size, 1000);
}

#[tokio::test]
async fn k6_what_the_contract_refuses_uses_up_no_apps_share() {
    let world = World::with("[limits]\napp_per_s = 1\napp_burst = 1").await;
    let client = world.client();
    let td = world.td(&app_boot(1, 1));
    world.script.set(|state| state.app = denied("app not registered"));
    for _ in 0..3 {
        let asking = client.evidence(&world, &td, SEED, ReportTag::Release).await;
        let problem = client.app_keys(&asking.evidence).await.unwrap_err();
        assert_ne!(problem.code, ProblemCode::RateLimited, "{problem:?}");
    }
    world.script.set(|state| state.app = Verdict::Allowed);
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(client.evidence(&world, &td, SEED, ReportTag::Release).await);
    }
    let (first, second) = tokio::join!(
        client.app_keys(&asked[0].evidence),
        client.app_keys(&asked[1].evidence)
    );
    let refused = [first, second].into_iter().filter_map(Result::err);
    let codes: Vec<_> = refused.map(|problem| problem.code).collect();
    assert_eq!(codes, [ProblemCode::RateLimited]);
}
