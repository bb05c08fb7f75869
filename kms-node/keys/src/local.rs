//! Keys of one host without a chain: a root for one TD from a sealing secret, and the sealed box it travels in.
//!
//! The box is libsodium's `crypto_box_seal` (X25519, XSalsa20-Poly1305, nonce by BLAKE2b), as dstack's local key provider
//! protocol has it. Refuses a box of another length and one that was made for another key.

use crate::{
    derive::{self, KeyError},
    secret::{EpochRoot, Secret},
};
use crypto_box::{PublicKey, SecretKey, aead};
use kms_types::{AttestationRoot, OsMeasurement, Rtmr};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Label of the derivation; SPEC.md §1.
const LABEL: &str = "local/td-root";

/// The TD a local root belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalIdentity {
    /// Whose hardware vouched for it: a simulated TD never gets the key of a real one.
    pub attestation_root: AttestationRoot,
    /// MRTD, RTMR0 to 2.
    pub os: OsMeasurement,
    /// RTMR3 as it stands before the `key-provider` event.
    pub rtmr3: Rtmr,
}

/// Why a sealed box cannot be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealedBoxError {
    /// Made for another key, or changed.
    #[error("sealed box: expected one made for this request's key, got another or a changed one")]
    Other,
    /// Not of this length.
    #[error("sealed box: expected a secret of 32 bytes in it, got {actual}")]
    Length {
        /// What came.
        actual: usize,
    },
}

/// The root of one TD.
///
/// # Errors
/// Never in practice: HKDF gives 32 bytes.
pub fn local_root(secret: &EpochRoot, td: &LocalIdentity) -> Result<Secret<32>, KeyError> {
    let mut root = Secret::zeroed();
    let parts: [&[u8]; 6] = [
        td.attestation_root.as_ref(),
        td.os.mrtd.as_ref(),
        td.os.rtmr0.as_ref(),
        td.os.rtmr1.as_ref(),
        td.os.rtmr2.as_ref(),
        td.rtmr3.as_ref(),
    ];
    derive::expand(secret.expose(), secret.epoch(), LABEL, &parts, root.expose_mut())?;
    Ok(root)
}

/// Seals 32 secret bytes to a public key.
///
/// # Errors
/// When the box cannot be made.
pub fn seal_local<R: CryptoRng + ?Sized>(
    to: &[u8; 32],
    secret: &Secret<32>,
    rng: &mut R,
) -> Result<Vec<u8>, SealedBoxError> {
    PublicKey::from(*to)
        .seal(&mut Older(rng), secret.expose())
        .map_err(|_| SealedBoxError::Other)
}

/// A key made for one request.
pub struct LocalOpeningKey(SecretKey);

impl LocalOpeningKey {
    /// A fresh key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        Self(SecretKey::from(*secret))
    }

    /// What the provider seals to.
    pub fn public(&self) -> [u8; 32] {
        *self.0.public_key().as_bytes()
    }

    /// Opens a box.
    ///
    /// # Errors
    /// When it was made for another key, was changed, or holds something else.
    pub fn open(&self, sealed: &[u8]) -> Result<Secret<32>, SealedBoxError> {
        let plain = self.0.unseal(sealed).map_err(|_| SealedBoxError::Other)?;
        let plain = Zeroizing::new(plain);
        let mut secret = Secret::zeroed();
        if plain.len() != secret.expose().len() {
            return Err(SealedBoxError::Length { actual: plain.len() });
        }
        secret.expose_mut().copy_from_slice(&plain);
        Ok(secret)
    }
}

/// A generator under the traits `crypto_box` knows.
struct Older<'a, R: ?Sized>(&'a mut R);

impl<R: CryptoRng + ?Sized> aead::rand_core::RngCore for Older<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), aead::rand_core::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng + ?Sized> aead::rand_core::CryptoRng for Older<'_, R> {}
