//! Bytes of the root file (`SPEC.md` §6): header ‖ AES-256-GCM of the roots ‖ SHA-256 of all before.

use super::{
    MAX_EPOCHS, RootFileError,
    wrap::{Argon2Cost, Method, Wrapping},
};
use crate::secret::{EpochRoot, Secret};
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{AeadInPlace, Nonce, Tag},
};
use hkdf::Hkdf;
use kms_types::KeyEpoch;
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"kedge/root-file\0";
const VERSION: u32 = 1;
const SALT: &[u8] = b"kedge/root-file/v1";
const HEADER: usize = 16 + 4 + 1 + 12 + 32 + 16;
const TAG: usize = 16;
const CHECKSUM: usize = 32;
const ENTRY: usize = 4 + 32;
/// Largest file there is.
pub(super) const MAX_FILE: usize = HEADER + MAX_EPOCHS * ENTRY + TAG + CHECKSUM;

/// Keys of one file: encryption, and a check value that tells a wrong key from a damaged file.
struct FileKeys {
    encryption: Secret<32>,
    check: Secret<16>,
}

impl FileKeys {
    fn derive(ikm: &Secret<32>, salt: &[u8; 32]) -> Result<Self, RootFileError> {
        let hkdf = Hkdf::<Sha256>::new(Some(SALT), ikm.expose());
        let (mut encryption, mut check) = (Secret::zeroed(), Secret::zeroed());
        let damaged = |_| RootFileError::Damaged {
            expected: "keys from HKDF",
            actual: "none".to_owned(),
        };
        hkdf.expand_multi_info(&[b"encryption", salt], encryption.expose_mut())
            .map_err(damaged)?;
        hkdf.expand_multi_info(&[b"key check", salt], check.expose_mut())
            .map_err(damaged)?;
        Ok(Self { encryption, check })
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.encryption.expose().into())
    }
}

pub(super) fn seal<R: CryptoRng + ?Sized>(
    roots: &[&EpochRoot],
    wrapping: &Wrapping,
    rng: &mut R,
) -> Result<Vec<u8>, RootFileError> {
    in_order(roots.iter().map(|root| root.epoch()))?;
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let method = wrapping.method();
    let keys = FileKeys::derive(&wrapping.ikm(method, &salt)?, &salt)?;
    let mut file = header(method, &salt, keys.check.expose());
    // Exact size: growing would leave copies of roots behind.
    let mut body = Zeroizing::new(Vec::with_capacity(roots.len() * ENTRY));
    for root in roots {
        body.extend_from_slice(&root.epoch().0.to_be_bytes());
        body.extend_from_slice(root.expose());
    }
    // One key encrypts one message, so the nonce can be constant.
    let tag = keys
        .cipher()
        .encrypt_in_place_detached(&Nonce::<Aes256Gcm>::default(), &file, &mut body)
        .map_err(|_| RootFileError::Damaged {
            expected: "a ciphertext",
            actual: "none".to_owned(),
        })?;
    file.extend_from_slice(&body);
    file.extend_from_slice(&tag);
    file.extend_from_slice(&Sha256::digest(&file));
    Ok(file)
}

fn header(method: Method, salt: &[u8; 32], check: &[u8; 16]) -> Vec<u8> {
    let (code, cost) = match method {
        Method::Key => (
            1,
            Argon2Cost {
                memory_kib: 0,
                passes: 0,
                lanes: 0,
            },
        ),
        Method::Argon2id(cost) => (2, cost),
    };
    [
        MAGIC.as_slice(),
        &VERSION.to_be_bytes(),
        &[code],
        &cost.memory_kib.to_be_bytes(),
        &cost.passes.to_be_bytes(),
        &cost.lanes.to_be_bytes(),
        salt,
        check,
    ]
    .concat()
}

pub(super) fn open(bytes: &[u8], wrapping: &Wrapping) -> Result<Vec<EpochRoot>, RootFileError> {
    if bytes.len() > MAX_FILE {
        return Err(damaged("a smaller file", format!("{} bytes", bytes.len())));
    }
    let mut rest = Reader(bytes);
    if rest.array::<16>()? != MAGIC {
        return Err(damaged("a root file", "another file".to_owned()));
    }
    let actual = rest.number()?;
    if actual != VERSION {
        return Err(RootFileError::Version {
            expected: VERSION,
            actual,
        });
    }
    let (whole, checksum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or_else(|| damaged("a checksum", "the end".to_owned()))?;
    // A torn write must not read as a wrong key, or somebody will try all they have.
    if <[u8; CHECKSUM]>::from(Sha256::digest(whole)) != *checksum {
        return Err(damaged("its checksum", "other bytes".to_owned()));
    }
    let method = method(&mut rest)?;
    let (salt, check) = (rest.array::<32>()?, rest.array::<16>()?);
    let keys = FileKeys::derive(&wrapping.ikm(method, salt)?, salt)?;
    if !bool::from(keys.check.expose().ct_eq(check)) {
        return Err(RootFileError::WrongKey);
    }
    let header = whole.get(..HEADER).unwrap_or_default();
    let sealed = whole.get(HEADER..).unwrap_or_default();
    let (body, tag) = sealed
        .split_last_chunk::<TAG>()
        .ok_or_else(|| damaged("sealed roots", "the end".to_owned()))?;
    let mut plain = Zeroizing::new(body.to_vec());
    keys.cipher()
        .decrypt_in_place_detached(
            &Nonce::<Aes256Gcm>::default(),
            header,
            &mut plain,
            <&Tag<Aes256Gcm>>::from(tag),
        )
        .map_err(|_| damaged("the roots that were sealed", "other bytes".to_owned()))?;
    roots(&plain)
}

fn method(rest: &mut Reader<'_>) -> Result<Method, RootFileError> {
    let [code] = *rest.array::<1>()?;
    let cost = Argon2Cost {
        memory_kib: rest.number()?,
        passes: rest.number()?,
        lanes: rest.number()?,
    };
    match code {
        1 => Ok(Method::Key),
        2 => Ok(Method::Argon2id(cost)),
        other => Err(damaged("wrapping method 1 or 2", other.to_string())),
    }
}

fn roots(plain: &[u8]) -> Result<Vec<EpochRoot>, RootFileError> {
    let (entries, rest) = plain.as_chunks::<ENTRY>();
    if !rest.is_empty() {
        return Err(damaged("whole entries", format!("{} bytes more", rest.len())));
    }
    let mut roots = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut rest = Reader(entry);
        let epoch = KeyEpoch(rest.number()?);
        roots.push(EpochRoot::from_secret(
            epoch,
            Secret::new(Box::new(*rest.array::<32>()?)),
        ));
    }
    in_order(roots.iter().map(EpochRoot::epoch))?;
    Ok(roots)
}

fn in_order(epochs: impl ExactSizeIterator<Item = KeyEpoch>) -> Result<(), RootFileError> {
    let count = epochs.len();
    if !(1..=MAX_EPOCHS).contains(&count) {
        return Err(RootFileError::Epochs {
            actual: format!("{count} epochs"),
        });
    }
    let mut last = 0;
    for epoch in epochs {
        if epoch.0 <= last {
            return Err(RootFileError::Epochs {
                actual: format!("epoch {epoch} after {last}"),
            });
        }
        last = epoch.0;
    }
    Ok(())
}

fn damaged(expected: &'static str, actual: String) -> RootFileError {
    RootFileError::Damaged { expected, actual }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], RootFileError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| damaged("a whole file", format!("the end, {N} bytes early")))?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self) -> Result<u32, RootFileError> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }
}
