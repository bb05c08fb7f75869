//! What a guest believes of a sealed environment: who signed it, for which app and document, and that it is not an older one.
//!
//! [`VerifiedEnv`] is made in one place, after every check; only it can be opened.

use crate::{
    eip712::{self, SignatureError},
    env_name::EnvName,
    env_text::{self, EnvTextError},
    envelope::{EnvBinding, MAGIC, SealedEnv, SignedEnv},
    environment::Environment,
    hpke::{self, EnvSealError},
};
use kms_types::{AppId, ChainAddress, ChainId, ComposeHash};
use std::collections::BTreeSet;

/// What a guest knows by itself.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Chain of the app's authority.
    pub chain: ChainId,
    /// The app that was measured.
    pub app_id: AppId,
    /// The document that was measured.
    pub compose_hash: ComposeHash,
    /// Owner of the app's authority, and the deployers it names.
    pub signers: &'a [ChainAddress],
    /// The one accepted last, when there was one.
    pub last: Option<EnvVersion>,
}

/// Which environment was accepted; kept where the host cannot set it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvVersion {
    /// The owner's count.
    pub number: u64,
    /// What was signed under it (the EIP-712 digest).
    pub digest: [u8; 32],
}

/// Why a version is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// An older one: its secrets may have been withdrawn since.
    #[error("environment version: expected {last} or higher, got {new}")]
    Older {
        /// Accepted last.
        last: u64,
        /// What came.
        new: u64,
    },
    /// The same number on something else: which of the two is newer nobody can tell.
    #[error("environment version {number}: expected the content accepted under it, got another")]
    Reused {
        /// The number.
        number: u64,
    },
    /// Versions begin at 1.
    #[error("environment version: expected 1 or higher, got 0")]
    Zero,
}

/// A newer version, or the same once more (a restart), is accepted. Gives what to keep as the last one.
///
/// # Errors
/// When it is older, or another under the same number.
pub fn accept(last: Option<EnvVersion>, new: EnvVersion) -> Result<EnvVersion, VersionError> {
    match last {
        _ if new.number == 0 => Err(VersionError::Zero),
        Some(last) if new.number < last.number => Err(VersionError::Older {
            last: last.number,
            new: new.number,
        }),
        Some(last) if new.number == last.number && new.digest != last.digest => {
            Err(VersionError::Reused { number: new.number })
        }
        _ => Ok(new),
    }
}

/// Why an envelope is not believed or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectedEnv {
    /// For another app.
    #[error("environment: expected one for app {expected}, got one for {actual} (check G5)")]
    App {
        /// The app that was measured.
        expected: AppId,
        /// What the envelope names.
        actual: AppId,
    },
    /// For another document.
    #[error("environment: expected one for document {expected}, got one for {actual} (check G5)")]
    Compose {
        /// The document that was measured.
        expected: ComposeHash,
        /// What the envelope names.
        actual: ComposeHash,
    },
    /// Signed by somebody else, or something else was signed.
    #[error(
        "environment: expected a signature by the app's owner or a deployer, got one by {actual} (check G5)"
    )]
    Signer {
        /// Account of the key that signed.
        actual: ChainAddress,
    },
    /// The signature is in another form.
    #[error("{0} (check G5)")]
    Signature(SignatureError),
    /// An older one.
    #[error("{0} (check G5)")]
    Version(VersionError),
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] EnvSealError),
    /// The text is not what it should be.
    #[error(transparent)]
    Text(#[from] EnvTextError),
}

/// An envelope of this app and document, signed by somebody who may, not older than the last one.
pub struct VerifiedEnv {
    sealed: SealedEnv,
    signer: ChainAddress,
    version: EnvVersion,
}

impl SignedEnv {
    /// Account of whoever signed for this chain. Another chain, or a changed byte, gives another account.
    ///
    /// # Errors
    /// When the signature is in another form.
    pub fn signer(&self, chain: ChainId) -> Result<ChainAddress, SignatureError> {
        eip712::recover(&self.sealed.digest(chain), &self.signature)
    }

    // G5: the host carries the envelope; it may hold it back, not make, mix up or rewind it.
    /// Checks app, document, signer and version.
    ///
    /// # Errors
    /// At the first that does not hold.
    pub fn verify(self, expected: &Expected<'_>) -> Result<VerifiedEnv, RejectedEnv> {
        let EnvBinding {
            app_id,
            compose_hash,
            version,
        } = self.sealed.binding;
        if app_id != expected.app_id {
            return Err(RejectedEnv::App {
                expected: expected.app_id,
                actual: app_id,
            });
        }
        if compose_hash != expected.compose_hash {
            return Err(RejectedEnv::Compose {
                expected: expected.compose_hash,
                actual: compose_hash,
            });
        }
        let signer = self.signer(expected.chain).map_err(RejectedEnv::Signature)?;
        if !expected.signers.contains(&signer) {
            return Err(RejectedEnv::Signer { actual: signer });
        }
        let digest = self.sealed.digest(expected.chain);
        let version = accept(
            expected.last,
            EnvVersion {
                number: version,
                digest,
            },
        )
        .map_err(RejectedEnv::Version)?;
        Ok(VerifiedEnv {
            sealed: self.sealed,
            signer,
            version,
        })
    }
}

impl VerifiedEnv {
    /// Who signed.
    pub fn signer(&self) -> ChainAddress {
        self.signer
    }

    /// What to keep as the last one.
    pub fn version(&self) -> EnvVersion {
        self.version
    }

    /// Opens it with the app's env secret and keeps the variables that `allowed_envs` names.
    ///
    /// # Errors
    /// When it was sealed to another key, or holds something else.
    pub fn open(&self, secret: &[u8; 32], allowed: &BTreeSet<EnvName>) -> Result<Environment, RejectedEnv> {
        let SealedEnv {
            binding,
            enc,
            ciphertext,
        } = &self.sealed;
        let text = hpke::open(secret, enc, MAGIC, &binding.aad(), ciphertext)?;
        Ok(env_text::read(&text, allowed)?)
    }
}
