//! Environment, version 1, as dstack: `ephemeral X25519 key (32) ‖ IV (12) ‖ AES-256-GCM` under the raw shared secret.
//!
//! It says nothing of who encrypted it: anyone who has the app's env public key can. Refuses keys that lead to an all-zero
//! secret, lengths beyond the bounds, and what does not authenticate.

use crate::{
    env_name::EnvName,
    env_text::{self, EnvTextError},
    environment::{Environment, MAX_PLAINTEXT},
};
use aes_gcm::{AeadInPlace, Aes256Gcm, KeyInit};
use rand::CryptoRng;
use std::collections::BTreeSet;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

const KEY: usize = 32;
const IV: usize = 12;
const TAG: usize = 16;
/// Bytes around the text.
const OVERHEAD: usize = KEY + IV + TAG;

/// Why an environment is not encrypted or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvV1Error {
    /// Too short to be one, or above the bound.
    #[error("encrypted environment: expected {OVERHEAD} to {max} bytes, got {actual}", max = MAX_PLAINTEXT + OVERHEAD)]
    Length {
        /// What came.
        actual: usize,
    },
    /// The other side's key makes the secret zero whatever ours is.
    #[error("encrypted environment: expected an X25519 key of large order, got one of small order")]
    LowOrder,
    /// Encrypted to another key, or changed since.
    #[error("encrypted environment: expected one encrypted to this app's key, got another or a changed one")]
    Open,
    /// The text is not what it should be.
    #[error(transparent)]
    Text(#[from] EnvTextError),
}

/// Encrypts to an app's env public key.
///
/// # Errors
/// When the key is of small order, or the text would be too long.
pub fn encrypt_v1<R: CryptoRng + ?Sized>(
    recipient: &[u8; 32],
    environment: &Environment,
    rng: &mut R,
) -> Result<Vec<u8>, EnvV1Error> {
    let mut ephemeral = Zeroizing::new([0; KEY]);
    rng.fill_bytes(ephemeral.as_mut_slice());
    let mut iv = [0; IV];
    rng.fill_bytes(&mut iv);
    let ephemeral = StaticSecret::from(*ephemeral);
    let cipher = cipher(&ephemeral.diffie_hellman(&PublicKey::from(*recipient)))?;
    let mut text = env_text::write(environment)?;
    let tag = cipher
        .encrypt_in_place_detached(&iv.into(), b"", text.as_mut_slice())
        .map_err(|_| EnvV1Error::Length { actual: text.len() })?;
    Ok([
        PublicKey::from(&ephemeral).as_bytes().as_slice(),
        &iv,
        &text,
        &tag,
    ]
    .concat())
}

/// Opens with an app's env secret and keeps the variables that `allowed_envs` names.
///
/// # Errors
/// When it was not encrypted to this key, or holds something else.
pub fn decrypt_v1(
    secret: &[u8; 32],
    allowed: &BTreeSet<EnvName>,
    encrypted: &[u8],
) -> Result<Environment, EnvV1Error> {
    let length = || EnvV1Error::Length {
        actual: encrypted.len(),
    };
    if encrypted.len() > MAX_PLAINTEXT + OVERHEAD {
        return Err(length());
    }
    let (key, rest) = encrypted.split_first_chunk::<KEY>().ok_or_else(length)?;
    let (iv, rest) = rest.split_first_chunk::<IV>().ok_or_else(length)?;
    let (sealed, tag) = rest.split_last_chunk::<TAG>().ok_or_else(length)?;
    let cipher = cipher(&StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*key)))?;
    let mut text = Zeroizing::new(sealed.to_vec());
    cipher
        .decrypt_in_place_detached(&(*iv).into(), b"", text.as_mut_slice(), &(*tag).into())
        .map_err(|_| EnvV1Error::Open)?;
    Ok(env_text::read(&text, allowed)?)
}

fn cipher(shared: &SharedSecret) -> Result<Aes256Gcm, EnvV1Error> {
    if !shared.was_contributory() {
        return Err(EnvV1Error::LowOrder);
    }
    Ok(Aes256Gcm::new(shared.as_bytes().into()))
}
