//! Decisions of a real node, checked when everything that made them is gone: with the file and a header hash, and nothing
//! else.

use crate::scene::{PATIENCE, Scene, denied};
use authority_contracts::abi::AppAuthority;
use kms_types::BlockHash;
use kms_wire::{DecisionSubject, PolicyDecision, PolicyDecisions};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Runs `kedge --json verify decision`: its exit code and its object.
fn verify(arguments: &[&str]) -> (i32, Value) {
    let program = anvil_tests::binaries::own("kedge").unwrap();
    let output = Command::new(program)
        .args(["--json", "verify", "decision"])
        .args(arguments)
        .output()
        .unwrap();
    let object = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    (output.status.code().unwrap(), object)
}

impl Scene {
    async fn page(&self, query: &str) -> PolicyDecisions {
        let url = self.url(&format!("/v1/policy/decisions{query}"));
        crate::scene::read(self.client.get(url).send().await.unwrap())
            .await
            .unwrap()
    }

    /// The first filed decision about the app for which `wanted` holds.
    async fn filed(&self, wanted: impl Fn(&PolicyDecision) -> bool) -> PolicyDecision {
        let end = Instant::now() + PATIENCE;
        loop {
            let page = self.page(&format!("?app_id={}", self.app)).await;
            if let Some(found) = page.decisions.iter().find(|decision| wanted(decision)) {
                return found.clone();
            }
            assert!(Instant::now() < end, "no such decision is filed: {page:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn save(&self, decision: &PolicyDecision, folder: &Path) -> PathBuf {
        let url = self.url(&format!("/v1/policy/decisions/{}/evidence", decision.id));
        let answer = self.client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{decision:?}");
        let path = folder.join(format!("{}.json", decision.id));
        std::fs::write(&path, answer.bytes().await.unwrap()).unwrap();
        path
    }
}

#[tokio::test]
async fn c4_decisions_are_proven_by_a_file_when_everything_else_is_gone() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let release = scene.granted().await;
    let grant = scene.filed(|decision| decision.allowed).await;
    assert_eq!(grant.head, release.response.decision.head.block_ref());
    assert_eq!(grant.record_hash, release.response.decision.record_hash);
    assert!(
        grant.subject == DecisionSubject::App && grant.evidence,
        "{grant:?}"
    );
    let granted = scene.save(&grant, folder.path()).await;

    scene
        .manage(AppAuthority::removeComposeHashCall {
            composeHash: scene.spec().boot.compose_hash.to_bytes().into(),
        })
        .await;
    scene.seen().await;
    let reason = denied(scene.request(&scene.spec()).await);
    let denial = scene.filed(|decision| !decision.allowed).await;
    assert_eq!(denial.reason.as_deref(), Some(reason.as_str()));
    let refused = scene.save(&denial, folder.path()).await;

    // The node's own standing is filed too, under the app of the KMS.
    let all = scene.page("?count=1").await;
    assert!(all.decisions.len() == 1 && all.next.is_some(), "{all:?}");
    let kms = scene.page("").await.decisions;
    assert!(
        kms.iter()
            .any(|decision| decision.subject == DecisionSubject::Kms)
    );

    let (chain, contract) = ("31337", scene.network.authority().to_string());
    drop(scene);

    for (file, decision, allowed) in [(&granted, &grant, true), (&refused, &denial, false)] {
        let file = file.to_str().unwrap();
        let (head, finalized) = (
            decision.head.hash.to_string(),
            decision.finalized.hash.to_string(),
        );
        let known = ["--chain-id", chain, "--contract", &contract];
        let (code, told) = verify(&[&[file, "--header", &head], &known[..]].concat());
        assert_eq!((code, &told["ok"]), (0, &true.into()), "{told}");
        assert_eq!(told["decision"] == "allowed", allowed, "{told}");
        let (code, told) = verify(&[file, "--header", &finalized]);
        assert_eq!(code, 0, "{told}");
        assert!(told["left_to_you"].as_array().unwrap().len() == 4, "{told}");

        let other = BlockHash::new([7; 32]).to_string();
        let (code, told) = verify(&[file, "--header", &other]);
        assert_eq!((code, &told["ok"]), (1, &false.into()), "{told}");
        assert!(told["error"].as_str().unwrap().contains(&head), "{told}");
        assert_eq!(verify(&[file, "--chain-id", "1"]).0, 1);
    }
    changed_files_are_refused(&granted, folder.path());
}

fn changed_files_are_refused(file: &Path, folder: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let path = folder.join("changed.json");
    let name = path.to_str().unwrap();
    let mut refusals = 0;
    for index in (0..text.len()).step_by(text.len() / 40) {
        let mut bytes = text.clone().into_bytes();
        bytes[index] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (code, told) = verify(&[name, "--chain-id", "31337"]);
        assert!(code == 1 || code == 64, "byte {index}: {code} {told}");
        refusals += i32::from(code == 1);
    }
    assert!(refusals > 0, "only unreadable files were refused");
    std::fs::write(
        &path,
        text.replace("\"allowed\":true", "\"allowed\":false,\"reason\":\"no\""),
    )
    .unwrap();
    assert_eq!(verify(&[name]).0, 1);
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert_eq!(verify(&[name]).0, 64);
    assert_eq!(verify(&[folder.join("none.json").to_str().unwrap()]).0, 2);
    assert_eq!(verify(&[]).0, 64);
}
