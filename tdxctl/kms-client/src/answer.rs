//! What must hold of a sealed answer before its keys are used: who signed it, what it was decided for, whose keys they are.

use crate::pem;
use crate::{Guest, KmsPin, RequestError, pin::identity_of};
use k256::ecdsa::SigningKey;
use kms_keys::{verify_app_key, verify_log, verify_prehash};
use kms_types::{ChainAddress, ChainId, KeyEpoch, ProvenBlock, ReportData};
use kms_wire::{
    AppKeys, AppKeysResponse, Decision, LogPosition, ReleaseKind, ReleaseTranscript, SignedTreeHead,
};
use std::fmt::Display;

/// The network the answer must come from, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// Its chain.
    pub chain_id: Option<ChainId>,
    /// Its authority contract.
    pub contract: Option<ChainAddress>,
}

/// Checks everything about an answer that is outside the seal.
pub(crate) fn check_answer(
    answer: &AppKeysResponse,
    report_data: &ReportData,
    guest: &Guest,
    pin: &KmsPin,
    network: &Expected,
) -> Result<(), RequestError> {
    let digest = ReleaseTranscript::digest(report_data, answer);
    // G3: anyone can seal keys of his own making to the key in this request; only the KMS can sign over the request.
    verify_prehash(&pin.k256_public_key, &digest, answer.signature.as_bytes())
        .map_err(signature("signature of the KMS"))?;
    if let Some(epoch) = pin.key_epoch {
        // G3: keys of another epoch are other keys; a disk made with them would be lost, or opened by whoever kept an old root.
        equal("key epoch", epoch, answer.key_epoch)?;
    }
    check_decision(&answer.decision, network)?;
    let (log, head) = (&answer.log, &answer.decision.head);
    check_log(log, ReleaseKind::AppKeys, answer.key_epoch, head, guest, pin)
}

pub(crate) fn check_decision(decision: &Decision, network: &Expected) -> Result<(), RequestError> {
    // G3: the same KMS code may serve a test network; an allowance there says nothing here.
    if let Some(chain_id) = network.chain_id {
        equal("chain id", chain_id, decision.chain_id)?;
    }
    if let Some(contract) = network.contract {
        equal("authority contract", contract, decision.contract)?;
    }
    let (head, finalized) = (&decision.head, &decision.finalized);
    let ordered = finalized.number < head.number && finalized.timestamp <= head.timestamp;
    // G3: a grant needs both blocks; a finalized block after the head, or two blocks at one height, is no chain.
    if ordered || finalized == head {
        return Ok(());
    }
    Err(RequestError::Answer {
        what: "finalized block",
        expected: format!("the head {} or one before it", head.block_ref()),
        actual: finalized.block_ref().to_string(),
    })
}

pub(crate) fn check_log(
    log: &LogPosition,
    kind: ReleaseKind,
    epoch: KeyEpoch,
    head: &ProvenBlock,
    guest: &Guest,
    pin: &KmsPin,
) -> Result<(), RequestError> {
    let entry = &log.entry;
    // G3: the entry is what the app's owner will find in the log; one about another app would hide this release from him.
    equal_debug("kind of the log entry", &kind, &entry.kind)?;
    equal_debug("app of the log entry", &guest.app_id, &Some(entry.app_id))?;
    equal_debug(
        "compose hash of the log entry",
        &guest.compose_hash,
        &Some(entry.compose_hash),
    )?;
    equal("instance of the log entry", guest.instance_id, entry.instance_id)?;
    equal("epoch of the log entry", epoch, entry.key_epoch)?;
    equal("block of the log entry", head.block_ref(), entry.block)?;
    let head = &log.tree_head;
    if log.index >= head.size {
        return Err(RequestError::Answer {
            what: "tree head",
            expected: format!("more than {} leaves", log.index),
            actual: head.size.to_string(),
        });
    }
    let Some(key) = &pin.log_public_key else {
        return Ok(());
    };
    let root =
        crate::pin::sized("tree head", head.root.as_bytes()).map_err(|error| RequestError::Answer {
            what: "tree head",
            expected: "a root of 32 bytes".to_owned(),
            actual: error.to_string(),
        })?;
    // G3: the head is what the owner compares with the one anchored on-chain; one nobody signed commits nobody.
    let signed = SignedTreeHead::signed_bytes(head.size, &root, head.time);
    verify_log(key, &signed, head.signature.as_bytes()).map_err(signature("signature of the tree head"))
}

/// Checks that the keys inside the seal are those of this guest.
pub(crate) fn check_keys(
    keys: &AppKeys,
    answer: &AppKeysResponse,
    guest: &Guest,
    pin: &KmsPin,
) -> Result<(), RequestError> {
    // G3: keys of another app or instance would encrypt this disk for somebody else.
    equal_debug("app of the keys", &guest.app_id, &Some(keys.app_id))?;
    equal("instance of the keys", guest.instance_id, keys.instance_id)?;
    equal("epoch of the keys", answer.key_epoch, keys.key_epoch)?;
    let public = app_public_key(keys)?;
    // G3: without it no verifier of the app's signatures could tell that the key is the KMS's.
    verify_app_key(
        &pin.k256_public_key,
        &keys.app_id,
        &public,
        keys.app_key_signature.as_bytes(),
    )
    .map_err(signature("signature over the app key"))?;
    let chain = pem::certificates(&keys.ca_certificates).unwrap_or_default();
    let root = chain.last().and_then(identity_of);
    // G3: peers of the app are checked against this chain; it must end in the KMS that was meant.
    equal_debug("CA of the app's certificates", &Some(pin.kms_identity), &root)
}

/// Compressed public key of the app's key.
///
/// # Errors
/// When it is no scalar.
pub fn app_public_key(keys: &AppKeys) -> Result<[u8; 33], RequestError> {
    let not_one = |what: &str| RequestError::Answer {
        what: "app key",
        expected: "a secp256k1 scalar".to_owned(),
        actual: what.to_owned(),
    };
    // k256 wipes the scalar when the key is dropped.
    let key = SigningKey::from_slice(keys.app_key.expose()).map_err(|_| not_one("other bytes"))?;
    let point = key.verifying_key().to_encoded_point(true);
    point
        .as_bytes()
        .try_into()
        .map_err(|_| not_one("a point without compressed form"))
}

pub(crate) fn signature(what: &'static str) -> impl FnOnce(kms_keys::SignatureError) -> RequestError {
    move |source| RequestError::Signature { what, source }
}

pub(crate) fn equal<T: PartialEq + Display>(
    what: &'static str,
    expected: T,
    actual: T,
) -> Result<(), RequestError> {
    if expected == actual {
        return Ok(());
    }
    Err(RequestError::Answer {
        what,
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

pub(crate) fn equal_debug<T: PartialEq + std::fmt::Debug>(
    what: &'static str,
    expected: &T,
    actual: &T,
) -> Result<(), RequestError> {
    if expected == actual {
        return Ok(());
    }
    Err(RequestError::Answer {
        what,
        expected: format!("{expected:?}"),
        actual: format!("{actual:?}"),
    })
}
