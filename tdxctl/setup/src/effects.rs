//! Everything a stage can do to the world, and what it gets back. One implementation is real ([`Guest`](crate::Guest)); tests
//! have others that stop at every one of these calls.

use crate::{HostDocument, Stage, StageError};
use guest_disk::Known;
use guest_files::{GuestKeys, HandOver, KeyProviderInfo, KmsAccess, Storage};
use kms_types::{AppId, DiskGeneration, EventLogEntry, InstanceId, UnixTime};
use zeroize::Zeroizing;

/// What is told of a stage.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// It begins.
    Running,
    /// It is done, with this result.
    Done(&'a str),
    /// It gave up.
    Failed(&'a StageError),
}

/// The keys of one boot.
pub struct BootKeys {
    /// Of the disk.
    pub disk: Zeroizing<[u8; 64]>,
    /// Of the environment; none when nobody could have encrypted to it.
    pub env: Option<Zeroizing<[u8; 32]>>,
    /// What the agent gets.
    pub agent: GuestKeys,
    /// Payload of the `key-provider` event.
    pub provider: KeyProviderInfo,
    /// How to reach the KMS again.
    pub kms: Option<KmsAccess>,
    /// Highest generation of the instance's disk that the KMS knows.
    pub known_generation: Option<DiskGeneration>,
}

/// Where keys are to come from.
pub enum KeyRequest<'a> {
    /// The KMS of the document, whose identity must be `pinned` where the measured document pins one.
    Kms {
        /// Addresses, identity, seed, catalogue.
        document: &'a HostDocument,
    },
    /// The provider on this host.
    Local {
        /// Its address, and everything else.
        document: &'a HostDocument,
    },
    /// Nowhere.
    None {
        /// The app.
        app_id: AppId,
        /// The instance.
        instance_id: InstanceId,
    },
}

/// Which disk is to be opened, and with what.
pub struct StorageRequest<'a> {
    /// Whose disk it is.
    pub app_id: AppId,
    /// Which instance's.
    pub instance_id: InstanceId,
    /// Its key.
    pub key: &'a [u8; 64],
    /// Keys are fresh: nothing of an earlier boot can be opened, nothing of this one will be.
    pub ephemeral: bool,
    /// What the disk's generation is held against.
    pub known: Known,
}

/// What this machine is, as far as requirements ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The platform.
    pub platform: Platform,
    /// Version of the OS image; none where there is no image, as under sim-process.
    pub os_version: Option<String>,
    /// Data that outlives a boot is kept encrypted.
    pub encrypted: bool,
}

/// What gives the quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Intel's hardware.
    Tdx,
    /// A simulated TD.
    Simulated,
}

impl Platform {
    /// As `requirements.platforms` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tdx => "tdx",
            Self::Simulated => "sim",
        }
    }
}

/// The world of a boot.
pub trait Effects {
    /// What this machine is.
    fn machine(&self) -> Machine;
    /// `--td`, for the agent.
    fn td_spec(&self) -> String;
    /// The time.
    fn now(&self) -> UnixTime;
    /// Tells how far the boot is. A report that cannot be delivered stops nothing.
    fn report(&mut self, stage: Stage, told: Told<'_>);
    /// The events of RTMR3.
    ///
    /// # Errors
    /// When the TD does not say.
    fn event_log(&mut self) -> Result<Vec<EventLogEntry>, StageError>;
    /// Records an event. It cannot be taken back.
    ///
    /// # Errors
    /// When the TD does not.
    fn extend(&mut self, name: &str, payload: &[u8]) -> Result<(), StageError>;
    /// Runs a measured script of the document.
    ///
    /// # Errors
    /// When it may not run here, or fails.
    fn run_script(&mut self, script: &str) -> Result<(), StageError>;
    /// Proof that this TD's registers are of the catalogue.
    ///
    /// # Errors
    /// When they are not, or the TD makes no quote.
    fn image_proof(&mut self, document: &HostDocument) -> Result<Vec<u8>, StageError>;
    /// Keys.
    ///
    /// # Errors
    /// When the provider says no, cannot be asked, or is not the one that is meant.
    fn keys(&mut self, request: &KeyRequest<'_>) -> Result<BootKeys, StageError>;
    /// Opens the disk.
    ///
    /// # Errors
    /// When it is another's, or cannot be opened. Nothing on it is lost by that.
    fn open_storage(&mut self, request: &StorageRequest<'_>) -> Result<Storage, StageError>;
    /// A small file on the opened disk; none when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_stored(&mut self, name: &str, max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, StageError>;
    /// Replaces a small file on the opened disk, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write_stored(&mut self, name: &str, contents: &[u8]) -> Result<(), StageError>;
    /// Brings up what the app's network needs, and says what there is.
    ///
    /// # Errors
    /// When the network cannot be brought up.
    fn network(&mut self, document: &HostDocument) -> Result<String, StageError>;
    /// Takes away what an earlier boot left in the folder of the boot.
    ///
    /// # Errors
    /// When it cannot be taken away.
    fn forget_earlier_boot(&mut self) -> Result<(), StageError>;
    /// The hand-over of an earlier run of this boot, whose log is complete; put in its place if only that was missing.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn earlier_handover(&mut self) -> Result<Option<HandOver>, StageError>;
    /// Leaves everything for the agent, the hand-over beside its place.
    ///
    /// # Errors
    /// When it cannot be written.
    fn hand_over(
        &mut self,
        app_compose: &[u8],
        env: &[u8],
        keys: &GuestKeys,
        handover: &HandOver,
    ) -> Result<(), StageError>;
    /// Puts the hand-over in its place: the agent may start.
    ///
    /// # Errors
    /// When it cannot be put there.
    fn publish(&mut self) -> Result<(), StageError>;
}
