//! The generation of an instance's disk at a real node: leases raise it, an older disk gets none, the next boot is told, a node that
//! was killed remembers, and its operator alone can lower it.

use crate::{
    leases::Running,
    scene::{Scene, refused},
};
use anvil_tests::binaries::own;
use kms_client::{Lease, PoolError, RetryPolicy};
use kms_types::{InstanceId, ReportTag};
use kms_wire::{DiskGeneration, DiskMark, LogEntries, Problem, ProblemCode, ReleaseKind};
use std::process::Command;

fn generation(number: u64) -> DiskGeneration {
    let mark = DiskMark::new([5; 16]);
    DiskGeneration { number, mark }
}

/// A lease whose evidence says this of the disk.
async fn reporting(running: &mut Running, generation: Option<DiskGeneration>) -> Result<Lease, Box<Problem>> {
    running.described.disk_generation = generation;
    let pool = running.pool(&[], RetryPolicy::ONCE);
    running.lease(&pool).await.map_err(|error| {
        let problem = error.request_error().and_then(kms_client::RequestError::problem);
        let problem = problem.unwrap_or_else(|| panic!("{error:?}")).clone();
        let denied = matches!(error, PoolError::Denied { .. });
        assert_eq!(denied, problem.code == ProblemCode::Denied, "{problem:?}");
        Box::new(problem)
    })
}

/// What the next boot of the instance is told, under the KMS's signature.
async fn told(scene: &Scene) -> Option<DiskGeneration> {
    scene.granted().await.response.log.entry.disk_generation
}

fn instance(scene: &Scene) -> InstanceId {
    InstanceId::derive(&scene.spec().boot.instance_seed.unwrap(), &scene.app)
}

