//! One request for keys, from challenge to opened answer.

use crate::{
    Expected, Guest, KmsPin, RequestError,
    answer::{check_answer, check_keys},
    client::KmsClient,
    evidence::Described,
};
use kms_keys::OpeningKey;
use kms_types::{InstanceSeed, KeyEpoch};
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

/// Asks the pinned KMS for this TD's keys.
///
/// # Errors
/// When the TD, the connection, the KMS or the answer gives a reason to have none.
pub async fn request_keys(options: &RequestOptions, td: &dyn Td) -> Result<Released, RequestError> {
    let guest = Guest::of(td, &options.catalogue)?;
    let client = KmsClient::new(options.kms_url.clone(), options.pin.kms_identity, options.timeout)?;
    let challenge: ChallengeResponse = client
        .post("challenge", "v1/challenges", &serde_json::json!({}))
        .await?;
    // G3: evidence names the KMS it is meant for; a quote over another identity would be good at that other one.
    if challenge.kms_identity != options.pin.kms_identity {
        return Err(RequestError::Identity {
            at: "challenge",
            expected: options.pin.kms_identity.to_string(),
            actual: challenge.kms_identity.to_string(),
        });
    }
    let key = OpeningKey::generate(&mut rand::rng())?;
    let described = Described {
        vm_config: options.vm_config.clone(),
        instance_seed: options.instance_seed,
        key_epoch: options.key_epoch.or(options.pin.key_epoch),
    };
    let (evidence, report_data) = guest.evidence(td, &challenge, &key, &described)?;
    let response: AppKeysResponse = client.post("keys", "v1/app-keys", &evidence).await?;
    check_answer(&response, &report_data, &guest, &options.pin, &options.network)?;
    let info = ReleaseTranscript::info(&report_data);
    let keys = open(&response, &key, &info)?;
    check_keys(&keys, &response, &guest, &options.pin)?;
    Ok(Released {
        keys,
        response,
        guest,
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
