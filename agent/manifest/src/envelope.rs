//! The bytes of a sealed environment, version 2, and how they are made.
//!
//! `"kedge/env/v2" ‖ 0x00 ‖ AppId[20] ‖ ComposeHash[32] ‖ u64 version ‖ enc[32] ‖ u32 length ‖ ciphertext ‖ signature[65]`.
//! Refuses another beginning, lengths that do not add up to the byte, version 0, and signatures in another form.

use crate::{
    eip712::{self, SIGNATURE_LEN, SignatureError},
    env_text::{self, EnvTextError},
    environment::{Environment, MAX_PLAINTEXT},
    hpke::{self, EnvSealError},
};
use k256::ecdsa::SigningKey;
use kms_types::{AppId, ChainId, ComposeHash};
use rand::CryptoRng;

/// Begins an envelope, and is the `info` of its seal.
pub(crate) const MAGIC: &[u8; 13] = b"kedge/env/v2\0";
const TAG: usize = 16;
/// Bytes of the ciphertext with its tag.
pub const MAX_CIPHERTEXT: usize = MAX_PLAINTEXT + TAG;
const HEAD: usize = MAGIC.len() + AppId::LEN + ComposeHash::LEN + 8 + 32 + 4;
/// Bytes around the ciphertext.
pub(crate) const OVERHEAD: usize = HEAD + SIGNATURE_LEN;

/// Why bytes are no envelope, or none is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short to be one, or above the bound.
    #[error("environment envelope: expected {min} to {max} bytes, got {actual}", min = OVERHEAD + TAG, max = OVERHEAD + MAX_CIPHERTEXT)]
    Length {
        /// What came.
        actual: usize,
    },
    /// Another beginning: another format, or version 1.
    #[error("environment envelope: expected it to begin with kedge/env/v2, got something else")]
    Magic,
    /// The ciphertext is not as long as the envelope says.
    #[error("environment envelope: expected a ciphertext of {stated} bytes, got {actual}")]
    Ciphertext {
        /// What the envelope says.
        stated: u32,
        /// What there is.
        actual: usize,
    },
    /// Versions begin at 1.
    #[error("environment envelope: expected a version from 1, got 0")]
    VersionZero,
    /// The signature is in another form.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] EnvSealError),
    /// The text would be too long.
    #[error(transparent)]
    Text(#[from] EnvTextError),
}

/// What an environment is for; nothing else opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvBinding {
    /// The app.
    pub app_id: AppId,
    /// Its document: another one is not handed these values.
    pub compose_hash: ComposeHash,
    /// From 1, and higher each time the owner changes a value.
    pub version: u64,
}

impl EnvBinding {
    /// Additional data of the seal: AppId ‖ ComposeHash ‖ u64 version.
    pub(crate) fn aad(&self) -> Vec<u8> {
        [
            self.app_id.as_ref(),
            self.compose_hash.as_ref(),
            &self.version.to_be_bytes(),
        ]
        .concat()
    }
}

/// A sealed environment nobody has signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEnv {
    pub(crate) binding: EnvBinding,
    pub(crate) enc: [u8; 32],
    pub(crate) ciphertext: Vec<u8>,
}

impl SealedEnv {
    /// Seals an environment to an app's env public key.
    ///
    /// # Errors
    /// When the key is of small order, the version is 0, or the text would be too long.
    pub fn seal<R: CryptoRng + ?Sized>(
        recipient: &[u8; 32],
        binding: EnvBinding,
        environment: &Environment,
        rng: &mut R,
    ) -> Result<Self, EnvelopeError> {
        if binding.version == 0 {
            return Err(EnvelopeError::VersionZero);
        }
        let text = env_text::write(environment)?;
        let (enc, ciphertext) = hpke::seal(recipient, MAGIC, &binding.aad(), &text, rng)?;
        Ok(Self {
            binding,
            enc,
            ciphertext,
        })
    }

    /// What it is for.
    pub fn binding(&self) -> &EnvBinding {
        &self.binding
    }

    /// keccak256(enc ‖ ciphertext).
    pub fn ciphertext_hash(&self) -> [u8; 32] {
        eip712::ciphertext_hash(&self.enc, &self.ciphertext)
    }

    /// The EIP-712 digest its owner signs.
    pub fn digest(&self, chain: ChainId) -> [u8; 32] {
        let EnvBinding {
            app_id,
            compose_hash,
            version,
        } = &self.binding;
        eip712::environment_digest(chain, app_id, compose_hash, *version, &self.ciphertext_hash())
    }

    /// Signs it.
    ///
    /// # Errors
    /// When the key gives no signature.
    pub fn sign(self, chain: ChainId, key: &SigningKey) -> Result<SignedEnv, EnvelopeError> {
        let signature = eip712::sign(key, &self.digest(chain))?;
        Ok(SignedEnv {
            sealed: self,
            signature,
        })
    }

    /// Adds a signature that was made elsewhere, with v of 0, 1, 27 or 28 as wallets have it.
    ///
    /// # Errors
    /// When it has another length or form.
    pub fn with_signature(self, signature: &[u8]) -> Result<SignedEnv, EnvelopeError> {
        let signature = eip712::canonical(signature)?;
        Ok(SignedEnv {
            sealed: self,
            signature,
        })
    }
}

/// An envelope: sealed, with some signature. Whose it is, is not yet known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnv {
    pub(crate) sealed: SealedEnv,
    pub(crate) signature: [u8; SIGNATURE_LEN],
}

impl SignedEnv {
    /// What it says it is for.
    pub fn binding(&self) -> &EnvBinding {
        &self.sealed.binding
    }

    /// The bytes of the envelope.
    pub fn to_bytes(&self) -> Vec<u8> {
        let SealedEnv {
            binding,
            enc,
            ciphertext,
        } = &self.sealed;
        let length = (ciphertext.len() as u32).to_be_bytes();
        [
            MAGIC.as_slice(),
            &binding.aad(),
            enc,
            &length,
            ciphertext,
            &self.signature,
        ]
        .concat()
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// When the bytes are no envelope, or have something before, inside or after it.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let length = || EnvelopeError::Length { actual: bytes.len() };
        if !(OVERHEAD + TAG..=OVERHEAD + MAX_CIPHERTEXT).contains(&bytes.len()) {
            return Err(length());
        }
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(EnvelopeError::Magic)?;
        let (app, rest) = rest.split_first_chunk::<{ AppId::LEN }>().ok_or_else(length)?;
        let (compose, rest) = rest
            .split_first_chunk::<{ ComposeHash::LEN }>()
            .ok_or_else(length)?;
        let (version, rest) = rest.split_first_chunk::<8>().ok_or_else(length)?;
        let (enc, rest) = rest.split_first_chunk::<32>().ok_or_else(length)?;
        let (stated, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
        let (ciphertext, signature) = rest.split_last_chunk::<SIGNATURE_LEN>().ok_or_else(length)?;
        let stated = u32::from_be_bytes(*stated);
        if usize::try_from(stated) != Ok(ciphertext.len()) {
            return Err(EnvelopeError::Ciphertext {
                stated,
                actual: ciphertext.len(),
            });
        }
        let version = u64::from_be_bytes(*version);
        if version == 0 {
            return Err(EnvelopeError::VersionZero);
        }
        let binding = EnvBinding {
            app_id: AppId::new(*app),
            compose_hash: ComposeHash::new(*compose),
            version,
        };
        let sealed = SealedEnv {
            binding,
            enc: *enc,
            ciphertext: ciphertext.to_vec(),
        };
        Ok(Self {
            sealed,
            signature: *signature,
        })
    }
}
