//! The owner of a production network: OpenZeppelin's `TimelockController`, behind which every grant waits.

use super::{DeployError, Sender};
use crate::abi::{KmsAuthority, TimelockController};
use alloy_primitives::{Address, Bytes, FixedBytes, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use kms_types::ChainAddress;

/// Who may propose and execute, and how long everything waits.
#[derive(Debug, Clone)]
pub struct TimelockParams {
    /// Seconds between proposing and executing.
    pub delay: u64,
    /// Accounts that propose and cancel: a multisig or a Governor.
    pub proposers: Vec<ChainAddress>,
    /// Accounts that execute; the zero address stands for anyone.
    pub executors: Vec<ChainAddress>,
}

/// Deploys a timelock that nobody administers but itself.
///
/// # Errors
/// The step that failed.
pub async fn deploy_timelock(sender: &Sender, params: &TimelockParams) -> Result<ChainAddress, DeployError> {
    let addresses = |list: &[ChainAddress]| list.iter().map(|one| Address::from(one.to_bytes())).collect();
    let arguments = TimelockController::constructorCall {
        minDelay: U256::from(params.delay),
        proposers: addresses(&params.proposers),
        executors: addresses(&params.executors),
        // An administrator beside the timelock could shorten its delay.
        admin: Address::ZERO,
    };
    sender
        .deploy(
            "deploy timelock",
            &TimelockController::BYTECODE,
            arguments.abi_encode(),
        )
        .await
}

/// Proposes that the timelock accept an ownership offered to it; to be executed after the delay.
///
/// # Errors
/// When the sender may not propose.
pub async fn propose_ownership(
    sender: &Sender,
    timelock: ChainAddress,
    authority: ChainAddress,
    delay: u64,
) -> Result<(), DeployError> {
    let call = TimelockController::scheduleCall {
        target: Address::from(authority.to_bytes()),
        value: U256::ZERO,
        data: accept_ownership(),
        predecessor: FixedBytes::ZERO,
        salt: FixedBytes::ZERO,
        delay: U256::from(delay),
    };
    sender
        .send("propose to accept ownership", timelock, &call)
        .await
        .map(|_| ())
}

/// Executes what [`propose_ownership`] proposed.
///
/// # Errors
/// When the delay is not over or the sender may not execute.
pub async fn execute_ownership(
    sender: &Sender,
    timelock: ChainAddress,
    authority: ChainAddress,
) -> Result<(), DeployError> {
    let call = TimelockController::executeCall {
        target: Address::from(authority.to_bytes()),
        value: U256::ZERO,
        payload: accept_ownership(),
        predecessor: FixedBytes::ZERO,
        salt: FixedBytes::ZERO,
    };
    sender.send("accept ownership", timelock, &call).await.map(|_| ())
}

fn accept_ownership() -> Bytes {
    KmsAuthority::acceptOwnershipCall {}.abi_encode().into()
}
