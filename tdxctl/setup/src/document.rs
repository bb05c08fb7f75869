//! The host document: everything the host hands a guest, as one JSON document. It decides nothing by being there: docs/protocol.md
//! §13 says for every field what makes it harmless.
//!
//! Refuses documents above the bound, deeper than 16 levels, with a key twice or unknown, or with values beyond theirs.

use crate::StageError;
use app_manifest::{AppManifest, MAX_CIPHERTEXT, top_level_keys};
use guest_files::Registries;
use kms_types::{AppId, ChainAddress, ChainId, InstanceSeed};
use kms_wire::{EpochIdentity, MAX_VM_CONFIG};
use serde::Deserialize;
use serde_json::value::RawValue;
use td_measure::Catalogue;

/// Bytes of a host document.
pub const MAX_DOCUMENT: usize = 4 << 20;
/// Addresses of one list.
const MAX_ADDRESSES: usize = 16;
/// Bytes of one address.
const MAX_ADDRESS: usize = 2048;
/// Registries with mirrors, or asked without TLS.
const MAX_REGISTRIES: usize = 64;
/// Bytes of an encrypted environment with its envelope.
const MAX_ENV: usize = MAX_CIPHERTEXT + 4096;
const ADVICE: &str = "repair the document the host hands over; nothing was measured yet";

/// An environment as the host carries it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedEnv {
    /// 1 or 2 (docs/protocol.md §11).
    pub version: u8,
    /// The bytes.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
}

/// Which network the keys are decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainFacts {
    /// Its chain.
    pub chain_id: ChainId,
    /// Its authority contract.
    pub contract: ChainAddress,
}

/// The document as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    app_compose: String,
    #[serde(default)]
    app_id: Option<AppId>,
    #[serde(default)]
    instance_seed: Option<InstanceSeed>,
    #[serde(default)]
    encrypted_env: Option<EncryptedEnv>,
    #[serde(default)]
    kms_urls: Vec<String>,
    #[serde(default)]
    kms_identity: Option<EpochIdentity>,
    #[serde(default)]
    chain: Option<ChainFacts>,
    #[serde(default)]
    local_key_provider: Option<String>,
    #[serde(default)]
    vm_config: String,
    catalogue: Box<RawValue>,
    #[serde(default)]
    registries: Registries,
}

/// A document that passed every check of its form.
#[derive(Debug, Clone)]
pub struct HostDocument {
    /// app-compose.json, byte for byte.
    pub app_compose: Vec<u8>,
    /// What it says.
    pub manifest: AppManifest,
    /// The app; in a network without a contract it follows from the compose hash.
    pub app_id: AppId,
    /// Seed of the instance id; none for an app without instance ids.
    pub instance_seed: Option<InstanceSeed>,
    /// The app's environment.
    pub encrypted_env: Option<EncryptedEnv>,
    /// Nodes of the KMS.
    pub kms_urls: Vec<String>,
    /// Who the KMS is.
    pub kms_identity: Option<EpochIdentity>,
    /// Which network decides.
    pub chain: Option<ChainFacts>,
    /// Address of a key provider on this host.
    pub local_key_provider: Option<String>,
    /// The VMM's description of the VM.
    pub vm_config: String,
    /// Catalogue of the OS image.
    pub catalogue: Catalogue,
    /// Where images come from.
    pub registries: Registries,
}

impl HostDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// [`FailureKind::Malformed`](crate::FailureKind::Malformed), with everything that is expected.
    pub fn parse(document: &[u8]) -> Result<Self, StageError> {
        // G1: one bounded byte string, read once and strictly; what two parsers could read in two ways is no document.
        if document.len() > MAX_DOCUMENT {
            return Err(bad(
                "document",
                format!("at most {MAX_DOCUMENT} bytes"),
                document.len(),
            ));
        }
        top_level_keys(document).map_err(|error| StageError::malformed(error.to_string(), ADVICE))?;
        let written: Written = serde_json::from_slice(document)
            .map_err(|error| StageError::malformed(error.to_string(), ADVICE))?;
        written.bounds()?;
        written.read()
    }
}

impl Written {
    fn bounds(&self) -> Result<(), StageError> {
        if self.version != 1 {
            return Err(bad("version", "1", self.version));
        }
        most("vm_config", MAX_VM_CONFIG, self.vm_config.len())?;
        most("kms_urls", MAX_ADDRESSES, self.kms_urls.len())?;
        let registries = &self.registries;
        most("registries.mirrors", MAX_REGISTRIES, registries.mirrors.len())?;
        most("registries.insecure", MAX_REGISTRIES, registries.insecure.len())?;
        for mirrors in registries.mirrors.values() {
            most("registries.mirrors", MAX_ADDRESSES, mirrors.len())?;
        }
        let texts = self
            .kms_urls
            .iter()
            .chain(&self.local_key_provider)
            .chain(registries.mirrors.keys())
            .chain(registries.mirrors.values().flatten())
            .chain(&registries.insecure);
        for text in texts {
            most("address", MAX_ADDRESS, text.len())?;
        }
        match &self.encrypted_env {
            Some(env) if !matches!(env.version, 1 | 2) => {
                Err(bad("encrypted_env.version", "1 or 2", env.version))
            }
            Some(env) => most("encrypted_env.data", MAX_ENV, env.data.len()),
            None => Ok(()),
        }
    }

    fn read(self) -> Result<HostDocument, StageError> {
        let app_compose = self.app_compose.into_bytes();
        let manifest = AppManifest::parse(&app_compose)
            .map_err(|error| StageError::malformed(error.to_string(), "repair the app's compose document"))?;
        let catalogue = Catalogue::from_json(self.catalogue.get().as_bytes())
            .map_err(|error| StageError::malformed(crate::error::chain(&error), ADVICE))?;
        let instance_seed = match (manifest.compose().no_instance_id, self.instance_seed) {
            (true, Some(_)) => {
                return Err(bad("instance_seed", "none: the app has no instance ids", "one"));
            }
            (false, None) => {
                return Err(bad(
                    "instance_seed",
                    "20 bytes, kept with the instance's disk",
                    "none",
                ));
            }
            (_, seed) => seed,
        };
        // Without a contract there is no address to be the app's; its document names it, as dstack has it.
        let own = manifest.hash().to_bytes();
        let derived = own.get(..AppId::LEN).and_then(|id| AppId::try_from(id).ok());
        let app_id = self
            .app_id
            .or(derived)
            .ok_or_else(|| bad("app_id", "20 bytes", "none"))?;
        Ok(HostDocument {
            app_compose,
            manifest,
            app_id,
            instance_seed,
            encrypted_env: self.encrypted_env,
            kms_urls: self.kms_urls,
            kms_identity: self.kms_identity,
            chain: self.chain,
            local_key_provider: self.local_key_provider,
            vm_config: self.vm_config,
            catalogue,
            registries: self.registries,
        })
    }
}

fn most(what: &'static str, max: usize, actual: usize) -> Result<(), StageError> {
    if actual <= max {
        return Ok(());
    }
    Err(bad(what, format!("at most {max}"), actual))
}

fn bad(what: &str, expected: impl ToString, actual: impl ToString) -> StageError {
    StageError::malformed(
        format!(
            "host document: {what}: expected {}, got {}",
            expected.to_string(),
            actual.to_string()
        ),
        ADVICE,
    )
}
