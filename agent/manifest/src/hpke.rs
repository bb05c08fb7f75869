//! HPKE (RFC 9180), base mode, one message a context, in the suite of the KMS protocol: DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, ChaCha20-Poly1305.
//!
//! Refuses keys of small order and what does not authenticate.

use ::hpke::{
    Deserializable, HpkeError, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    rand_core::{TryCryptoRng, TryRng},
};
use rand::CryptoRng;
use std::convert::Infallible;
use zeroize::Zeroizing;

type Kem = X25519HkdfSha256;
type PublicKey = <Kem as ::hpke::Kem>::PublicKey;
type PrivateKey = <Kem as ::hpke::Kem>::PrivateKey;
type EncappedKey = <Kem as ::hpke::Kem>::EncappedKey;

/// Why something is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvSealError {
    /// The recipient's key is no usable X25519 key.
    #[error("env public key: expected an X25519 key of large order")]
    Recipient,
    /// The key in the message is no usable X25519 key.
    #[error("encapsulated key: expected an X25519 key of large order")]
    Encapsulated,
    /// Sealed to another key or under another app, document or version, or changed since.
    #[error("sealed environment: expected one sealed to this key under this app, document and version")]
    Open,
}

pub(crate) fn seal<R: CryptoRng + ?Sized>(
    recipient: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    text: &[u8],
    rng: &mut R,
) -> Result<([u8; 32], Vec<u8>), EnvSealError> {
    let recipient = PublicKey::from_bytes(recipient).map_err(|_| EnvSealError::Recipient)?;
    let mode = OpModeS::Base;
    let (enc, ciphertext) = ::hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &mode,
        &recipient,
        info,
        text,
        aad,
        &mut Borrowed(rng),
    )
    .map_err(|_| EnvSealError::Recipient)?;
    Ok((enc.to_bytes().into(), ciphertext))
}

pub(crate) fn open(
    secret: &[u8; 32],
    enc: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvSealError> {
    let private = PrivateKey::from_bytes(secret).map_err(|_| EnvSealError::Open)?;
    let enc = EncappedKey::from_bytes(enc).map_err(|_| EnvSealError::Encapsulated)?;
    ::hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &enc,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|error| match error {
        HpkeError::DecapError => EnvSealError::Encapsulated,
        _ => EnvSealError::Open,
    })
}

/// The caller's generator in the shape that the `hpke` crate asks for.
struct Borrowed<'a, R: ?Sized>(&'a mut R);

impl<R: CryptoRng + ?Sized> TryRng for Borrowed<'_, R> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

impl<R: CryptoRng + ?Sized> TryCryptoRng for Borrowed<'_, R> {}
