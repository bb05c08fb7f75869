//! HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, one message a context.
//!
//! Refuses recipients and encapsulated keys that lead to an all-zero shared secret, and anything that does not authenticate.

use crate::secret::Secret;
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    rand_core::{TryCryptoRng, TryRng},
};
use rand::CryptoRng;
use std::convert::Infallible;
use zeroize::Zeroizing;

type Kem = X25519HkdfSha256;

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's key is no usable X25519 key.
    #[error("HPKE recipient: expected an X25519 public key of large order")]
    Recipient,
    /// The secret key is not one.
    #[error("HPKE key: expected an X25519 secret key")]
    SecretKey,
    /// The encapsulated key is not one.
    #[error("HPKE encapsulated key: expected an X25519 public key of large order")]
    Encapsulated,
    /// Sealed to another key, or under other info or additional data, or changed since.
    #[error("HPKE ciphertext: expected one sealed to this key, info and additional data")]
    Open,
}

/// A sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Encapsulated key.
    pub enc: [u8; 32],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// Seals to an X25519 public key.
///
/// # Errors
/// When the recipient's key leads to no shared secret.
pub fn seal<R: CryptoRng + ?Sized>(
    recipient: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Sealed, SealError> {
    let recipient = <Kem as hpke::Kem>::PublicKey::from_bytes(recipient).map_err(|_| SealError::Recipient)?;
    let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &recipient,
        info,
        plaintext,
        aad,
        &mut Borrowed(rng),
    )
    .map_err(|_| SealError::Recipient)?;
    Ok(Sealed {
        enc: enc.to_bytes().into(),
        ciphertext,
    })
}

/// An X25519 key that opens what was sealed to it.
pub struct OpeningKey {
    secret: Secret<32>,
    public: [u8; 32],
}

impl OpeningKey {
    /// A key for one request.
    ///
    /// # Errors
    /// Never in practice: every 32 bytes are an X25519 secret.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Result<Self, SealError> {
        Self::from_secret(Secret::generate(rng))
    }

    /// A key that was derived.
    ///
    /// # Errors
    /// Never in practice: every 32 bytes are an X25519 secret.
    pub fn from_secret(secret: Secret<32>) -> Result<Self, SealError> {
        let private =
            <Kem as hpke::Kem>::PrivateKey::from_bytes(secret.expose()).map_err(|_| SealError::SecretKey)?;
        let public = Kem::sk_to_pk(&private).to_bytes().into();
        Ok(Self { secret, public })
    }

    /// What others seal to.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Opens a message.
    ///
    /// # Errors
    /// When it was not sealed to this key under this info and additional data.
    pub fn open(
        &self,
        enc: &[u8; 32],
        info: &[u8],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(self.secret.expose())
            .map_err(|_| SealError::SecretKey)?;
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| SealError::Encapsulated)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &private,
            &enc,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|error| match error {
            hpke::HpkeError::DecapError => SealError::Encapsulated,
            _ => SealError::Open,
        })
    }
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
