//! The sealed root and the network it is for.

use crate::support::World;
use kms_types::{ChainAddress, ChainId};

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
