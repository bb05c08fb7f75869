//! Deployment on a fresh chain, questions to what was deployed, refused transactions in words.

use crate::fixture::{Chain, identity, network, params, reason, reason as reason_of, record};
use alloy::network::TransactionBuilder;
use alloy::primitives::Address;
use alloy::providers::{Provider, ext::AnvilApi};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use authority_contracts::abi::{AppAuthority, KmsAuthority};
use authority_contracts::deploy::{
    AppParams, DeployError, TimelockParams, deploy_app, deploy_network, deploy_timelock, execute_ownership,
    propose_ownership, record_key_epoch,
};
use authority_contracts::{Answer, decode_answer, decode_kms_identity, decode_network_state, question};
use kms_types::{AppId, ChainAddress, ComposeHash, KeyEpoch, TcbStatus};

async fn call(chain: &Chain, to: ChainAddress, data: Vec<u8>) -> Vec<u8> {
    let request = TransactionRequest::default()
        .with_to(Address::from(to.to_bytes()))
        .with_input(data);
    chain.owner.provider().call(request).await.unwrap().to_vec()
}

async fn ask(chain: &Chain, to: ChainAddress, data: Vec<u8>) -> Answer {
    decode_answer(&call(chain, to, data).await).unwrap()
}

#[tokio::test]
async fn the_same_key_on_a_fresh_chain_gives_the_same_network() {
    let (one, two) = (Chain::start().await, Chain::start().await);
    let (first, second) = (network(&one).await, network(&two).await);
    // The block number differs where a node mines late; addresses must not.
    assert_eq!(first.kms_authority, second.kms_authority);
    assert_eq!(first.app_implementation, second.app_implementation);
    assert_eq!(first.kms_app.unwrap().app_id, second.kms_app.unwrap().app_id);
}

#[tokio::test]
async fn a_registered_app_is_allowed_until_its_compose_hash_is_removed() {
    let chain = Chain::start().await;
    let network = network(&chain).await;
    let app_params = AppParams {
        compose_hash: Some(ComposeHash::new([0xc0; 32])),
        allow_any_device: true,
        ..AppParams::default()
    };
    let app = deploy_app(&chain.owner, network.kms_authority, &app_params)
        .await
        .unwrap();
    let question = question::is_app_allowed(&record(app.app_id));
    assert_eq!(
        ask(&chain, network.kms_authority, question.clone()).await,
        Answer::Allowed
    );

    let remove = AppAuthority::removeComposeHashCall {
        composeHash: [0xc0; 32].into(),
    };
    chain
        .owner
        .send("remove compose hash", app.authority(), &remove)
        .await
        .unwrap();
    let answer = ask(&chain, network.kms_authority, question).await;
    assert_eq!(
        reason(&answer),
        format!("compose_hash_not_allowed: {}", ComposeHash::new([0xc0; 32]))
    );
}

#[tokio::test]
async fn values_of_a_denial_are_those_of_the_record() {
    let chain = Chain::start().await;
    let network = network(&chain).await;
    let app = network.kms_app.unwrap().app_id;
    let mut cases = Vec::new();
    for (change, expected) in [
        (|r: &mut kms_types::BootRecord| r.tdx_module_svn = 4) as fn(&mut kms_types::BootRecord),
        |r| r.tcb_evaluation_data_number = 16,
        |r| r.info.tcb_status = TcbStatus::OutOfDate,
        |r| r.key_epoch = KeyEpoch(3),
        |r| r.tee_type = kms_types::TeeType(0),
    ]
    .into_iter()
    .zip([
        "tdx_module_svn_too_low: 4 < 5",
        "tcb_evaluation_too_old: 16 < 17",
        "tcb_status_not_allowed: OutOfDate",
        "key_epoch_unknown: 3 > 1",
        "tee_type_not_allowed: 0",
    ]) {
        let mut record = record(app);
        record.info.compose_hash = ComposeHash::new([0xcc; 32]);
        change(&mut record);
        cases.push((record, expected));
    }
    for (record, expected) in cases {
        let answer = ask(&chain, network.kms_authority, question::is_app_allowed(&record)).await;
        assert_eq!(reason(&answer), expected);
    }
}

