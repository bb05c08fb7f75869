//! A whole other chain: a second Anvil that starts from the blocks and the state of a real one and goes its own way.
//! Its headers hash and link, its proofs prove, its times are right; only nobody but the liars follows it.

use crate::upstream::{Upstream, quantity};
use alloy::{
    node_bindings::{Anvil, AnvilInstance},
    primitives::{Address, Bytes},
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{fmt, path::Path};
use url::Url;

/// A chain that shares every block up to `fork` with the real one, and none after it.
pub struct InventedChain {
    _anvil: AnvilInstance,
    upstream: Upstream,
    fork: u64,
}

impl fmt::Debug for InventedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InventedChain")
            .field("fork", &self.fork)
            .field("url", &self.upstream.url().as_str())
            .finish()
    }
}

impl InventedChain {
    /// Forks from the real chain's head. `anvil` is the program; finalized is two blocks behind the head.
    ///
    /// # Errors
    /// When Anvil does not start or does not take the real chain's state.
    pub async fn fork(real: &Url, anvil: &Path) -> Result<Self> {
        let real = Upstream::new(real.clone());
        // Old states too, so that the liar can prove what it says about every block it shares with the real chain.
        let dump = real.call("anvil_dumpState", json!([true])).await?;
        let anvil = Anvil::at(anvil).args(["--slots-in-an-epoch", "1"]).try_spawn()?;
        let upstream = Upstream::new(anvil.endpoint_url());
        let loaded = upstream.call("anvil_loadState", json!([dump])).await?;
        if loaded != Value::Bool(true) {
            bail!("the state of the real chain was not loaded: {loaded}");
        }
        // Empty blocks of the same second would be the real ones, and those of two inventors each other's.
        let miner = format!("0x{:040x}", anvil.port());
        upstream.call("anvil_setCoinbase", json!([miner])).await?;
        let head = upstream.block("latest").await?;
        let fork = head
            .get("number")
            .and_then(quantity)
            .context("a head without a number")?;
        Ok(Self {
            _anvil: anvil,
            upstream,
            fork,
        })
    }

    /// Last block shared with the real chain.
    pub fn fork_block(&self) -> u64 {
        self.fork
    }

    /// Where the invented chain answers without any further lie.
    pub fn url(&self) -> &Url {
        self.upstream.url()
    }

    /// Any call to it.
    ///
    /// # Errors
    /// When it fails.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.upstream.call(method, params).await
    }

    /// Mines blocks on it.
    ///
    /// # Errors
    /// When Anvil does not.
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.call("anvil_mine", json!([format!("{blocks:#x}")]))
            .await
            .map(drop)
    }

    /// Mines a block every so many seconds from now on.
    ///
    /// # Errors
    /// When Anvil refuses.
    pub async fn mine_every(&self, seconds: u64) -> Result<()> {
        self.call("evm_setIntervalMining", json!([seconds]))
            .await
            .map(drop)
    }

    /// Sends a transaction as any account, whose key nobody needs here, and mines it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn send_as(&self, from: Address, to: Address, data: Bytes) -> Result<()> {
        self.call("anvil_impersonateAccount", json!([from])).await?;
        self.call("anvil_setBalance", json!([from, "0xde0b6b3a7640000"]))
            .await?;
        let transaction = json!({"from": from, "to": to, "data": data, "gas": "0x4c4b40"});
        let hash = self.call("eth_sendTransaction", json!([transaction])).await?;
        let mut receipt = self.call("eth_getTransactionReceipt", json!([hash])).await?;
        if receipt.is_null() {
            self.mine(1).await?;
            receipt = self.call("eth_getTransactionReceipt", json!([hash])).await?;
        }
        if receipt.get("status") != Some(&json!("0x1")) {
            bail!("transaction of {from} to {to}: expected status 1, got {receipt}");
        }
        Ok(())
    }
}
