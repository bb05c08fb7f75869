//! The sealed answer. A release needs the position of its log entry, so none can be made before the log has it.

use crate::{Refusal, VerifiedEvidence};
use kms_keys::seal;
use kms_types::{AppId, Blob};
use kms_wire::{AppKeys, AppKeysResponse, Decision, LogPosition, ReleaseTranscript, SecretBytes};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Room for the keys in JSON: growing would leave copies behind.
const PLAINTEXT_ROOM: usize = 16 * 1024;

/// Derives the app's keys, seals them to the key inside the quote, signs the transcript.
///
/// # Errors
/// When the recipient's key is not one, or a key operation fails.
pub fn release<R: CryptoRng + ?Sized>(
    evidence: &VerifiedEvidence,
    decision: Decision,
    log: LogPosition,
    gateway_app_id: AppId,
    rng: &mut R,
) -> Result<AppKeysResponse, Refusal> {
    let plaintext = plaintext(evidence, gateway_app_id)?;
    // K1: the only way out of this function is through the seal.
    let sealed = seal(
        evidence.recipient(),
        &ReleaseTranscript::info(evidence.report_data()),
        &decision.to_bytes(),
        &plaintext,
        rng,
    )
    .map_err(|error| Refusal::Malformed {
        what: "hpke_public_key",
        expected: "an X25519 public key".to_owned(),
        actual: error.to_string(),
    })?;
    let too_long = |_| Refusal::Sealing { limit: 64 * 1024 };
    let mut answer = AppKeysResponse {
        enc: Blob::new(sealed.enc.to_vec()).map_err(too_long)?,
        ciphertext: Blob::new(sealed.ciphertext).map_err(too_long)?,
        key_epoch: evidence.keys().key_epoch(),
        decision,
        log,
        signature: Blob::default(),
    };
    let digest = ReleaseTranscript::digest(evidence.report_data(), &answer);
    answer.signature = Blob::new(evidence.keys().sign_prehash(&digest)?.to_vec()).map_err(too_long)?;
    Ok(answer)
}

fn plaintext(evidence: &VerifiedEvidence, gateway_app_id: AppId) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let info = &evidence.record().info;
    let secrets = evidence.keys().app_keys(&info.app_id, &info.instance_id)?;
    let keys = AppKeys {
        app_id: secrets.app_id,
        instance_id: secrets.instance_id,
        key_epoch: secrets.key_epoch,
        disk_key: SecretBytes::new(secrets.disk_key.into_box()),
        env_key: SecretBytes::new(secrets.env_key.into_box()),
        app_key: SecretBytes::new(secrets.app_key.into_box()),
        app_key_signature: Blob::new(secrets.app_key_signature.to_vec())
            .map_err(|_| Refusal::Sealing { limit: 65 })?,
        ca_certificates: secrets.ca_certificates,
        gateway_app_id,
    };
    // K4: one buffer that never grows and is wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(PLAINTEXT_ROOM));
    serde_json::to_writer(&mut *text, &keys).map_err(|_| Refusal::Sealing {
        limit: PLAINTEXT_ROOM,
    })?;
    Ok(text)
}
