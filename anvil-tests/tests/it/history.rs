//! The audit trail of a real node: what owners did, in the order of the chain, through a crash of the node.

use crate::scene::{PATIENCE, Scene};
use authority_contracts::abi::AppAuthority;
use kms_types::ComposeHash;
use kms_wire::{PolicyEvent, PolicyHistory};
use serde_json::Value;
use std::{
    process::Command,
    time::{Duration, Instant},
};

impl Scene {
    async fn history(&self) -> PolicyHistory {
        let url = self.url(&format!("/v1/policy/history?app_id={}", self.app));
        crate::scene::read(self.client.get(url).send().await.unwrap())
            .await
            .unwrap()
    }

    /// The app's events once one of them is `name` about this compose hash.
    async fn history_with(&self, name: &str, hash: ComposeHash) -> Vec<PolicyEvent> {
        let hash = format!("0x{}", hash.to_plain_hex());
        let is_it =
            |event: &PolicyEvent| event.event == name && event.fields.iter().any(|field| field.value == hash);
        let end = Instant::now() + PATIENCE;
        loop {
            let page = self.history().await;
            if page.events.iter().any(is_it) {
                return page.events;
            }
            assert!(Instant::now() < end, "{name} is not in the history: {page:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn names(events: &[PolicyEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

#[tokio::test]
async fn every_change_of_an_app_is_in_the_history_in_order_and_a_killed_node_goes_on() {
    let mut scene = Scene::new().await;
    let hash = ComposeHash::new([0xee; 32]);
    let add = AppAuthority::addComposeHashCall {
        composeHash: hash.to_bytes().into(),
    };
    scene.manage(add.clone()).await;
    scene.finalize().await;
    let before = scene.history_with("ComposeHashAdded", hash).await;
    assert!(names(&before).contains(&"AppRegistered"), "{before:?}");

    let node = scene.network.nodes().remove(0).kill().unwrap();
    scene
        .manage(AppAuthority::removeComposeHashCall {
            composeHash: hash.to_bytes().into(),
        })
        .await;
    scene.network.finalize().await.unwrap();
    let node = node.run(&scene.network).await.unwrap();
    scene.network.nodes().push(node);
    let after = scene.history_with("ComposeHashRemoved", hash).await;
    assert!(after.starts_with(&before), "{before:?}\n{after:?}");
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.is_sorted_by_key(|event| (event.block.number, event.log_index)));
    let removed = after.last().unwrap();
    let value = removed.fields.first().map(|field| field.value.as_str());
    assert_eq!(value, Some(format!("0x{}", hash.to_plain_hex()).as_str()));

    let program = anvil_tests::binaries::own("kedge").unwrap();
    let output = Command::new(program)
        .args(["--json", "chain", "history", "--app", &scene.app.to_string()])
        .args(["--url", &scene.url("")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told: Vec<PolicyEvent> = serde_json::from_value(told["events"].clone()).unwrap();
    assert_eq!(told, after);
}
