//! One app's authority, through the network's factory.

use super::{DeployError, Sender, sender::event};
use crate::abi::{AppAuthority, KmsAuthority};
use alloy_primitives::{Address, FixedBytes};
use kms_types::{AppId, ChainAddress, ComposeHash, DeviceId, OsImageHash};

/// What an app's authority starts with. The default allows nothing and demands `UpToDate`.
#[derive(Debug, Clone)]
pub struct AppParams {
    /// Owner; the sender where none is named.
    pub owner: Option<ChainAddress>,
    /// Locks the implementation from the start.
    pub disable_upgrades: bool,
    /// Accepts only TCB status `UpToDate`, whatever the network tolerates.
    pub require_tcb_up_to_date: bool,
    /// Accepts devices that are not listed.
    pub allow_any_device: bool,
    /// First device.
    pub device: Option<DeviceId>,
    /// First compose hash.
    pub compose_hash: Option<ComposeHash>,
    /// Seconds between announcing a compose hash and its effect; set only when the sender is the owner.
    pub notice_period: u64,
    /// The app's own list of OS images; set only when the sender is the owner. Empty: those of the network.
    pub os_images: Vec<OsImageHash>,
}

impl Default for AppParams {
    fn default() -> Self {
        Self {
            owner: None,
            disable_upgrades: false,
            require_tcb_up_to_date: true,
            allow_any_device: false,
            device: None,
            compose_hash: None,
            notice_period: 0,
            os_images: Vec::new(),
        }
    }
}

/// An app that was deployed and registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeployedApp {
    /// Its id, which is the address of its authority.
    pub app_id: AppId,
    /// Block of the deployment.
    pub block: u64,
}

impl DeployedApp {
    /// Address of the app's authority.
    pub fn authority(&self) -> ChainAddress {
        ChainAddress::new(self.app_id.to_bytes())
    }
}

/// Deploys and registers an app.
///
/// # Errors
/// The step that failed.
pub async fn deploy_app(
    sender: &Sender,
    kms_authority: ChainAddress,
    params: &AppParams,
) -> Result<DeployedApp, DeployError> {
    let step = "deploy and register app";
    let owner = params.owner.unwrap_or(sender.address());
    let call = KmsAuthority::deployAndRegisterApp_1Call {
        _0: Address::from(owner.to_bytes()),
        _1: params.disable_upgrades,
        _2: params.require_tcb_up_to_date,
        _3: params.allow_any_device,
        _4: FixedBytes(params.device.unwrap_or(DeviceId::ZERO).to_bytes()),
        _5: FixedBytes(params.compose_hash.unwrap_or(ComposeHash::ZERO).to_bytes()),
    };
    let receipt = sender.send(step, kms_authority, &call).await?;
    let deployed = event::<KmsAuthority::AppDeployedViaFactory>(step, &receipt, kms_authority)?;
    let block = receipt.block_number.ok_or(DeployError::Receipt {
        step,
        expected: "a block",
    })?;
    let app = DeployedApp {
        app_id: AppId::new(deployed.appId.into_array()),
        block,
    };
    if owner == sender.address() {
        restrict(sender, &app, params).await?;
    }
    Ok(app)
}

async fn restrict(sender: &Sender, app: &DeployedApp, params: &AppParams) -> Result<(), DeployError> {
    for image in &params.os_images {
        let call = AppAuthority::addOsImageHashCall {
            osImageHash: FixedBytes(image.to_bytes()),
        };
        sender
            .send("restrict app to OS image", app.authority(), &call)
            .await?;
    }
    if params.notice_period > 0 {
        let call = AppAuthority::setNoticePeriodCall {
            period: params.notice_period,
        };
        sender.send("set notice period", app.authority(), &call).await?;
    }
    Ok(())
}
