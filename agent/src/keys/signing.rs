//! Signatures over an app's data, and their verification. Another length, a key off the curve and, for prehashed data, anything
//! but 32 bytes is refused; a signature that does not match is an answer, not an error.

use super::{Derived, SignAlgorithm};
use ed25519_dalek::{
    Signature as Ed25519Signature, Signer, SigningKey as Ed25519Key, VerifyingKey as Ed25519Public,
};
use k256::ecdsa::{
    Signature as K256Signature, SigningKey as K256Key, VerifyingKey as K256Public,
    signature::{Verifier, hazmat::PrehashSigner, hazmat::PrehashVerifier},
};

/// Why data was not signed, or a signature not judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// Prehashed data is no hash.
    #[error("data: expected a hash of 32 bytes for secp256k1_prehashed, got {actual} bytes")]
    NotAHash {
        /// Bytes that came.
        actual: usize,
    },
    /// Not a public key of the algorithm.
    #[error("public_key: expected {expected}, got {actual} other bytes")]
    PublicKey {
        /// What it should be.
        expected: &'static str,
        /// Bytes that came.
        actual: usize,
    },
    /// Not a signature of the algorithm.
    #[error("signature: expected {expected}, got {actual} other bytes")]
    Signature {
        /// What it should be.
        expected: &'static str,
        /// Bytes that came.
        actual: usize,
    },
    /// The key cannot sign, which is a fault.
    #[error("key: expected one that signs, got one that does not")]
    Key,
}

fn check_prehashed(algorithm: SignAlgorithm, data: &[u8]) -> Result<(), SigningError> {
    // A shorter hash would be padded and a longer one cut: two messages with one signature.
    if algorithm == SignAlgorithm::Secp256k1Prehashed && data.len() != 32 {
        return Err(SigningError::NotAHash { actual: data.len() });
    }
    Ok(())
}

/// Signs data with a derived key: 64 bytes, r ‖ s or RFC 8032.
///
/// # Errors
/// When prehashed data is no hash, or the key is of another kind.
pub fn sign(algorithm: SignAlgorithm, key: &Derived, data: &[u8]) -> Result<[u8; 64], SigningError> {
    check_prehashed(algorithm, data)?;
    let secret = key.secret.expose();
    let ecdsa = || K256Key::from_slice(secret).map_err(|_| SigningError::Key);
    let signature: K256Signature = match algorithm {
        SignAlgorithm::Ed25519 => return Ok(Ed25519Key::from_bytes(secret).sign(data).to_bytes()),
        SignAlgorithm::Secp256k1 => ecdsa()?.try_sign(data).map_err(|_| SigningError::Key)?,
        SignAlgorithm::Secp256k1Prehashed => ecdsa()?.sign_prehash(data).map_err(|_| SigningError::Key)?,
    };
    Ok(signature.to_bytes().into())
}

/// True when `signature` is over `data` by the holder of `public_key`.
///
/// # Errors
/// When key, signature or prehashed data have another form.
pub fn verify(
    algorithm: SignAlgorithm,
    data: &[u8],
    signature: &[u8],
    public_key: &[u8],
) -> Result<bool, SigningError> {
    check_prehashed(algorithm, data)?;
    let refused_key = |expected| SigningError::PublicKey {
        expected,
        actual: public_key.len(),
    };
    let refused_signature = |expected| SigningError::Signature {
        expected,
        actual: signature.len(),
    };
    if algorithm == SignAlgorithm::Ed25519 {
        let refused = || refused_key("32 bytes, a point of Ed25519");
        let bytes: &[u8; 32] = public_key.try_into().map_err(|_| refused())?;
        let key = Ed25519Public::from_bytes(bytes).map_err(|_| refused())?;
        let signature =
            Ed25519Signature::from_slice(signature).map_err(|_| refused_signature("64 bytes (RFC 8032)"))?;
        // Small-order keys verify signatures nobody made.
        return Ok(key.verify_strict(data, &signature).is_ok());
    }
    let key = K256Public::from_sec1_bytes(public_key)
        .map_err(|_| refused_key("a point of secp256k1 in SEC1 form"))?;
    let signature = K256Signature::from_slice(signature)
        .map_err(|_| refused_signature("64 bytes, r and s of secp256k1"))?;
    Ok(match algorithm {
        SignAlgorithm::Secp256k1Prehashed => key.verify_prehash(data, &signature).is_ok(),
        _ => key.verify(data, &signature).is_ok(),
    })
}