#[tokio::test]
async fn a_kms_node_is_an_instance_of_the_named_app() {
    let chain = Chain::start().await;
    let network = network(&chain).await;
    let mut node = record(network.kms_app.unwrap().app_id);
    node.info.compose_hash = ComposeHash::new([0xcc; 32]);
    assert_eq!(
        ask(&chain, network.kms_authority, question::is_kms_allowed(&node)).await,
        Answer::Allowed
    );
    node.key_epoch = KeyEpoch(2);
    assert_eq!(
        ask(&chain, network.kms_authority, question::is_kms_allowed(&node)).await,
        Answer::Allowed
    );
    node.info.app_id = AppId::new([9; 20]);
    let answer = ask(&chain, network.kms_authority, question::is_kms_allowed(&node)).await;
    assert!(
        reason(&answer).starts_with("kms_app_mismatch: 0x0909"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn network_state_is_what_was_deployed() {
    let chain = Chain::start().await;
    let network = network(&chain).await;
    let data = call(&chain, network.kms_authority, question::network_state()).await;
    let state = decode_network_state(&data).unwrap();
    assert_eq!(state.attestation_roots, params().attestation_roots);
    assert_eq!(
        (state.key_epoch, state.min_key_epoch),
        (Some(KeyEpoch(1)), KeyEpoch(1))
    );
    assert_eq!(state.kms_app_id, network.kms_app.map(|app| app.app_id));
    assert_eq!(state.min_tcb_evaluation_data_number, 17);
    assert_eq!(state.identity, Some(identity()));
    assert!(!state.release_paused);

    record_key_epoch(&chain.owner, network.kms_authority, KeyEpoch(2), &identity())
        .await
        .unwrap();
    for (epoch, expected) in [(1, Some(identity())), (2, Some(identity())), (3, None)] {
        let data = call(
            &chain,
            network.kms_authority,
            question::kms_identity(KeyEpoch(epoch)),
        )
        .await;
        assert_eq!(decode_kms_identity(&data).unwrap(), expected);
    }
}

#[tokio::test]
async fn every_status_has_its_own_bit() {
    let chain = Chain::start().await;
    let mut params = params();
    params.tcb_statuses = vec![
        TcbStatus::SWHardeningNeeded,
        TcbStatus::OutOfDateConfigurationNeeded,
    ];
    let network = deploy_network(&chain.owner, &params).await.unwrap();
    let data = call(
        &chain,
        network.kms_authority,
        KmsAuthority::tcbPolicyCall {}.abi_encode(),
    )
    .await;
    let policy = KmsAuthority::tcbPolicyCall::abi_decode_returns(&data).unwrap();
    assert_eq!(policy.allowedStatuses, 0b1000_0011);
}

#[tokio::test]
async fn a_refused_transaction_is_explained_and_not_sent() {
    let chain = Chain::start().await;
    let network = network(&chain).await;
    let stranger = chain.stranger().await;
    let call = KmsAuthority::addOsImageHashCall {
        osImageHash: [9; 32].into(),
    };
    let error = stranger
        .send("allow OS image", network.kms_authority, &call)
        .await
        .unwrap_err();
    let DeployError::Refused { reason, .. } = error else {
        panic!("{error:?}")
    };
    let address = stranger.address();
    assert!(
        reason.to_lowercase().contains("ownableunauthorizedaccount"),
        "{reason}"
    );
    assert!(
        reason.to_lowercase().contains(&address.to_plain_hex()),
        "{reason}"
    );

    let again = record_key_epoch(&chain.owner, network.kms_authority, KeyEpoch(1), &identity()).await;
    let DeployError::Refused { reason, .. } = again.unwrap_err() else {
        panic!("expected a refusal")
    };
    assert_eq!(reason, "UnexpectedKeyEpoch { epoch: 1, expected: 2 }");
    assert_eq!(
        chain
            .owner
            .provider()
            .get_transaction_count(Address::from(address.to_bytes()))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn s2_a_network_handed_to_a_timelock_obeys_its_delay() {
    let chain = Chain::start().await;
    let owner = &chain.owner;
    let delay = 86_400;
    let (proposers, executors) = (vec![owner.address()], vec![owner.address()]);
    let timelock = deploy_timelock(
        owner,
        &TimelockParams {
            delay,
            proposers,
            executors,
        },
    )
    .await
    .unwrap();
    let mut params = params();
    params.owner = Some(timelock);
    params.guardian = Some(chain.stranger().await.address());
    let network = deploy_network(owner, &params).await.unwrap();

    propose_ownership(owner, timelock, network.kms_authority, delay)
        .await
        .unwrap();
    let early = execute_ownership(owner, timelock, network.kms_authority)
        .await
        .unwrap_err();
    let DeployError::Refused { reason, .. } = early else {
        panic!("{early:?}")
    };
    assert!(reason.starts_with("TimelockUnexpectedOperationState"), "{reason}");
    owner.provider().anvil_increase_time(delay).await.unwrap();
    execute_ownership(owner, timelock, network.kms_authority)
        .await
        .unwrap();

    let grant = KmsAuthority::addOsImageHashCall {
        osImageHash: [9; 32].into(),
    };
    let refused = owner
        .send("allow OS image", network.kms_authority, &grant)
        .await
        .unwrap_err();
    assert!(matches!(refused, DeployError::Refused { .. }), "{refused:?}");
    // S3: what the guardian forbids does not wait.
    let guardian = chain.stranger().await;
    let pause = KmsAuthority::setReleasePausedCall { paused: true };
    guardian
        .send("pause releases", network.kms_authority, &pause)
        .await
        .unwrap();
    let node = record(network.kms_app.unwrap().app_id);
    let answer = ask(&chain, network.kms_authority, question::is_app_allowed(&node)).await;
    assert_eq!(reason_of(&answer), "releases_paused");
}
