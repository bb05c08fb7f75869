//! The sealed root and the network it is for.

use crate::support::World;
use kms_node::StartError;
use kms_types::{AttestationRoot, ChainAddress, ChainId};

#[tokio::test]
async fn k4_root_does_not_open_for_another_network() {
    let mut world = World::start().await;
    world.stop().await;
    let mut other_contract = world.config.clone();
    other_contract.chain.contract = ChainAddress::new([0xee; 20]);
    let mut other_chain = world.config.clone();
    other_chain.chain.chain_id = ChainId(31338);
    for config in [other_contract, other_chain] {
        let named = format!(
            "chain {}, contract {}",
            config.chain.chain_id, config.chain.contract
        );
        let error = world.start_node(config).await.err().unwrap().to_string();
        assert!(
            error.contains(&named) && error.contains("sealed for another network"),
            "{error}"
        );
    }
    world.run().await;
    world.until_ready().await;
}

#[tokio::test]
async fn k4_simulated_td_is_refused_where_the_network_takes_intels_root() {
    let mut world = World::with("[td]\ndevice = \"socket:/td.sock\"").await;
    let intel: AttestationRoot = "0xa0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"
        .parse()
        .unwrap();
    world
        .script
        .set(|state| state.network.attestation_roots.push(intel));
    let refused = async {
        while world.node().standing().is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), refused)
        .await
        .unwrap();
    let why = world.node().standing().unwrap_err();
    assert!(why.contains("Intel"), "{why}");
    world.stop().await;
    let error = world.start_node(world.config.clone()).await.err();
    assert!(
        matches!(error, Some(StartError::NotDevelopment { .. })),
        "{error:?}"
    );
}
