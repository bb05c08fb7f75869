//! The bytes of a sealed file (SPEC.md section 7). Lengths are checked before anything is kept; nothing may follow.

use super::{SealScope, SealedFileError};
use kms_types::{AppId, InstanceId, KeyEpoch};

/// Bytes that can be sealed in one file.
pub const MAX_SEALED_TEXT: usize = 16 << 20;
/// Bytes of a context.
pub const MAX_SEALED_CONTEXT: usize = 1024;
/// Bytes of a sealed file.
pub const MAX_SEALED_FILE: usize = HEAD + MAX_SEALED_CONTEXT + 4 + MAX_SEALED_TEXT + TAG;

pub(super) const TAG: usize = 16;
pub(super) const SALT: usize = 32;
const MAGIC: [u8; 18] = *b"kedge/sealed-file\0";
const VERSION: u32 = 1;
/// Up to and with the length of the context.
const HEAD: usize = MAGIC.len() + 4 + 1 + 4 + 20 + 20 + SALT + 2;

/// A sealed file, read and not opened: nothing in it is authentic yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFile<'a> {
    /// Whom it says it is sealed to.
    pub scope: SealScope,
    /// Epoch of the keys that open it.
    pub key_epoch: KeyEpoch,
    /// The app.
    pub app_id: AppId,
    /// The instance; zero when any will do.
    pub instance_id: InstanceId,
    /// What it was sealed for.
    pub context: &'a [u8],
    pub(super) salt: [u8; SALT],
    /// Everything before the ciphertext.
    pub(super) head: &'a [u8],
    /// With its tag.
    pub(super) ciphertext: &'a [u8],
}

impl<'a> SealedFile<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not one of this version, whole and with nothing behind it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SealedFileError> {
        if bytes.len() > MAX_SEALED_FILE {
            return Err(SealedFileError::TooLong {
                what: "sealed file",
                max: MAX_SEALED_FILE,
                actual: bytes.len(),
            });
        }
        let mut rest = bytes;
        if take::<18>(&mut rest, "begin")? != MAGIC {
            return Err(malformed("begin", "\"kedge/sealed-file\"", "other bytes"));
        }
        let version = u32::from_be_bytes(take(&mut rest, "version")?);
        if version != VERSION {
            return Err(malformed("version", VERSION, version));
        }
        let [scope] = take(&mut rest, "scope")?;
        let scope = match scope {
            1 => SealScope::App,
            2 => SealScope::Instance,
            other => return Err(malformed("scope", "1 or 2", other)),
        };
        let key_epoch = KeyEpoch(u32::from_be_bytes(take(&mut rest, "key epoch")?));
        let app_id = AppId::new(take(&mut rest, "app id")?);
        let instance_id = InstanceId::new(take(&mut rest, "instance id")?);
        if scope == SealScope::App && instance_id != InstanceId::ZERO {
            return Err(malformed("instance id", "zero in a file of the app", instance_id));
        }
        let salt = take(&mut rest, "salt")?;
        let length = usize::from(u16::from_be_bytes(take(&mut rest, "length of the context")?));
        if length > MAX_SEALED_CONTEXT {
            return Err(SealedFileError::TooLong {
                what: "context",
                max: MAX_SEALED_CONTEXT,
                actual: length,
            });
        }
        let context = slice(&mut rest, "context", length)?;
        let length = u32::from_be_bytes(take(&mut rest, "length of the ciphertext")?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < TAG || length != rest.len() {
            return Err(malformed(
                "ciphertext",
                format!("{length} bytes to the end, at least {TAG}"),
                format!("{} bytes", rest.len()),
            ));
        }
        let head = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
        Ok(Self {
            scope,
            key_epoch,
            app_id,
            instance_id,
            context,
            salt,
            head,
            ciphertext: rest,
        })
    }
}

/// Everything before the ciphertext.
pub(super) fn head(
    (scope, key_epoch): (SealScope, KeyEpoch),
    (app_id, instance_id): (&AppId, &InstanceId),
    salt: &[u8; SALT],
    context: &[u8],
    text: usize,
) -> Result<Vec<u8>, SealedFileError> {
    let bound = |what, max, actual| match actual > max {
        true => Err(SealedFileError::TooLong { what, max, actual }),
        false => Ok(()),
    };
    bound("context", MAX_SEALED_CONTEXT, context.len())?;
    bound("what is to be sealed", MAX_SEALED_TEXT, text)?;
    // Both fit: the bounds are far below.
    let context_length = u16::try_from(context.len()).unwrap_or(u16::MAX);
    let length = u32::try_from(text + TAG).unwrap_or(u32::MAX);
    let scope = match scope {
        SealScope::App => 1,
        SealScope::Instance => 2,
    };
    let mut head = Vec::with_capacity(HEAD + context.len() + 4);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_be_bytes());
    head.push(scope);
    head.extend_from_slice(&key_epoch.0.to_be_bytes());
    head.extend_from_slice(app_id.as_ref());
    head.extend_from_slice(instance_id.as_ref());
    head.extend_from_slice(salt);
    head.extend_from_slice(&context_length.to_be_bytes());
    head.extend_from_slice(context);
    head.extend_from_slice(&length.to_be_bytes());
    Ok(head)
}

fn take<const N: usize>(rest: &mut &[u8], what: &'static str) -> Result<[u8; N], SealedFileError> {
    slice(rest, what, N).map(|bytes| bytes.first_chunk().copied().unwrap_or([0; N]))
}

fn slice<'a>(rest: &mut &'a [u8], what: &'static str, length: usize) -> Result<&'a [u8], SealedFileError> {
    let (taken, after) = rest.split_at_checked(length).ok_or_else(|| {
        malformed(
            what,
            format!("{length} bytes"),
            format!("{} to the end", rest.len()),
        )
    })?;
    *rest = after;
    Ok(taken)
}

fn malformed(what: &'static str, expected: impl ToString, actual: impl ToString) -> SealedFileError {
    SealedFileError::Malformed {
        what,
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}
