//! The chain a command speaks to and the key it signs with: named on the command line, or the development network's.

use crate::{
    cli::Target,
    exit::{Refused, Unreachable},
    output::Output,
};
use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use anvil_tests::{Description, Mined, action};
use anyhow::{Context, Result, bail};
use authority_contracts::deploy::{self, Sender};
use kms_types::ChainAddress;
use std::{
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Whose key a development network lends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Who governs the network.
    NetworkOwner,
    /// Who owns apps.
    AppOwner,
    /// Nobody: the command only asks.
    Reader,
}

/// A chain, a network on it, and a key.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Sends transactions.
    pub sender: Sender,
    /// The network's KmsAuthority.
    pub authority: ChainAddress,
    /// The development network, if it is one.
    pub dev: Option<Description>,
    state: PathBuf,
    wait: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When no network is named or runs, or the key cannot be used.
    pub(crate) async fn open(state: &Path, target: &Target, role: Role) -> Result<Self> {
        let dev = match (&target.rpc, target.authority) {
            (Some(_), Some(_)) => None,
            (None, None) => Some(crate::dev::running(state)?),
            _ => bail!("--rpc and --authority go together: an authority exists on one chain"),
        };
        let url = target
            .rpc
            .clone()
            .or_else(|| dev.as_ref().map(|dev| dev.rpc_url.clone()));
        let authority = target
            .authority
            .or_else(|| dev.as_ref().map(|dev| dev.kms_authority));
        let (Some(url), Some(authority)) = (url, authority) else {
            bail!("no network is named")
        };
        let key = key(state, target, role, dev.is_some())?;
        let sender = deploy::connect(&url, key).await?;
        let asked = tokio::time::timeout(
            std::time::Duration::from_secs(10),
            sender.provider().get_chain_id(),
        )
        .await;
        match asked {
            Ok(Ok(_)) => Ok(Self {
                sender,
                authority,
                dev,
                state: state.to_owned(),
                wait: !target.no_wait,
            }),
            // The endpoint is not repeated: it may hold a credential.
            Ok(Err(_)) | Err(_) => Err(Unreachable(if target.rpc.is_some() {
                "the chain does not answer: expected a JSON-RPC endpoint at --rpc (or KEDGE_RPC)".to_owned()
            } else {
                "the development network's chain does not answer: see `kedge dev status`".to_owned()
            })
            .into()),
        }
    }

    /// Sends a call, says what it does, waits for the block and, for grants, for finality.
    ///
    /// # Errors
    /// When the contract refuses it or no receipt comes.
    pub(crate) async fn transact<C: SolCall + fmt::Debug>(
        &self,
        output: &Output,
        contract: &'static str,
        address: ChainAddress,
        call: &C,
        effect: Effect,
    ) -> Result<Mined> {
        self.require_contract(address).await?;
        output.sending(
            &action::Action::of(contract, address, call),
            self.sender.address(),
        );
        let mined = action::send(&self.sender, contract, address, call).await?;
        self.settle(output, mined, effect).await
    }

    /// Anything can be sent to an address without code, and does nothing.
    ///
    /// # Errors
    /// [`Refused`] when there is no code.
    pub(crate) async fn require_contract(&self, address: ChainAddress) -> Result<()> {
        let asked = self
            .sender
            .provider()
            .get_code_at(Address::from(address.to_bytes()))
            .await;
        if asked.context("the chain does not answer")?.is_empty() {
            return Err(Refused(format!(
                "there is no contract at {address}: is it the right address, on this chain?"
            ))
            .into());
        }
        Ok(())
    }

    /// Reports a mined transaction and waits for its finality where that matters.
    ///
    /// # Errors
    /// When the transaction is lost to a reorganisation.
    pub(crate) async fn settle(&self, output: &Output, mined: Mined, effect: Effect) -> Result<Mined> {
        output.mined(&mined);
        if self.dev.is_some() {
            crate::dev::wait_saved(&self.state, mined.block.number).await?;
        }
        let wait = self.wait && effect == Effect::Grant;
        if wait {
            output.waiting("waiting until the block is final: a grant releases keys only then");
            action::wait_final(&self.sender, mined.block).await?;
        }
        output.settled(&mined, effect, wait);
        Ok(mined)
    }

    /// Asks a view function.
    ///
    /// # Errors
    /// When there is no such contract or the chain does not answer.
    pub(crate) async fn ask<C: SolCall>(&self, address: ChainAddress, call: &C) -> Result<C::Return> {
        Ok(self.sender.ask(C::SIGNATURE, address, call).await?)
    }
}

/// What a transaction does to what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Allows more: counts once final.
    Grant,
    /// Allows less: counts at once.
    Restriction,
}

/// The app owner's key, for what is signed off the chain.
///
/// # Errors
/// When no network runs, or the key cannot be used.
pub(crate) fn owner_key(state: &Path, target: &Target) -> Result<PrivateKeySigner> {
    key(state, target, Role::AppOwner, target.rpc.is_none())
}

fn key(state: &Path, target: &Target, role: Role, dev: bool) -> Result<PrivateKeySigner> {
    if let Some(name) = &target.key_env {
        // Neither the name nor the cause is repeated: the one may be the key itself in the wrong place, and the other
        // quotes a value that is not text.
        let text = std::env::var(name).map_err(|_| {
            anyhow::anyhow!(
                "--key-env: expected the name of an environment variable that holds the key, got none such"
            )
        })?;
        return parse(&text, &format!("environment variable {name}"));
    }
    if let Some(file) = &target.key_file {
        return from_file(file);
    }
    if role == Role::Reader {
        return Ok(PrivateKeySigner::random());
    }
    if !dev {
        return Err(Refused("no key: name one with --key-file or --key-env".to_owned()).into());
    }
    let name = match role {
        Role::NetworkOwner => anvil_tests::NETWORK_OWNER_KEY,
        Role::AppOwner | Role::Reader => anvil_tests::APP_OWNER_KEY,
    };
    from_file(&state.join(name))
}

fn from_file(file: &Path) -> Result<PrivateKeySigner> {
    let mode = std::fs::metadata(file)
        .with_context(|| format!("key file {}", file.display()))?
        .permissions()
        .mode();
    // K4: a key others could read is no longer the owner's alone.
    if mode & 0o077 != 0 {
        bail!(
            "key file {}: expected mode 0600, got {:04o}",
            file.display(),
            mode & 0o7777
        );
    }
    parse(
        &std::fs::read_to_string(file)?,
        &format!("key file {}", file.display()),
    )
}

fn parse(text: &str, origin: &str) -> Result<PrivateKeySigner> {
    // The text is not quoted: it may be a mistyped key.
    let key: B256 = text
        .trim()
        .parse()
        .map_err(|_| anyhow::anyhow!("{origin}: expected 32 bytes in hex"))?;
    PrivateKeySigner::from_bytes(&key).map_err(|_| anyhow::anyhow!("{origin}: not a secp256k1 key"))
}
