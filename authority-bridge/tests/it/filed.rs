//! What proves a decision over real Anvil: it holds with a header hash alone, every change of it is refused, and the recorder
//! files each decision once for each pair of blocks.

use crate::fixture::{COMPOSE, Net};
use authority_bridge::{
    Bridge, ChainStore, Facts, Recorder, RecorderConfig, Subject,
    store::{Database, Retention, StoredDecision, migrations},
};
use authority_policy::{Anchor, DecisionEvidence, Expected, Mismatch};
use kms_types::ChainId;
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

async fn proven(net: &Net, bridge: &Bridge, facts: &Facts) -> DecisionEvidence {
    net.caught_up(bridge).await;
    let decided = bridge.ask(Subject::App, facts).await.unwrap();
    let evidence = bridge.evidence(Subject::App, facts, &decided).await.unwrap();
    assert_eq!(evidence.verdict, decided.verdict);
    let file = evidence.to_json().unwrap();
    let read = DecisionEvidence::from_json(&file).unwrap();
    assert_eq!(read, evidence);
    let expected = Expected {
        headers: vec![decided.head.hash.to_bytes().into()],
        chain_id: Some(ChainId(31337)),
        contract: Some(net.network.kms_authority),
        ..Expected::default()
    };
    let verified = read.check(&expected).outcome.unwrap();
    assert_eq!(
        (verified.anchor, verified.decided_by),
        (Anchor::Head, decided.decided_by)
    );
    assert_eq!(
        (verified.head, verified.finalized),
        (decided.head, decided.finalized)
    );
    evidence
}

#[tokio::test]
async fn c4_decisions_of_both_versions_hold_offline_and_no_change_does() {
    let net = Net::settled().await;
    let bridge = net.bridge().await;
    let both = [Facts::Record(net.record()), Facts::Info(net.record().info)];
    for facts in &both {
        let allowed = proven(&net, &bridge, facts).await;
        assert!(allowed.verdict == authority_bridge::Verdict::Allowed && allowed.links.len() == 1);
        every_part_is_needed(&allowed);
    }
    net.revoke_compose(COMPOSE).await;
    for facts in &both {
        let denied = proven(&net, &bridge, facts).await;
        assert_ne!(denied.verdict, authority_bridge::Verdict::Allowed);
        every_part_is_needed(&denied);
    }
    bridge.shutdown().await;
}

fn every_part_is_needed(evidence: &DecisionEvidence) {
    let refused = |change: &dyn Fn(&mut DecisionEvidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        changed.check(&Expected::default()).outcome.unwrap_err()
    };
    for index in 0..evidence.witness.nodes.len() {
        let mismatch = refused(&|changed| drop(changed.witness.nodes.remove(index)));
        assert!(
            matches!(mismatch, Mismatch::NotProven { .. }),
            "node {index}: {mismatch}"
        );
    }
    for index in 0..evidence.witness.codes.len() {
        let mismatch = refused(&|changed| drop(changed.witness.codes.remove(index)));
        assert!(
            matches!(mismatch, Mismatch::NotProven { .. }),
            "code {index}: {mismatch}"
        );
    }
    let mismatch = refused(&|changed| std::mem::swap(&mut changed.head, &mut changed.finalized));
    assert!(matches!(mismatch, Mismatch::Link { .. }), "{mismatch}");
    let mismatch = refused(&|changed| changed.links[0].state_root.0[7] ^= 1);
    assert!(matches!(mismatch, Mismatch::Link { .. }), "{mismatch}");
}

async fn store(folder: &Path, net: &Net) -> ChainStore {
    let url = format!("sqlite:{}?mode=rwc", folder.join("chain.db").display());
    let database = Database::open(&url, 4, Duration::from_secs(5), migrations())
        .await
        .unwrap();
    ChainStore::new(database.pool().clone(), ChainId(31337), net.network.kms_authority)
}

async fn filed(store: &ChainStore, count: usize) -> Vec<StoredDecision> {
    let end = Instant::now() + crate::fixture::PATIENCE;
    loop {
        let found = store.decisions(0, 100, None).await.unwrap();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < end, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn c8_the_recorder_files_each_decision_once_for_its_blocks() {
    let net = Net::settled().await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), &net).await;
    let bridge = net.bridge().await;
    net.caught_up(&bridge).await;
    let config = RecorderConfig {
        keep: Retention {
            count: 100,
            age_s: 86_400,
        },
        kms_every_s: 3600,
        max_evidence: 1 << 20,
    };
    let recorder = Recorder::start(&bridge, store.clone(), Arc::clone(&net.clock) as _, config);
    let counts = Arc::clone(recorder.counts());
    let mut heads = Vec::new();
    for _ in 0..3 {
        for _ in 0..4 {
            let decided = bridge.decide(Subject::App, &net.record()).await.unwrap();
            bridge.decide(Subject::Kms, &net.record()).await.unwrap();
            heads.push(decided.head.number);
        }
        net.mine(1).await;
        net.caught_up(&bridge).await;
    }
    heads.dedup();
    // Three heads for the app; the node's own question gives the same answer each time and is filed once.
    filed(&store, 4).await;
    recorder.stop().await;
    let all = store.decisions(0, 100, None).await.unwrap();
    let of_app: Vec<u64> = all
        .iter()
        .filter(|decision| decision.subject == Subject::App)
        .map(|decision| decision.head.number)
        .collect();
    assert_eq!((of_app, all.len()), (heads, 4));
    for decision in &all {
        let evidence = store
            .decision_evidence(decision.id)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(evidence.verdict, decision.verdict);
    }
    assert_eq!(counts.recorded.load(Ordering::Relaxed), 4);
    for lost in [&counts.overflow, &counts.database, &counts.without_evidence] {
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }
    // What is decided after it has stopped is counted, not waited for.
    net.mine(1).await;
    net.caught_up(&bridge).await;
    bridge.decide(Subject::App, &net.record()).await.unwrap();
    assert_eq!(counts.overflow.load(Ordering::Relaxed), 1);
    bridge.shutdown().await;
}

#[tokio::test]
async fn c6_evidence_beyond_the_bound_is_not_kept_and_the_decision_says_why() {
    let net = Net::settled().await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), &net).await;
    let bridge = net.bridge().await;
    let config = RecorderConfig {
        keep: Retention {
            count: 100,
            age_s: 86_400,
        },
        kms_every_s: 3600,
        max_evidence: 1000,
    };
    let recorder = Recorder::start(&bridge, store.clone(), Arc::clone(&net.clock) as _, config);
    bridge.decide(Subject::App, &net.record()).await.unwrap();
    let all = filed(&store, 1).await;
    let why = all[0].missing.as_deref().unwrap();
    assert!(
        why.starts_with("evidence: expected at most 1000 bytes, got "),
        "{why}"
    );
    let counts = Arc::clone(recorder.counts());
    recorder.stop().await;
    assert_eq!(counts.without_evidence.load(Ordering::Relaxed), 1);
    bridge.shutdown().await;
}