/// The operator's command at the running node.
fn operator(scene: &Scene, arguments: &[&str]) -> Result<serde_json::Value, String> {
    let (app, instance) = (scene.app.to_string(), instance(scene).to_string());
    let output = Command::new(own("kms-node").unwrap())
        .arg("--config")
        .arg(scene.network.node().unwrap().config())
        .arg("generation")
        .arg(arguments[0])
        .args(["--app", &app, "--instance", &instance])
        .args(&arguments[1..])
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[tokio::test]
async fn g4_a_disk_that_was_set_back_gets_no_lease_and_the_next_boot_is_told() {
    let mut running = Running::new().await;
    assert_eq!(told(&running.scene).await, None, "nobody reported a disk yet");
    let unknown = operator(&running.scene, &["show"]).unwrap();
    assert!(unknown["generation"].is_null(), "{unknown}");
    for reported in [3, 4, 4, 9].map(generation) {
        let lease = reporting(&mut running, Some(reported)).await.unwrap();
        assert_eq!(lease.response.log.entry.disk_generation, Some(reported));
        assert_eq!(told(&running.scene).await, Some(reported));
    }
    // Another copy of the disk, counted on by itself to the same number.
    let mark = DiskMark::new([6; 16]);
    let copy = reporting(&mut running, Some(DiskGeneration { number: 9, mark })).await;
    let problem = copy.err().unwrap();
    let reason = problem.reason.as_deref().unwrap();
    assert!(reason.starts_with("disk_of_another_copy: "), "{problem:?}");
    let problem = reporting(&mut running, Some(generation(8))).await.err().unwrap();
    assert_eq!(
        (problem.code, problem.check.as_deref(), problem.reason.as_deref()),
        (
            ProblemCode::Denied,
            Some("G4"),
            Some("disk_generation_too_low: 8 < 9")
        )
    );
    assert_eq!(
        (problem.expected.unwrap(), problem.actual.unwrap()),
        (generation(9).to_string(), generation(8).to_string())
    );
    // A lease that says nothing of a disk is what it was, and forgets nothing.
    reporting(&mut running, None).await.unwrap();
    assert_eq!(told(&running.scene).await, Some(generation(9)));

    // The power of the node is cut; its database remembers.
    let node = running.scene.network.nodes().remove(0).kill().unwrap();
    let node = node.run(&running.scene.network).await.unwrap();
    running.scene.network.nodes().push(node);
    running.scene.seen().await;
    assert_eq!(told(&running.scene).await, Some(generation(9)));
    let problem = reporting(&mut running, Some(generation(8))).await.err().unwrap();
    assert_eq!(problem.code, ProblemCode::Denied);

    // The owner finds every number in the log, each refused lease in none.
    let url = running
        .scene
        .url(&format!("/v1/log/entries?app_id={}", running.scene.app));
    let log: LogEntries = running
        .scene
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let leases: Vec<_> = log
        .entries
        .iter()
        .filter(|held| held.entry.kind == ReleaseKind::Lease)
        .map(|held| held.entry.disk_generation)
        .collect();
    let expected = [Some(3), Some(4), Some(4), Some(9), None];
    assert_eq!(leases, expected.map(|number| number.map(generation)));
}

#[tokio::test]
async fn g4_only_the_operator_lowers_the_generation_and_nobody_raises_it() {
    let mut running = Running::new().await;
    let error = operator(&running.scene, &["set", "--to", "1"]).unwrap_err();
    assert!(error.contains("an instance that reported one"), "{error}");
    reporting(&mut running, Some(generation(9))).await.unwrap();
    for to in ["9", "10", "18446744073709551615"] {
        let error = operator(&running.scene, &["set", "--to", to]).unwrap_err();
        assert!(error.contains("expected one below 9"), "{error}");
    }
    let lowered = operator(&running.scene, &["set", "--to", "5"]).unwrap();
    assert_eq!(lowered["generation"], 5, "{lowered}");
    // It holds at once, at the node that runs, and below it as before.
    let any = |number| {
        Some(DiskGeneration {
            number,
            mark: DiskMark::ZERO,
        })
    };
    assert_eq!(told(&running.scene).await, any(5));
    assert_eq!(
        reporting(&mut running, Some(generation(4)))
            .await
            .err()
            .unwrap()
            .code,
        ProblemCode::Denied
    );
    reporting(&mut running, Some(generation(6))).await.unwrap();
    assert_eq!(told(&running.scene).await, Some(generation(6)));
    let empty = operator(&running.scene, &["set", "--to", "0"]).unwrap();
    assert_eq!(empty["generation"], 0);
    assert_eq!(told(&running.scene).await, any(0));
}

#[tokio::test]
async fn g4_a_generation_outside_of_the_quote_or_of_a_lease_is_refused() {
    let mut running = Running::new().await;
    reporting(&mut running, Some(generation(9))).await.unwrap();
    let unmarked = DiskGeneration {
        number: 10,
        mark: DiskMark::ZERO,
    };
    for reported in [0, 1 << 63, u64::MAX]
        .map(generation)
        .into_iter()
        .chain([unmarked])
    {
        let problem = reporting(&mut running, Some(reported)).await.err().unwrap();
        assert_eq!(problem.code, ProblemCode::Malformed, "{problem:?}");
    }
    let scene = &running.scene;
    let spec = scene.spec();
    // A host between guest and KMS: another number than the quote's, one where the quote has none, none where it has one.
    let td = scene.network.launch(&spec).unwrap();
    soft_td::finish_boot(&*td, br#"{"name":"kms","id":"00"}"#).unwrap();
    for number in [Some(1_000_000), Some(1)] {
        let challenge = scene.challenge().await;
        let mut draft = scene.draft_for(ReportTag::Lease, &spec, &td, &challenge);
        draft.evidence.disk_generation = number.map(generation);
        let problem = scene
            .post::<kms_wire::LeaseResponse>("/v1/leases", &draft.evidence)
            .await
            .unwrap_err();
        assert_eq!(
            (problem.code, problem.check.as_deref()),
            (ProblemCode::AttestationFailed, Some("Q7")),
            "{problem:?}"
        );
    }
    // Before the disk is open nobody knows a number: a release of keys takes none.
    let booting = scene.network.launch(&spec).unwrap();
    let mut draft = scene.draft(&spec, &booting, &scene.challenge().await);
    draft.evidence.disk_generation = Some(generation(10));
    assert_eq!(refused(scene.send(draft).await).code, ProblemCode::Malformed);
    assert_eq!(told(scene).await, Some(generation(9)));
}
