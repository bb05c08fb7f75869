//! Events that change policy, with the names and the fields the contracts give them. What is not one of these, or not its
//! exact encoding, is not read: the caller keeps it as it came.

use crate::abi::{AppAuthority, KmsAuthority};
use alloy_primitives::{Address, B256, Bytes, FixedBytes};
use alloy_sol_types::SolEvent;

/// Most characters of one value that are kept.
pub const MAX_EVENT_VALUE: usize = 1024;

/// A decoded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEvent {
    /// Name in the ABI.
    pub name: &'static str,
    /// Field names and values in the order of the ABI: hex with `0x`, decimal numbers, `true` or `false`, text.
    pub fields: Vec<(&'static str, String)>,
    /// The app it is about, where the KMS authority says something of one.
    pub app: Option<Address>,
}

trait Field {
    fn shown(&self) -> String;
    fn address(&self) -> Option<Address> {
        None
    }
}

macro_rules! plain {
    ($($kind:ty),+) => {$(
        impl Field for $kind {
            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
plain!(bool, u8, u16, u32, u64);

impl Field for String {
    fn shown(&self) -> String {
        bounded(self)
    }
}
impl Field for Bytes {
    fn shown(&self) -> String {
        bounded(&self.to_string())
    }
}
impl<const N: usize> Field for FixedBytes<N> {
    fn shown(&self) -> String {
        self.to_string()
    }
}
impl Field for Address {
    fn shown(&self) -> String {
        format!("{self:#x}")
    }
    fn address(&self) -> Option<Address> {
        Some(*self)
    }
}

// An owner pays for the length of a text once; whoever lists it would pay every time.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX_EVENT_VALUE) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX_EVENT_VALUE).chain(['…']).collect(),
    }
}

macro_rules! events {
    ($known:ident, $decode:ident, $contract:ident { $($event:ident { $($field:ident),* },)+ }) => {
        /// Names and first topics of the contract's events.
        pub const $known: &[(&str, B256)] = &[
            $((stringify!($event), <$contract::$event as SolEvent>::SIGNATURE_HASH),)+
        ];

        fn $decode(topics: &[B256], data: &[u8]) -> Option<PolicyEvent> {
            let topic = topics.first()?;
            $(if *topic == <$contract::$event as SolEvent>::SIGNATURE_HASH {
                let event =
                    <$contract::$event as SolEvent>::decode_raw_log_validate(topics.iter().copied(), data).ok()?;
                let _ = &event;
                return Some(PolicyEvent {
                    name: stringify!($event),
                    fields: vec![$((stringify!($field), event.$field.shown())),*],
                    app: subject(&[$((stringify!($field), event.$field.address())),*]),
                });
            })+
            None
        }
    };
}

/// The app an event of the KMS authority names.
fn subject(fields: &[(&'static str, Option<Address>)]) -> Option<Address> {
    fields
        .iter()
        .find(|(name, _)| *name == "appId")
        .and_then(|(_, address)| *address)
}

events!(KMS_EVENTS, kms, KmsAuthority {
    AdvisoryAccepted { advisoryId, accepted },
    AdvisoryDenied { advisoryId, denied },
    AppDeployedViaFactory { appId, deployer },
    AppImplementationSet { implementation },
    AppRegistered { appId },
    AppUnregistered { appId },
    AttestationRootAdded { root },
    AttestationRootRemoved { root },
    FmspcAdded { fmspc },
    FmspcRemoved { fmspc },
    GatewayAppIdSet { gatewayAppId },
    GracePeriodDaysSet { numberOfDays },
    GuardianSet { guardian },
    Initialized { version },
    KeyEpochRecorded { epoch, k256Pubkey, caSpkiHash, hpkeKey },
    KmsAggregatedMrAdded { mrAggregated },
    KmsAggregatedMrRemoved { mrAggregated },
    KmsAppIdSet { kmsAppId },
    KmsDeviceAdded { deviceId },
    KmsDeviceRemoved { deviceId },
    KmsInfoSet { k256Pubkey },
    LogAnchored { treeSize, root, node },
    MeasurementExpires { measurement, validUntil },
    MinKeyEpochSet { epoch },
    MinTcbEvaluationDataNumberSet { number },
    MinTdxModuleSvnSet { svn },
    MrSeamAdded { mrSeam },
    MrSeamRemoved { mrSeam },
    NodeOnboarded { source, target, epoch },
    OsImageHashAdded { osImageHash },
    OsImageHashRemoved { osImageHash },
    OwnershipTransferStarted { previousOwner, newOwner },
    OwnershipTransferred { previousOwner, newOwner },
    PlatformAdded { deviceId },
    PlatformRemoved { deviceId },
    ReleasePausedSet { paused },
    RestrictionLifted { list },
    TcbStatusAllowed { status },
    TcbStatusDisallowed { status },
    Upgraded { implementation },
    UpgradesDisabled {},
});

events!(APP_EVENTS, app, AppAuthority {
    AllowAnyDeviceSet { allowAny },
    ComposeHashAdded { composeHash },
    ComposeHashAnnounced { composeHash, notBefore, validUntil },
    ComposeHashRemoved { composeHash },
    DeviceAdded { deviceId },
    DeviceRemoved { deviceId },
    GuardianSet { guardian },
    Initialized { version },
    NoticePeriodSet { period, effectiveAt },
    OsImageHashAdded { osImageHash },
    OsImageHashRemoved { osImageHash },
    OsImageRestrictionLifted {},
    OwnershipTransferStarted { previousOwner, newOwner },
    OwnershipTransferred { previousOwner, newOwner },
    RequireTcbUpToDateSet { requireUpToDate },
    UpgradeAnnounced { implementation, notBefore },
    Upgraded { implementation },
    UpgradesDisabled {},
});

/// Reads an event of a `KmsAuthority`.
pub fn decode_kms_event(topics: &[B256], data: &[u8]) -> Option<PolicyEvent> {
    kms(topics, data)
}

/// Reads an event of an `AppAuthority`.
pub fn decode_app_event(topics: &[B256], data: &[u8]) -> Option<PolicyEvent> {
    app(topics, data)
}
