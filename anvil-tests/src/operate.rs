//! What owners, guardians and hosts do in a network: transactions, apps, a platform that changes, TDs that boot.

use crate::{Account, AppSpec, Mined, Network, action};
use alloy::sol_types::SolCall;
use anyhow::Result;
use authority_contracts::deploy::{self, AppParams, Sender};
use kms_types::{AppId, ChainAddress, ComposeHash};
use soft_td::{PlatformConfig, SimImage, SoftPlatform, SoftTd, TdConfig};
use std::{fmt, sync::Arc};
use td_quote::Td;

impl Network {
    /// The software platform as it stands now.
    ///
    /// # Errors
    /// When a thread panicked over it.
    pub fn platform(&self) -> Result<SoftPlatform> {
        Ok(self
            .platform
            .read()
            .map_err(|_| anyhow::anyhow!("platform poisoned"))?
            .clone())
    }

    /// Changes the platform or what is published about it; TDs already launched keep what they were launched on.
    ///
    /// # Errors
    /// When the change makes no platform.
    pub fn change_platform(&self, change: impl FnOnce(&mut PlatformConfig)) -> Result<()> {
        let mut platform = self
            .platform
            .write()
            .map_err(|_| anyhow::anyhow!("platform poisoned"))?;
        let changed = platform.changed(change)?;
        *platform = changed;
        Ok(())
    }

    /// An account that sends transactions.
    ///
    /// # Errors
    /// When the chain cannot be reached.
    pub async fn sender(&self, account: Account) -> Result<Sender> {
        Ok(deploy::connect(&self.anvil.http_url(), account.signer()?).await?)
    }

    /// Calls the network's authority in a transaction.
    ///
    /// # Errors
    /// `DeployError::Refused` with the contract's error when it would revert.
    pub async fn govern<C: SolCall + fmt::Debug>(&self, account: Account, call: &C) -> Result<Mined> {
        let sender = self.sender(account).await?;
        Ok(action::send(&sender, "KmsAuthority", self.authority(), call).await?)
    }

    /// Calls an app's authority in a transaction.
    ///
    /// # Errors
    /// `DeployError::Refused` with the contract's error when it would revert.
    pub async fn manage<C: SolCall + fmt::Debug>(
        &self,
        account: Account,
        app: AppId,
        call: &C,
    ) -> Result<Mined> {
        let sender = self.sender(account).await?;
        Ok(action::send(&sender, "AppAuthority", ChainAddress::new(app.to_bytes()), call).await?)
    }

    /// Deploys and registers an app that belongs to the app owner.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn create_app(&self, params: AppParams) -> Result<AppId> {
        let sender = self.sender(Account::AppOwner).await?;
        Ok(deploy::deploy_app(&sender, self.authority(), &params)
            .await?
            .app_id)
    }

    /// Deploys an app that allows one compose document on any device.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn create_app_for(&self, compose: &[u8]) -> Result<AppId> {
        let params = AppParams {
            allow_any_device: true,
            compose_hash: Some(ComposeHash::of(compose)),
            ..AppParams::default()
        };
        self.create_app(params).await
    }

    /// Boots a TD on the platform as it stands now, up to its key request.
    ///
    /// # Errors
    /// When the TD refuses an event or has no such shape.
    pub fn launch(&self, spec: &AppSpec) -> Result<Arc<SoftTd>> {
        self.launch_with(spec, |_| {})
    }

    /// Boots a TD whose launch configuration was changed.
    ///
    /// # Errors
    /// When the TD refuses an event or has no such shape.
    pub fn launch_with(&self, spec: &AppSpec, change: impl FnOnce(&mut TdConfig)) -> Result<Arc<SoftTd>> {
        let mut config = TdConfig::new(SimImage::new(&spec.image)?.measurement(&spec.shape)?);
        if spec.bind_config_id {
            config.mr_config_id = spec.boot.mr_config_id();
        }
        change(&mut config);
        let td = self.platform()?.launch(config);
        for event in spec.boot.events()? {
            td.extend(&event.event, event.payload_hex.as_bytes())?;
        }
        Ok(Arc::new(td))
    }
}
