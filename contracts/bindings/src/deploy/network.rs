//! One network: implementations, proxy, first policy.

use super::{AppParams, DeployError, DeployedApp, Sender, deploy_app};
use crate::{
    EpochIdentity,
    abi::{AppAuthority, ERC1967Proxy, KmsAuthority},
    tcb_status_code,
};
use alloy_primitives::{Address, FixedBytes};
use alloy_sol_types::{SolCall, SolConstructor};
use kms_types::{
    AttestationRoot, ChainAddress, DeviceId, Fmspc, KeyEpoch, MrAggregated, MrSeam, OsImageHash, TcbStatus,
};

/// First policy of a network. The default allows nothing: it names no attestation root.
#[derive(Debug, Clone, Default)]
pub struct NetworkParams {
    /// Roots quotes may lead to.
    pub attestation_roots: Vec<AttestationRoot>,
    /// Allowed OS images.
    pub os_images: Vec<OsImageHash>,
    /// TCB statuses allowed beside `UpToDate`.
    pub tcb_statuses: Vec<TcbStatus>,
    /// Advisories tolerated on platforms that are not `UpToDate`.
    pub accepted_advisories: Vec<String>,
    /// Advisories refused on any platform.
    pub denied_advisories: Vec<String>,
    /// Least evaluation data number of collateral.
    pub min_tcb_evaluation_data_number: u32,
    /// Least security version of the TDX module.
    pub min_tdx_module_svn: u8,
    /// Days an out-of-date platform is accepted after the date of its TCB level, where its status is allowed.
    pub grace_period_days: u16,
    /// The TDX modules allowed; empty: any.
    pub mr_seams: Vec<MrSeam>,
    /// The platform families allowed; empty: any.
    pub fmspcs: Vec<Fmspc>,
    /// The platforms allowed; empty: any.
    pub platforms: Vec<DeviceId>,
    /// Aggregated measurements of KMS nodes, for callers of version 1.
    pub kms_aggregated_mrs: Vec<MrAggregated>,
    /// Devices of KMS nodes, for callers of version 1.
    pub kms_devices: Vec<DeviceId>,
    /// The app whose instances are the network's KMS nodes.
    pub kms_app: Option<AppParams>,
    /// Public identity of the KMS in epoch 1, where it is known already.
    pub identity: Option<EpochIdentity>,
    /// The gateway's app id; empty: none yet.
    pub gateway_app_id: String,
    /// The account that may only restrict.
    pub guardian: Option<ChainAddress>,
    /// The owner to be, in production a timelock; it becomes so by accepting. None: the sender stays owner.
    pub owner: Option<ChainAddress>,
}

/// A network that was deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeployedNetwork {
    /// The network's authority (the proxy).
    pub kms_authority: ChainAddress,
    /// The implementation behind it.
    pub kms_implementation: ChainAddress,
    /// The implementation behind every app the factory deploys.
    pub app_implementation: ChainAddress,
    /// The app of the KMS nodes, where one was asked for.
    pub kms_app: Option<DeployedApp>,
}

/// Deploys a network with its first policy.
///
/// # Errors
/// The step that failed; what was sent before it stays.
pub async fn deploy_network(sender: &Sender, params: &NetworkParams) -> Result<DeployedNetwork, DeployError> {
    let app_implementation = sender
        .deploy("deploy AppAuthority", &AppAuthority::BYTECODE, Vec::new())
        .await?;
    let kms_implementation = sender
        .deploy("deploy KmsAuthority", &KmsAuthority::BYTECODE, Vec::new())
        .await?;
    let initialize = KmsAuthority::initializeCall {
        initialOwner: Address::from(sender.address().to_bytes()),
        appImplementation_: Address::from(app_implementation.to_bytes()),
    };
    let arguments = ERC1967Proxy::constructorCall {
        implementation: Address::from(kms_implementation.to_bytes()),
        _data: initialize.abi_encode().into(),
    };
    let kms_authority = sender
        .deploy("deploy proxy", &ERC1967Proxy::BYTECODE, arguments.abi_encode())
        .await?;
    let authority = Authority {
        sender,
        address: kms_authority,
    };
    authority.platforms(params).await?;
    authority.tcb(params).await?;
    authority.measurements(params).await?;
    let kms_app = match &params.kms_app {
        Some(app) => Some(authority.kms_app(app).await?),
        None => None,
    };
    authority.identities(params).await?;
    authority.powers(params).await?;
    Ok(DeployedNetwork {
        kms_authority,
        kms_implementation,
        app_implementation,
        kms_app,
    })
}

/// Begins a key epoch.
///
/// # Errors
/// When the sender is not the owner or the epoch is not the next one.
pub async fn record_key_epoch(
    sender: &Sender,
    kms_authority: ChainAddress,
    epoch: KeyEpoch,
    identity: &EpochIdentity,
) -> Result<(), DeployError> {
    let call = KmsAuthority::recordKeyEpochCall {
        epoch: epoch.0,
        identity: identity.into(),
    };
    sender.send("record key epoch", kms_authority, &call).await?;
    Ok(())
}

