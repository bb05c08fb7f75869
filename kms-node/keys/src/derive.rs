//! HKDF-SHA256 with length-prefixed parts, and reduction of 48 bytes to a scalar.
//!
//! Refuses a scalar of zero and an output longer than HKDF gives.

use crate::secret::Secret;
use hkdf::Hkdf;
use k256::elliptic_curve::{CurveArithmetic, NonZeroScalar, SecretKey, consts::U48, hash2curve::FromOkm};
use kms_types::{KeyEpoch, length_prefixed};
use sha2::Sha256;
use zeroize::Zeroize;

/// Salt of every derivation.
pub(crate) const SALT: &[u8] = b"kedge/kdf/v1";
/// Bytes reduced to one scalar: 128 bits more than the group order, so the bias is below 2^-128 (RFC 9380 §5.1).
pub(crate) const WIDE: usize = 48;

/// Why a key cannot be derived or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// HKDF gives at most 255 blocks.
    #[error("derivation of {label}: expected at most {max} bytes, got a request for {actual}", max = 255 * 32)]
    Length {
        /// What was derived.
        label: &'static str,
        /// What was asked for.
        actual: usize,
    },
    /// The scalar is zero: chance 2^-256, so more likely a fault.
    #[error("derivation of {label}: expected a scalar from 1 to n-1, got zero")]
    ZeroScalar {
        /// What was derived.
        label: &'static str,
    },
    /// Bytes that should be a secret scalar are not one.
    #[error("{what}: expected a scalar from 1 to n-1, got another value")]
    NotAScalar {
        /// Which key.
        what: &'static str,
    },
    /// The certificate of a CA could not be made.
    #[error("certificate of {label}: expected one, got none from the encoder")]
    Certificate {
        /// Which CA.
        label: &'static str,
    },
    /// A signature could not be made.
    #[error("signature by {what}: expected one, got none from the signer")]
    Signing {
        /// Which key.
        what: &'static str,
    },
}

/// `out` ← HKDF-SHA256(ikm, [`SALT`], LP(label) ‖ LP(u32 epoch) ‖ LP(part)…).
pub(crate) fn expand(
    ikm: &[u8],
    epoch: KeyEpoch,
    label: &'static str,
    parts: &[&[u8]],
    out: &mut [u8],
) -> Result<(), KeyError> {
    let epoch = epoch.0.to_be_bytes();
    let info = length_prefixed(
        [label.as_bytes(), epoch.as_slice()]
            .into_iter()
            .chain(parts.iter().copied()),
    );
    let actual = out.len();
    Hkdf::<Sha256>::new(Some(SALT), ikm)
        .expand(&info, out)
        .map_err(|_| KeyError::Length { label, actual })
}

/// 48 big-endian bytes modulo the order of the group.
pub(crate) fn scalar<C>(label: &'static str, wide: &Secret<WIDE>) -> Result<SecretKey<C>, KeyError>
where
    C: CurveArithmetic,
    C::Scalar: FromOkm<Length = U48> + Zeroize,
{
    let mut scalar = C::Scalar::from_okm(wide.expose().into());
    let nonzero = Option::<NonZeroScalar<C>>::from(NonZeroScalar::new(scalar));
    scalar.zeroize();
    nonzero.map(SecretKey::from).ok_or(KeyError::ZeroScalar { label })
}
