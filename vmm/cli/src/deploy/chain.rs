//! The owner's side on-chain: the app's authority, and the compose hash it allows.

use crate::{
    app,
    cli::Deploy,
    connection::{Connection, Effect, Role},
    output::Output,
};
use alloy::{
    primitives::{Address, FixedBytes},
    signers::local::PrivateKeySigner,
};
use anyhow::Result;
use authority_contracts::abi::{AppAuthority as authority, KmsAuthority as kms};
use kms_types::{AppId, ChainAddress, ComposeHash};
use std::path::Path;

/// Who owns the app.
pub(super) struct Owner {
    at: Connection,
    key: PrivateKeySigner,
}

impl Owner {
    /// The owner's key and the chain.
    ///
    /// # Errors
    /// When the network does not answer or the key cannot be used.
    pub(super) async fn open(state: &Path, asked: &Deploy) -> Result<Self> {
        Ok(Self {
            at: Connection::open(state, &asked.target, Role::AppOwner).await?,
            key: crate::connection::owner_key(state, &asked.target)?,
        })
    }

    pub(super) fn address(&self) -> ChainAddress {
        ChainAddress::new(self.key.address().into_array())
    }

    pub(super) fn key(&self) -> &PrivateKeySigner {
        &self.key
    }

    /// Allows the document: in a new authority, or in the app's own.
    ///
    /// # Errors
    /// When the contract refuses.
    pub(super) async fn allow(&self, app: Option<AppId>, document: &str, output: &Output) -> Result<AppId> {
        let hash = FixedBytes(ComposeHash::of(document.as_bytes()).to_bytes());
        let Some(app) = app else {
            let call = kms::deployAndRegisterApp_1Call {
                _0: self.key.address(),
                _1: false,
                _2: true,
                _3: true,
                _4: FixedBytes::ZERO,
                _5: hash,
            };
            let mined = self
                .at
                .transact(output, "KmsAuthority", self.at.authority, &call, Effect::Grant)
                .await?;
            return app::deployed(&mined);
        };
        let to = ChainAddress::new(Address::from(app.to_bytes()).into_array());
        let call = authority::allowedComposeHashesCall { composeHash: hash };
        if !self.at.ask(to, &call).await? {
            let call = authority::addComposeHashCall { composeHash: hash };
            self.at
                .transact(output, "AppAuthority", to, &call, Effect::Grant)
                .await?;
        }
        Ok(app)
    }
}
