//! What an app's owner signs about a sealed environment: EIP-712 typed data, so that a wallet shows it field by field.
//!
//! Signatures are r ‖ s ‖ v with low s and v of 0 or 1; every other form is refused, so that one statement has one signature text.

use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use kms_types::{AppId, ChainAddress, ChainId, ComposeHash};
use sha3::{Digest, Keccak256};

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 65;

const DOMAIN_TYPE: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const NAME: &[u8] = b"Kedge environment";
const VERSION: &[u8] = b"2";
const MESSAGE_TYPE: &[u8] =
    b"Environment(address app,bytes32 composeHash,uint64 version,bytes32 ciphertextHash)";

/// Why a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Another length.
    #[error("signature: expected {SIGNATURE_LEN} bytes, got {actual}")]
    Length {
        /// What came.
        actual: usize,
    },
    /// Not r ‖ s ‖ v in its one form.
    #[error("signature: expected r and s in range, low s and v of 0 or 1; v is {v}")]
    Form {
        /// The last byte.
        v: u8,
    },
    /// The key gave none.
    #[error("signature: expected one, got none from the signer")]
    Signing,
}

fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    parts
        .iter()
        .fold(Keccak256::new(), |hash, part| hash.chain_update(part))
        .finalize()
        .into()
}

/// A value of at most 32 bytes as the ABI has it: zeros, then the value.
fn word(value: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().rev().zip(value.iter().rev()) {
        *to = *from;
    }
    out
}

/// keccak256(0x1901 ‖ domain separator ‖ struct hash). The domain's contract is the app's authority, whose address is the app id.
pub fn environment_digest(
    chain: ChainId,
    app: &AppId,
    compose: &ComposeHash,
    version: u64,
    ciphertext_hash: &[u8; 32],
) -> [u8; 32] {
    let app = word(app.as_ref());
    let domain = keccak(&[
        &keccak(&[DOMAIN_TYPE]),
        &keccak(&[NAME]),
        &keccak(&[VERSION]),
        &word(&chain.0.to_be_bytes()),
        &app,
    ]);
    let message = keccak(&[
        &keccak(&[MESSAGE_TYPE]),
        &app,
        compose.as_ref(),
        &word(&version.to_be_bytes()),
        ciphertext_hash,
    ]);
    keccak(&[&[0x19, 0x01], &domain, &message])
}

/// keccak256 of the bytes, for the field `ciphertextHash`.
pub(crate) fn ciphertext_hash(enc: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    keccak(&[enc, ciphertext])
}

pub(crate) fn sign(key: &SigningKey, digest: &[u8; 32]) -> Result<[u8; SIGNATURE_LEN], SignatureError> {
    let (signature, recovery) = key
        .sign_prehash_recoverable(digest)
        .map_err(|_| SignatureError::Signing)?;
    if recovery.is_x_reduced() {
        return Err(SignatureError::Signing);
    }
    let mut out = [0; SIGNATURE_LEN];
    for (to, from) in out
        .iter_mut()
        .zip(signature.to_bytes().iter().copied().chain([recovery.to_byte()]))
    {
        *to = from;
    }
    Ok(out)
}

/// Brings a wallet's v of 27 or 28 to 0 or 1 and checks the form.
pub(crate) fn canonical(signature: &[u8]) -> Result<[u8; SIGNATURE_LEN], SignatureError> {
    let mut out: [u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| SignatureError::Length {
        actual: signature.len(),
    })?;
    if let Some(v @ (27 | 28)) = out.last_mut() {
        *v -= 27;
    }
    parse(&out)?;
    Ok(out)
}

fn parse(signature: &[u8; SIGNATURE_LEN]) -> Result<(Signature, RecoveryId), SignatureError> {
    let [rs @ .., v] = signature;
    let form = || SignatureError::Form { v: *v };
    let recovery = RecoveryId::from_byte(*v)
        .filter(|id| !id.is_x_reduced())
        .ok_or_else(form)?;
    let parsed = Signature::from_slice(rs).map_err(|_| form())?;
    // The other half of the s values signs the same and would be a second text for one statement.
    if parsed.normalize_s().is_some() {
        return Err(form());
    }
    Ok((parsed, recovery))
}

/// Account whose key signed the digest.
pub(crate) fn recover(
    digest: &[u8; 32],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<ChainAddress, SignatureError> {
    let (parsed, recovery) = parse(signature)?;
    let [.., v] = *signature;
    let key = VerifyingKey::recover_from_prehash(digest, &parsed, recovery)
        .map_err(|_| SignatureError::Form { v })?;
    Ok(address(&key))
}

/// Last 20 bytes of keccak256 over the point without its first byte.
pub(crate) fn address(key: &VerifyingKey) -> ChainAddress {
    let point = key.to_encoded_point(false);
    let hash = keccak(&[point.as_bytes().split_first().map_or(&[], |(_, xy)| xy)]);
    let mut out = [0; 20];
    for (to, from) in out.iter_mut().rev().zip(hash.iter().rev()) {
        *to = *from;
    }
    ChainAddress::new(out)
}
