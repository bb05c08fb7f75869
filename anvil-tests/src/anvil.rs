//! A real Anvil as a child process: interval or manual mining, reorgs, and a chain that survives `kill -9` because its
//! state is written beside and renamed, never in place.

use crate::{
    binaries, ports,
    process::{Process, Program},
};
use alloy::{
    primitives::Bytes,
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::BlockNumberOrTag,
};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::{
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Chain id of a development network.
pub const CHAIN_ID: u64 = 31337;
/// Blocks from a block to the head that finalizes it, with one slot an epoch.
pub const FINALITY: u64 = 2;
/// The phrase behind Anvil's accounts: public, worth nothing anywhere else.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Longest wait for an answer of a local Anvil.
const PATIENCE: Duration = Duration::from_secs(20);
/// Largest chain state that is read back.
const MAX_STATE: u64 = 2 << 30;

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// One block every so many seconds.
    Every(u64),
    /// One block for each transaction, and when asked to.
    OnDemand,
}

/// How Anvil is started.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    /// Port it would like.
    pub port: Option<u16>,
    /// File its output goes to.
    pub log: PathBuf,
    /// Chain to go on with, if the file exists.
    pub state: Option<PathBuf>,
}

/// A running Anvil.
#[derive(Debug)]
pub struct Anvil {
    process: Process,
    port: u16,
    mining: Mining,
    provider: DynProvider,
    /// Anvil writes old states here; its own default grows in the user's home when it is killed.
    _states: tempfile::TempDir,
}

impl Anvil {
    /// Starts Anvil and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed, ends at once or does not answer.
    pub async fn start(options: &AnvilOptions) -> Result<Self> {
        let port = ports::free(options.port)?;
        let mut args: Vec<String> = [
            "--host",
            "127.0.0.1",
            "--slots-in-an-epoch",
            "1",
            "--silent",
            "--mnemonic",
            MNEMONIC,
        ]
        .map(str::to_owned)
        .to_vec();
        let states = tempfile::tempdir().context("no folder for Anvil's old states")?;
        args.extend([
            format!("--port={port}"),
            format!("--chain-id={CHAIN_ID}"),
            format!("--cache-path={}", states.path().display()),
        ]);
        let unpacked = options
            .state
            .as_deref()
            .filter(|file| file.exists())
            .map(unpack)
            .transpose()?;
        if let Some(file) = &unpacked {
            args.push(format!("--load-state={}", file.display()));
        }
        let program = Program::new("anvil", &binaries::anvil()?, args, options.log.clone());
        let provider = ProviderBuilder::new()
            .connect_http(format!("http://127.0.0.1:{port}").parse()?)
            .erased();
        // Blocks come on demand until the chain is set up, so that a deployment takes no longer than its transactions.
        let mut anvil = Self {
            process: Process::start(program)?,
            port,
            mining: Mining::OnDemand,
            provider,
            _states: states,
        };
        anvil.wait_ready().await?;
        if let Some(file) = unpacked {
            std::fs::remove_file(file)?;
        }
        Ok(anvil)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.process.ensure_running()?;
            if let Ok(Ok(id)) =
                tokio::time::timeout(Duration::from_secs(1), self.provider.get_chain_id()).await
            {
                if id != CHAIN_ID {
                    bail!("port {}: expected chain {CHAIN_ID}, got {id}", self.port);
                }
                return Ok(());
            }
            if Instant::now() > end {
                bail!("anvil did not answer within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// HTTP endpoint.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// WebSocket endpoint.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Port of both.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// When blocks are made.
    pub fn mining(&self) -> Mining {
        self.mining
    }

    /// Changes when blocks are made.
    ///
    /// # Errors
    /// When Anvil refuses.
    pub async fn set_mining(&mut self, mining: Mining) -> Result<()> {
        let seconds = match mining {
            Mining::Every(seconds) => seconds,
            Mining::OnDemand => 0,
        };
        self.rpc("evm_setIntervalMining", json!([seconds])).await?;
        self.rpc("evm_setAutomine", json!([mining == Mining::OnDemand]))
            .await?;
        self.mining = mining;
        Ok(())
    }

    /// The process, to look at or to stop under a node's feet.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A provider without keys.
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Any RPC call.
    ///
    /// # Errors
    /// When Anvil refuses it or does not answer.
    pub async fn rpc(&self, method: &'static str, params: serde_json::Value) -> Result<serde_json::Value> {
        let call = self.provider.raw_request(method.into(), params);
        tokio::time::timeout(PATIENCE, call)
            .await
            .with_context(|| format!("{method}: no answer within {PATIENCE:?}"))?
            .with_context(|| method.to_owned())
    }

    /// Makes blocks now.
    ///
    /// # Errors
    /// When Anvil does not.
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")]))
            .await
            .map(drop)
    }

    /// Replaces the newest `depth` blocks by empty ones; their transactions are gone.
    ///
    /// # Errors
    /// When Anvil refuses, as it does for more blocks than there are.
    pub async fn reorg(&self, depth: u64) -> Result<()> {
        self.rpc("anvil_reorg", json!([depth, []])).await.map(drop)
    }

    /// Puts the next block this many seconds further on.
    ///
    /// # Errors
    /// When Anvil refuses.
    pub async fn advance_time(&self, seconds: u64) -> Result<()> {
        self.rpc("evm_increaseTime", json!([seconds])).await.map(drop)
    }

    /// Height of the head.
    ///
    /// # Errors
    /// When Anvil does not answer.
    pub async fn head(&self) -> Result<u64> {
        let number = tokio::time::timeout(PATIENCE, self.provider.get_block_number());
        Ok(number.await.context("anvil does not answer")??)
    }

    /// Waits until block `number` is finalized, mining when blocks come on demand.
    ///
    /// # Errors
    /// When it takes longer than half a minute.
    pub async fn wait_final(&self, number: u64) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let finalized = self
                .provider
                .get_block_by_number(BlockNumberOrTag::Finalized)
                .await?;
            if finalized.is_some_and(|block| block.header.number >= number) {
                return Ok(());
            }
            match self.mining {
                Mining::OnDemand => self.mine(1).await?,
                Mining::Every(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            if Instant::now() > end {
                bail!("block {number} was not finalized within 30 s");
            }
        }
    }

    /// Writes the chain to a file, whole or not at all.
    ///
    /// # Errors
    /// When Anvil or the disk does not play along.
    pub async fn save(&self, file: &Path) -> Result<()> {
        let state: Bytes = serde_json::from_value(self.rpc("anvil_dumpState", json!([])).await?)?;
        let fresh = file.with_extension("new");
        tokio::fs::write(&fresh, &state).await?;
        tokio::fs::File::open(&fresh).await?.sync_all().await?;
        tokio::fs::rename(&fresh, file).await?;
        Ok(())
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(self) -> Result<()> {
        self.process.stop(Duration::from_secs(5)).await
    }

    /// Kills it, as a crash of the provider's machine would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }
}

/// Anvil dumps compressed and loads plain.
fn unpack(file: &Path) -> Result<PathBuf> {
    let plain = file.with_extension("plain.json");
    let packed = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut reader = flate2::read::GzDecoder::new(packed).take(MAX_STATE);
    let mut out = std::fs::File::create(&plain)?;
    std::io::copy(&mut reader, &mut out)
        .with_context(|| format!("{} is not a saved chain", file.display()))?;
    Ok(plain)
}
