//! Sealing keys, and the one cipher. A file's own key comes from a fresh salt of 32 bytes, so the nonce can stay zero and one
//! sealing key serves any number of files.

use super::{SealScope, SealedFile, SealedFileError, format};
use crate::{
    derive::{self, KeyError},
    label::SealLabel,
    secret::Secret,
};
use aes_gcm::{
    AeadInPlace, Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use kms_types::{AppId, InstanceId, KeyEpoch};
use rand::CryptoRng;
use zeroize::Zeroizing;

const NONCE: [u8; 12] = [0; 12];

/// Seals and opens the files of an app or of one instance, under the keys of one epoch.
pub struct SealingKey {
    scope: SealScope,
    key_epoch: KeyEpoch,
    app_id: AppId,
    instance_id: InstanceId,
    secret: Secret<32>,
}

/// The secret of one instance's files, from its disk key: what a guest keeps of the disk key once the disk is open.
///
/// # Errors
/// Never in practice: HKDF gives 32 bytes.
pub fn instance_seal_secret(
    disk_key: &[u8; 64],
    app_id: &AppId,
    instance_id: &InstanceId,
    key_epoch: KeyEpoch,
) -> Result<Secret<32>, KeyError> {
    let mut secret = Secret::zeroed();
    derive::expand(
        disk_key,
        key_epoch,
        SealLabel::Instance.as_str(),
        &[app_id.as_ref(), instance_id.as_ref()],
        secret.expose_mut(),
    )?;
    Ok(secret)
}

impl SealingKey {
    /// The key of an app's files, from its secp256k1 key.
    ///
    /// # Errors
    /// Never in practice: HKDF gives 32 bytes.
    pub fn of_app(app_key: &[u8; 32], app_id: AppId, key_epoch: KeyEpoch) -> Result<Self, KeyError> {
        let mut secret = Secret::zeroed();
        let label = SealLabel::App.as_str();
        derive::expand(app_key, key_epoch, label, &[app_id.as_ref()], secret.expose_mut())?;
        Ok(Self {
            scope: SealScope::App,
            key_epoch,
            app_id,
            instance_id: InstanceId::ZERO,
            secret,
        })
    }

    /// The key of one instance's files; `secret` is [`instance_seal_secret`].
    pub fn of_instance(
        secret: Secret<32>,
        app_id: AppId,
        instance_id: InstanceId,
        key_epoch: KeyEpoch,
    ) -> Self {
        Self {
            scope: SealScope::Instance,
            key_epoch,
            app_id,
            instance_id,
            secret,
        }
    }

    /// Seals `text`. `context` says what for, in the clear, and must be given again to open it.
    ///
    /// # Errors
    /// When text or context are above their bounds.
    pub fn seal<R: CryptoRng + ?Sized>(
        &self,
        text: &[u8],
        context: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, SealedFileError> {
        let mut salt = [0; format::SALT];
        rng.fill_bytes(&mut salt);
        let mut file = format::head(
            (self.scope, self.key_epoch),
            (&self.app_id, &self.instance_id),
            &salt,
            context,
            text.len(),
        )?;
        let payload = Payload {
            msg: text,
            aad: &file,
        };
        let ciphertext = self
            .cipher(&salt)?
            .encrypt((&NONCE).into(), payload)
            .map_err(|_| SealedFileError::Tag)?;
        file.extend_from_slice(&ciphertext);
        Ok(file)
    }

    /// Opens a file sealed by this key for `context`. Nothing of it is given before all of it is proven.
    ///
    /// # Errors
    /// When it is sealed to somebody else, for something else, under another epoch, or was changed.
    pub fn open(&self, file: &SealedFile<'_>, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealedFileError> {
        self.check(file, context)?;
        // G10: half of a text, or a text nobody sealed, could steer whoever reads it.
        let mut text = Zeroizing::new(file.ciphertext.to_vec());
        self.cipher(&file.salt)?
            .decrypt_in_place((&NONCE).into(), file.head, &mut *text)
            .map_err(|_| SealedFileError::Tag)?;
        Ok(text)
    }

    // G10: a file moved to another app, instance, epoch or purpose is no file there.
    /// Says whose the file is before its tag would only say no.
    fn check(&self, file: &SealedFile<'_>, context: &[u8]) -> Result<(), SealedFileError> {
        if file.app_id != self.app_id {
            return Err(SealedFileError::App {
                expected: file.app_id,
                actual: self.app_id,
            });
        }
        if file.scope != self.scope {
            return Err(SealedFileError::Scope {
                expected: file.scope,
                actual: self.scope,
            });
        }
        if file.instance_id != self.instance_id {
            return Err(SealedFileError::Instance {
                expected: file.instance_id,
                actual: self.instance_id,
            });
        }
        if file.key_epoch != self.key_epoch {
            return Err(SealedFileError::Epoch {
                expected: file.key_epoch,
                actual: self.key_epoch,
            });
        }
        if file.context != context {
            let words = |bytes| String::from_utf8_lossy(bytes).into_owned();
            return Err(SealedFileError::Context {
                expected: words(file.context),
                actual: words(context),
            });
        }
        Ok(())
    }

    fn cipher(&self, salt: &[u8; format::SALT]) -> Result<Aes256Gcm, SealedFileError> {
        let mut key = Secret::<32>::zeroed();
        let label = SealLabel::File.as_str();
        derive::expand(
            self.secret.expose(),
            self.key_epoch,
            label,
            &[salt.as_slice()],
            key.expose_mut(),
        )?;
        Ok(Aes256Gcm::new(key.expose().into()))
    }
}
