//! What a simulated guest records while it boots, and the file that tells the `soft-td` command how to launch one.
//!
//! The boot file is JSON:
//! ```json
//! {
//!   "measurement": {"image": {"name": "demo", "shape": "small"}},
//!   "mr_config_id": "0x01…48 bytes",
//!   "quote_version": "v4",
//!   "events": [{"event": "app-id", "payload_hex": "…20 bytes"}]
//! }
//! ```
//! `measurement` is one of `{"image": {name, shape}}` (a simulated image), `{"catalogue": {path, index}}` (a leaf of a
//! `catalogue.json`) and `{"registers": {mrtd, rtmr0, rtmr1, rtmr2}}`. The other fields may be absent: MRCONFIGID zero,
//! version 4 (`v4`, `v5td10`, `v5td15`), no events. Unknown fields are refused.

use crate::{QuoteVersion, SimImage, SoftPlatform, SoftTd, SoftTdError, TdConfig, files::read_bounded};
use kms_types::{
    AppId, Blob, ComposeHash, HostConfigHash, InstanceId, InstanceSeed, MAX_EVENT_PAYLOAD, OsMeasurement,
    TdConfigId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use td_measure::{Catalogue, MAX_CATALOGUE_JSON};
use td_quote::{MAX_EVENT_LOG, Td};

/// How to launch a TD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootFile {
    /// Its registers.
    pub measurement: MeasurementSource,
    /// MRCONFIGID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mr_config_id: Option<TdConfigId>,
    /// Version of its quotes.
    #[serde(default)]
    pub quote_version: QuoteVersion,
    /// Events it has recorded by the time it is reachable.
    #[serde(default)]
    pub events: Vec<BootEvent>,
}

/// Where registers come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MeasurementSource {
    /// A simulated image.
    Image {
        /// Its name.
        name: String,
        /// VM shape.
        shape: String,
    },
    /// A leaf of a catalogue.
    Catalogue {
        /// File, relative to the boot file.
        path: PathBuf,
        /// Leaf index.
        index: usize,
    },
    /// The registers themselves.
    Registers(OsMeasurement),
}

/// One runtime event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootEvent {
    /// Its name.
    pub event: String,
    /// Its payload.
    #[serde(default)]
    pub payload_hex: Blob<MAX_EVENT_PAYLOAD>,
}

impl BootFile {
    /// Reads a boot file.
    ///
    /// # Errors
    /// When it is too long or not a boot file.
    pub fn read(path: &Path) -> Result<Self, SoftTdError> {
        let text = read_bounded(path, 4 * MAX_EVENT_LOG)?;
        serde_json::from_slice(&text).map_err(|source| SoftTdError::BootFile {
            path: path.display().to_string(),
            source,
        })
    }

    /// Launches the TD and records its events. Relative paths start at `folder`.
    ///
    /// # Errors
    /// When there are no such registers, or an event is refused.
    pub fn launch(&self, platform: &SoftPlatform, folder: &Path) -> Result<SoftTd, SoftTdError> {
        let mut config = TdConfig::new(self.measurement.registers(folder)?);
        config.mr_config_id = self.mr_config_id.unwrap_or(TdConfigId::ZERO);
        config.format.version = self.quote_version;
        let td = platform.launch(config);
        for event in &self.events {
            td.extend(&event.event, event.payload_hex.as_bytes())?;
        }
        Ok(td)
    }
}

impl MeasurementSource {
    fn registers(&self, folder: &Path) -> Result<OsMeasurement, SoftTdError> {
        match self {
            Self::Registers(registers) => Ok(*registers),
            Self::Image { name, shape } => SimImage::new(name)?.measurement(shape),
            Self::Catalogue { path, index } => {
                let catalogue = Catalogue::from_json(&read_bounded(&folder.join(path), MAX_CATALOGUE_JSON)?)?;
                let measurements = catalogue.measurements();
                measurements
                    .get(*index)
                    .copied()
                    .ok_or_else(|| SoftTdError::NoMeasurement {
                        expected: format!("0 to {}", measurements.len() - 1),
                        actual: index.to_string(),
                    })
            }
        }
    }
}

/// An app as a guest measures it while booting.
#[derive(Debug, Clone)]
pub struct AppBoot {
    /// The app.
    pub app_id: AppId,
    /// Its compose document.
    pub compose_hash: ComposeHash,
    /// Seed of its instance id; none for an app without.
    pub instance_seed: Option<InstanceSeed>,
    /// Hash of the host-supplied inputs that nothing else measures.
    pub host_config: HostConfigHash,
}

impl AppBoot {
    /// Events in their order up to `boot-mr-done`, where a guest asks for its keys.
    ///
    /// # Errors
    /// Never with these sizes; the event type checks them.
    pub fn events(&self) -> Result<Vec<BootEvent>, SoftTdError> {
        let no_gpu = Sha256::digest(b"");
        let instance = self
            .instance_seed
            .map(|seed| InstanceId::derive(&seed, &self.app_id).to_bytes());
        let events: [(&str, &[u8]); 7] = [
            ("system-preparing", &[]),
            ("app-id", self.app_id.as_ref()),
            ("compose-hash", self.compose_hash.as_ref()),
            ("gpu-policy-hash", &no_gpu),
            ("instance-id", instance.as_ref().map_or(&[], |id| id.as_slice())),
            ("host-config", self.host_config.as_ref()),
            ("boot-mr-done", &[]),
        ];
        events
            .into_iter()
            .map(|(event, payload)| BootEvent::new(event, payload))
            .collect()
    }

    /// MRCONFIGID as a VMM sets it that binds the compose document: 0x01 ‖ compose hash ‖ 15 zero bytes.
    pub fn mr_config_id(&self) -> TdConfigId {
        let mut id = [0; 48];
        let bound = std::iter::once(1).chain(self.compose_hash.to_bytes());
        for (to, from) in id.iter_mut().zip(bound) {
            *to = from;
        }
        TdConfigId::new(id)
    }

    /// A TD of `measurement` that has booted this app up to `boot-mr-done`, with MRCONFIGID bound.
    ///
    /// # Errors
    /// When an event is refused.
    pub fn launch(&self, platform: &SoftPlatform, measurement: OsMeasurement) -> Result<SoftTd, SoftTdError> {
        let file = BootFile {
            measurement: MeasurementSource::Registers(measurement),
            mr_config_id: Some(self.mr_config_id()),
            quote_version: QuoteVersion::V4,
            events: self.events()?,
        };
        file.launch(platform, Path::new(""))
    }
}

/// Records what a guest records once it has its keys: `key-provider`, `storage-fs`, `system-ready`.
///
/// # Errors
/// When the TD refuses an event.
pub fn finish_boot(td: &dyn Td, key_provider: &[u8]) -> Result<(), SoftTdError> {
    td.extend("key-provider", key_provider)?;
    td.extend("storage-fs", b"ext4")?;
    td.extend("system-ready", &[])?;
    Ok(())
}

impl BootEvent {
    /// An event with its payload.
    ///
    /// # Errors
    /// When the payload is above the bound of events.
    pub fn new(event: &str, payload: &[u8]) -> Result<Self, SoftTdError> {
        let payload_hex = Blob::new(payload.to_vec()).map_err(td_quote::TdError::from)?;
        Ok(Self {
            event: event.to_owned(),
            payload_hex,
        })
    }
}
