//! One request for keys, from challenge to opened answer.

use crate::{
    Expected, Guest, Kms, KmsPin, RequestError,
    answer::{check_answer, check_keys},
    evidence::Described,
    session::Session,
};
use kms_keys::OpeningKey;
use kms_types::{DiskGeneration, InstanceSeed, KeyEpoch};
use kms_wire::{AppKeys, AppKeysResponse, ChallengeResponse, ReleaseTranscript};
use reqwest::Url;
use std::time::Duration;
use td_measure::Catalogue;
use td_quote::Td;

/// What to ask, and whom.
#[derive(Debug, Clone)]
pub struct RequestOptions {
    /// Address of a node, https.
    pub kms_url: Url,
    /// Who must answer there.
    pub pin: KmsPin,
    /// Who the KMS was in the epoch that is asked for, when that is not the epoch of `pin`: it signs the answer.
    pub older: Option<KmsPin>,
    /// The network the answer must come from.
    pub network: Expected,
    /// Catalogue of the OS image this TD booted.
    pub catalogue: Catalogue,
    /// The VMM's description of the VM.
    pub vm_config: String,
    /// Seed of the instance id; none for an app without.
    pub instance_seed: Option<InstanceSeed>,
    /// Epoch to ask for; the pin's when absent.
    pub key_epoch: Option<KeyEpoch>,
    /// Time for one call.
    pub timeout: Duration,
}

/// Keys, and what they came with.
pub struct Released {
    /// The keys in the clear.
    pub keys: AppKeys,
    /// The answer they were sealed in.
    pub response: AppKeysResponse,
    /// What the TD said it is.
    pub guest: Guest,
}

impl Released {
    /// Highest generation of the instance's disk that the KMS knows: what it signed, and what the app's owner finds in the log.
    pub const fn known_generation(&self) -> Option<DiskGeneration> {
        self.response.log.entry.disk_generation
    }
}

/// Asks the pinned KMS for this TD's keys.
///
/// # Errors
/// When the TD, the connection, the KMS or the answer gives a reason to have none.
pub async fn request_keys(options: &RequestOptions, td: &dyn Td) -> Result<Released, RequestError> {
    let guest = Guest::of(td, &options.catalogue)?;
    let kms = Kms {
        pin: options.pin.clone(),
        network: options.network,
        timeout: options.timeout,
    };
    let described = Described {
        vm_config: options.vm_config.clone(),
        instance_seed: options.instance_seed,
        key_epoch: options.key_epoch,
        disk_generation: None,
    };
    let of = options.older.as_ref().unwrap_or(&options.pin);
    keys_of(&options.kms_url, &kms, of, &guest, &described, td).await
}

/// Asks one node for keys of the epoch it answers under.
pub(crate) async fn keys_from(
    url: &Url,
    kms: &Kms,
    guest: &Guest,
    described: &Described,
    td: &dyn Td,
) -> Result<Released, RequestError> {
    keys_of(url, kms, &kms.pin, guest, described, td).await
}

/// Asks one node for keys of the epoch of `of`. It answers, and signs the log, as the KMS of its present epoch.
async fn keys_of(
    url: &Url,
    kms: &Kms,
    of: &KmsPin,
    guest: &Guest,
    described: &Described,
    td: &dyn Td,
) -> Result<Released, RequestError> {
    let session = Session::open(url, kms).await?;
    let key = OpeningKey::generate(&mut rand::rng())?;
    let described = Described {
        key_epoch: described.key_epoch.or(of.key_epoch),
        ..described.clone()
    };
    // The quote names the identity its keys come from: evidence for one epoch is none for another.
    let challenge = ChallengeResponse {
        kms_identity: of.kms_identity,
        ..session.challenge
    };
    let (evidence, report_data) = guest.evidence(td, &challenge, &key, &described)?;
    let response: AppKeysResponse = session.client.post("keys", "v1/app-keys", &evidence).await?;
    let signer = KmsPin {
        log_public_key: kms.pin.log_public_key,
        ..of.clone()
    };
    check_answer(&response, &report_data, guest, &signer, &kms.network)?;
    let info = ReleaseTranscript::info(&report_data);
    let keys = open(&response, &key, &info)?;
    check_keys(&keys, &response, guest, &signer)?;
    Ok(Released {
        keys,
        response,
        guest: guest.clone(),
    })
}

fn open(response: &AppKeysResponse, key: &OpeningKey, info: &[u8]) -> Result<AppKeys, RequestError> {
    let enc = response.enc.as_bytes();
    let enc = enc.try_into().map_err(|_| RequestError::Answer {
        what: "encapsulated key",
        expected: "32 bytes".to_owned(),
        actual: enc.len().to_string(),
    })?;
    let aad = response.decision.to_bytes();
    let plaintext = key.open(enc, info, &aad, response.ciphertext.as_bytes())?;
    // The parser's message could repeat a part of a secret.
    serde_json::from_slice(&plaintext).map_err(|error| RequestError::Answer {
        what: "sealed keys",
        expected: "the keys of an app".to_owned(),
        actual: format!("something else (at byte {})", error.column()),
    })
}
