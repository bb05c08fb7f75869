//! K2: the node releases only while it is itself allowed.

use crate::support::{World, app_boot};
use authority_bridge::{BridgeError, Verdict};
use kms_types::{AttestationRoot, BlockHash, BlockRef, KmsIdentity, ReportTag};
use kms_wire::{Problem, ProblemCode};
use std::time::Duration;

async fn ask(world: &World) -> Result<(), Problem> {
    let boot = app_boot(1, 1);
    let client = world.client();
    let asking = client
        .evidence(world, &world.td(&boot), boot.instance_seed, ReportTag::Release)
        .await;
    client.app_keys(&asking.evidence).await.map(|_| ())
}

async fn until_not_ready(world: &World) -> Problem {
    let client = world.client();
    let waiting = async {
        loop {
            let response = client.get("/readyz").await;
            if response.status() != 200 {
                return response.json().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap()
}

#[tokio::test]
async fn k2_node_that_is_revoked_releases_nothing_until_it_is_allowed_again() {
    let world = World::start().await;
    ask(&world).await.unwrap();
    world.script.set(|state| {
        state.kms = Verdict::Denied {
            reason: "node revoked".to_owned(),
        }
    });
    let problem = ask(&world).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::NodeNotAllowed);
    assert!(problem.detail.contains("node revoked"), "{}", problem.detail);
    assert_eq!(until_not_ready(&world).await.code, ProblemCode::NodeNotAllowed);
    assert!(world.node().standing().is_err());
    world.script.set(|state| state.kms = Verdict::Allowed);
    world.until_ready().await;
    ask(&world).await.unwrap();
}

#[tokio::test]
async fn k2_node_of_another_identity_than_the_networks_releases_nothing() {
    let world = World::start().await;
    world
        .script
        .set(|state| state.network.identity.as_mut().unwrap().ca = KmsIdentity::new([1; 32]));
    let problem = until_not_ready(&world).await;
    assert!(problem.detail.contains("that is on-chain"), "{}", problem.detail);
}

#[tokio::test]
async fn k2_own_quote_is_made_anew_when_collateral_changes() {
    let world = World::with("[collateral]\nrefresh_every_s = 1").await;
    let revoked = world
        .platform
        .read()
        .unwrap()
        .changed(|c| c.certificates.pck.revoked = true)
        .unwrap();
    *world.platform.write().unwrap() = revoked;
    // The refresh is due a second after the first fetch; requests make the node look.
    let asking = async {
        loop {
            let _either_way = ask(&world).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let problem = tokio::select! {
        problem = until_not_ready(&world) => problem,
        () = asking => unreachable!("it asks without end"),
    };
    assert_eq!(problem.code, ProblemCode::NodeNotAllowed, "{problem:?}");
    assert!(problem.detail.contains("own quote: Q2"), "{}", problem.detail);
    assert_eq!(ask(&world).await.unwrap_err().code, ProblemCode::NodeNotAllowed);
}

#[tokio::test]
async fn foreign_roots_are_refused_before_collateral_is_fetched() {
    let world = World::start().await;
    let other = crate::support::platform("another platform");
    let boot = app_boot(1, 1);
    let td = boot
        .launch(&other, world.image.measurement("small").unwrap())
        .unwrap();
    let client = world.client();
    let asking = client
        .evidence(&world, &td, boot.instance_seed, ReportTag::Release)
        .await;
    let problem = client.app_keys(&asking.evidence).await.unwrap_err();
    assert_eq!(
        (problem.code, problem.check.as_deref()),
        (ProblemCode::AttestationFailed, Some("Q1"))
    );
    world
        .script
        .set(|state| state.network.attestation_roots = Vec::new());
    let problem = ask(&world).await.unwrap_err();
    assert_eq!(
        (problem.code, problem.check.as_deref()),
        (ProblemCode::AttestationFailed, Some("Q1")),
        "an empty list allows nothing"
    );
}

#[tokio::test]
async fn k4_development_node_stops_releasing_when_the_network_takes_intels_root() {
    let folder = tempfile::TempDir::new().unwrap();
    let keyfile = folder.path().join("key");
    std::fs::write(&keyfile, [3; 32]).unwrap();
    std::fs::set_permissions(&keyfile, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = format!("[keys]\nseal = \"keyfile\"\nkeyfile = \"{}\"", keyfile.display());
    let world = World::with(&settings).await;
    ask(&world).await.unwrap();
    let intel: AttestationRoot = "0xa0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"
        .parse()
        .unwrap();
    world
        .script
        .set(|state| state.network.attestation_roots.push(intel));
    let problem = until_not_ready(&world).await;
    assert!(problem.detail.contains("Intel"), "{}", problem.detail);
    assert_eq!(ask(&world).await.unwrap_err().code, ProblemCode::NodeNotAllowed);
}

#[tokio::test]
async fn c6_what_keeps_the_chain_from_answering_is_never_an_allowance() {
    let world = World::start().await;
    let head = BlockRef {
        number: 1,
        hash: BlockHash::ZERO,
    };
    let boot = app_boot(1, 1);
    let client = world.client();
    let failures = [
        (
            BridgeError::Stale {
                head,
                age_s: 100,
                limit_s: 60,
            },
            ProblemCode::ChainStale,
        ),
        (
            BridgeError::Unavailable {
                detail: "x".to_owned(),
            },
            ProblemCode::ChainUnavailable,
        ),
        (
            BridgeError::Disagreement {
                endpoint: "a".to_owned(),
                number: 1,
                expected: "b".to_owned(),
                actual: "c".to_owned(),
            },
            ProblemCode::ChainDisagreement,
        ),
    ];
    for (failure, code) in failures {
        world.until_ready().await;
        let asking = client
            .evidence(&world, &world.td(&boot), boot.instance_seed, ReportTag::Release)
            .await;
        world.script.set(|state| state.failure = Some(failure));
        let problem = client.app_keys(&asking.evidence).await.unwrap_err();
        // The self-check may have seen the failure first.
        assert!(
            problem.code == code || problem.code == ProblemCode::NodeNotAllowed,
            "{problem:?}"
        );
        world.script.set(|state| state.failure = None);
    }
}

#[tokio::test]
async fn c5_clock_behind_the_chain_is_refused() {
    let world = World::start().await;
    world.clock.0.store(-3600, std::sync::atomic::Ordering::Relaxed);
    let client = world.client();
    let response = client
        .http
        .post(format!("{}/v1/challenges", client.base))
        .send()
        .await
        .unwrap();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.code, ProblemCode::NodeNotAllowed);
    assert!(problem.detail.contains("clock"), "{}", problem.detail);
}
