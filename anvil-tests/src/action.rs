//! Transactions that say what they do: contract, function and arguments in words; then the block they are in. A call the
//! contract would refuse is never sent; its own error comes back.

use alloy::{
    eips::BlockId, primitives::B256, providers::Provider, rpc::types::TransactionReceipt, sol_types::SolCall,
};
use anyhow::{Context, Result, bail};
use authority_contracts::deploy::{DeployError, Sender};
use kms_types::{BlockHash, BlockRef, ChainAddress};
use std::{fmt, time::Duration};

/// Longest wait for finality.
const PATIENCE: Duration = Duration::from_secs(120);

/// A call of a contract, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Name of the contract.
    pub contract: &'static str,
    /// Its address.
    pub address: ChainAddress,
    /// Name of the function.
    pub function: &'static str,
    /// Arguments, as text.
    pub arguments: String,
}

impl Action {
    /// Describes a call.
    pub fn of<C: SolCall + fmt::Debug>(contract: &'static str, address: ChainAddress, call: &C) -> Self {
        let function = C::SIGNATURE
            .split_once('(')
            .map_or(C::SIGNATURE, |(name, _)| name);
        // `nameCall { argument: value }`: the generated call is its own description.
        let text = format!("{call:?}");
        let arguments = text
            .split_once(" { ")
            .map_or("", |(_, rest)| rest.trim_end_matches(" }"));
        Self {
            contract,
            address,
            function,
            arguments: named(function, arguments),
        }
    }
}

/// The factory hands its arguments on as they come, so its ABI does not name them.
fn named(function: &str, arguments: &str) -> String {
    const FACTORY: [&str; 6] = [
        "initialOwner",
        "disableUpgrades",
        "requireTcbUpToDate",
        "allowAnyDevice",
        "initialDeviceId",
        "initialComposeHash",
    ];
    let mut text = arguments.to_owned();
    if function == "deployAndRegisterApp" {
        for (index, name) in FACTORY.iter().enumerate() {
            text = text.replace(&format!("_{index}: "), &format!("{name}: "));
        }
    }
    text
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}({})", self.contract, self.function, self.arguments)
    }
}

/// A transaction that was mined and did what it should.
#[derive(Debug, Clone)]
pub struct Mined {
    /// What it did.
    pub action: Action,
    /// Its hash.
    pub transaction: B256,
    /// The block it is in.
    pub block: BlockRef,
    /// Gas it took.
    pub gas: u64,
    /// The receipt.
    pub receipt: TransactionReceipt,
}

/// Sends a call and waits until it is mined.
///
/// # Errors
/// [`DeployError::Refused`] with the contract's error when it would revert; else where it stopped.
pub async fn send<C: SolCall + fmt::Debug>(
    sender: &Sender,
    contract: &'static str,
    address: ChainAddress,
    call: &C,
) -> Result<Mined, DeployError> {
    let action = Action::of(contract, address, call);
    let receipt = sender.send(action.function, address, call).await?;
    let missing = DeployError::Receipt {
        step: action.function,
        expected: "a block",
    };
    let (Some(number), Some(hash)) = (receipt.block_number, receipt.block_hash) else {
        return Err(missing);
    };
    Ok(Mined {
        action,
        transaction: receipt.transaction_hash,
        block: BlockRef {
            number,
            hash: BlockHash::new(hash.0),
        },
        gas: receipt.gas_used,
        receipt,
    })
}

/// Waits until a block is finalized under the same hash.
///
/// # Errors
/// When it takes longer than two minutes or the block was replaced by another.
pub async fn wait_final(sender: &Sender, block: BlockRef) -> Result<()> {
    let provider = sender.provider();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let finalized = tokio::time::timeout(PATIENCE, provider.get_block(BlockId::finalized()));
        let finalized = finalized.await.context("the endpoint does not answer")??;
        if finalized.is_some_and(|finalized| finalized.header.number >= block.number) {
            let canonical = provider.get_block(BlockId::number(block.number)).await?;
            return match canonical {
                Some(found) if found.header.hash.0 == block.hash.to_bytes() => Ok(()),
                _ => bail!("block {block} was replaced by a reorganisation; send the transaction again"),
            };
        }
        if tokio::time::Instant::now() > end {
            bail!("block {block} was not finalized within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
