//! The accounts of a development chain. Their keys are Anvil's, known to everyone and worth nothing elsewhere; all the same
//! they reach a command through a file of the owner's alone, as real ones would.

use alloy::{
    primitives::{B256, b256},
    signers::local::PrivateKeySigner,
};
use anyhow::{Context, Result};
use std::path::Path;

/// Who signs on a development chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Governs the network; deployed the contracts.
    NetworkOwner,
    /// May only restrict.
    Guardian,
    /// Owns apps.
    AppOwner,
    /// Has nothing to say.
    Stranger,
}

/// File of the network owner's key in a network's folder.
pub const NETWORK_OWNER_KEY: &str = "network-owner.key";
/// File of the app owner's key in a network's folder.
pub const APP_OWNER_KEY: &str = "app-owner.key";

impl Account {
    /// Its signer.
    ///
    /// # Errors
    /// Never: the keys are valid.
    pub fn signer(self) -> Result<PrivateKeySigner> {
        PrivateKeySigner::from_bytes(&self.key()).context("development account")
    }

    const fn key(self) -> B256 {
        match self {
            Self::NetworkOwner => b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
            Self::Guardian => b256!("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
            Self::AppOwner => b256!("0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
            Self::Stranger => b256!("0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
        }
    }
}

/// Writes the key files of the two owners.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write_keys(folder: &Path) -> Result<()> {
    for (name, account) in [
        (NETWORK_OWNER_KEY, Account::NetworkOwner),
        (APP_OWNER_KEY, Account::AppOwner),
    ] {
        crate::folder::write_private(&folder.join(name), account.key().to_string().as_bytes())?;
    }
    Ok(())
}