struct Authority<'a> {
    sender: &'a Sender,
    address: ChainAddress,
}

impl Authority<'_> {
    async fn send<C: SolCall>(&self, step: &'static str, call: C) -> Result<(), DeployError> {
        self.sender.send(step, self.address, &call).await.map(|_| ())
    }

    async fn platforms(&self, params: &NetworkParams) -> Result<(), DeployError> {
        for root in &params.attestation_roots {
            let call = KmsAuthority::addAttestationRootCall {
                root: FixedBytes(root.to_bytes()),
            };
            self.send("allow attestation root", call).await?;
        }
        for seam in &params.mr_seams {
            let call = KmsAuthority::addMrSeamCall {
                mrSeam: seam.to_bytes().to_vec().into(),
            };
            self.send("allow TDX module", call).await?;
        }
        for fmspc in &params.fmspcs {
            let call = KmsAuthority::addFmspcCall {
                fmspc: FixedBytes(fmspc.to_bytes()),
            };
            self.send("allow FMSPC", call).await?;
        }
        for device in &params.platforms {
            let call = KmsAuthority::addPlatformCall {
                deviceId: FixedBytes(device.to_bytes()),
            };
            self.send("allow platform", call).await?;
        }
        Ok(())
    }

    async fn tcb(&self, params: &NetworkParams) -> Result<(), DeployError> {
        for status in &params.tcb_statuses {
            let call = KmsAuthority::allowTcbStatusCall {
                status: tcb_status_code(*status),
            };
            self.send("allow TCB status", call).await?;
        }
        for id in &params.accepted_advisories {
            let call = KmsAuthority::setAdvisoryAcceptedCall {
                advisoryId: id.clone(),
                accepted: true,
            };
            self.send("accept advisory", call).await?;
        }
        for id in &params.denied_advisories {
            let call = KmsAuthority::setAdvisoryDeniedCall {
                advisoryId: id.clone(),
                denied: true,
            };
            self.send("deny advisory", call).await?;
        }
        if params.min_tcb_evaluation_data_number > 0 {
            let number = params.min_tcb_evaluation_data_number;
            let call = KmsAuthority::setMinTcbEvaluationDataNumberCall { number };
            self.send("set least evaluation data number", call).await?;
        }
        if params.min_tdx_module_svn > 0 {
            let call = KmsAuthority::setMinTdxModuleSvnCall {
                svn: params.min_tdx_module_svn,
            };
            self.send("set least TDX module SVN", call).await?;
        }
        if params.grace_period_days > 0 {
            let call = KmsAuthority::setGracePeriodDaysCall {
                numberOfDays: params.grace_period_days,
            };
            self.send("set grace period", call).await?;
        }
        Ok(())
    }

    async fn measurements(&self, params: &NetworkParams) -> Result<(), DeployError> {
        for image in &params.os_images {
            let call = KmsAuthority::addOsImageHashCall {
                osImageHash: FixedBytes(image.to_bytes()),
            };
            self.send("allow OS image", call).await?;
        }
        for measurement in &params.kms_aggregated_mrs {
            let mr = FixedBytes(measurement.to_bytes());
            self.send(
                "allow KMS measurement",
                KmsAuthority::addKmsAggregatedMrCall { mrAggregated: mr },
            )
            .await?;
        }
        for device in &params.kms_devices {
            let call = KmsAuthority::addKmsDeviceCall {
                deviceId: FixedBytes(device.to_bytes()),
            };
            self.send("allow KMS device", call).await?;
        }
        Ok(())
    }

    async fn kms_app(&self, params: &AppParams) -> Result<DeployedApp, DeployError> {
        let app = deploy_app(self.sender, self.address, params).await?;
        let call = KmsAuthority::setKmsAppIdCall {
            appId: Address::from(app.app_id.to_bytes()),
        };
        self.send("name KMS app", call).await?;
        Ok(app)
    }

    async fn identities(&self, params: &NetworkParams) -> Result<(), DeployError> {
        if let Some(identity) = &params.identity {
            record_key_epoch(self.sender, self.address, KeyEpoch::FIRST, identity).await?;
        }
        if !params.gateway_app_id.is_empty() {
            let call = KmsAuthority::setGatewayAppIdCall {
                appId: params.gateway_app_id.clone(),
            };
            self.send("name gateway app", call).await?;
        }
        Ok(())
    }

    async fn powers(&self, params: &NetworkParams) -> Result<(), DeployError> {
        if let Some(guardian) = params.guardian {
            let call = KmsAuthority::setGuardianCall {
                newGuardian: Address::from(guardian.to_bytes()),
            };
            self.send("name guardian", call).await?;
        }
        if let Some(owner) = params.owner {
            let call = KmsAuthority::transferOwnershipCall {
                newOwner: Address::from(owner.to_bytes()),
            };
            self.send("offer ownership", call).await?;
        }
        Ok(())
    }
}
