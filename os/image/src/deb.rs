//! One .deb: an `ar` archive (magic, 60-byte headers, even offsets; deb(5)) whose `data.tar` holds the files. Scripts of the package
//! are never run, so an image is what its files are and nothing else.

use crate::tree::{Entry, Kind, Tree, TreeError};
use std::io::Read;

const MAGIC: &[u8] = b"!<arch>\n";
/// Most that one package may unpack to, bytes.
pub const MAX_UNPACKED: u64 = 2 << 30;

/// A package that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// Not an `ar` archive of deb's form.
    #[error("not a .deb: {0}")]
    Form(&'static str),
    /// The inner archive cannot be read.
    #[error("data.tar cannot be read")]
    Data(#[from] std::io::Error),
    /// A file that has no place in an image.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The packed `data.tar` and how it is packed: its name in the archive.
///
/// # Errors
/// [`DebError::Form`].
pub fn data_member(deb: &[u8]) -> Result<(&str, &[u8]), DebError> {
    let mut rest = deb
        .strip_prefix(MAGIC)
        .ok_or(DebError::Form("it does not begin with !<arch>"))?;
    while let Some((header, after)) = rest.split_at_checked(60) {
        if header.get(58..) != Some(b"`\n") {
            return Err(DebError::Form("a member's header does not end with `\\n"));
        }
        let field = |from: usize, to: usize| {
            header
                .get(from..to)
                .and_then(|f| std::str::from_utf8(f).ok())
                .map(str::trim)
        };
        let name = field(0, 16)
            .ok_or(DebError::Form("a member's name is not text"))?
            .trim_end_matches('/');
        let size: usize = field(48, 58)
            .and_then(|size| size.parse().ok())
            .ok_or(DebError::Form("a member's size is not a number"))?;
        let (body, after) = after
            .split_at_checked(size)
            .ok_or(DebError::Form("a member is cut off"))?;
        if name.starts_with("data.tar") {
            return Ok((name, body));
        }
        rest = after.get(size % 2..).unwrap_or_default();
    }
    Err(DebError::Form("it has no data.tar"))
}

/// Puts the package's files that `keep` wants into the tree.
///
/// # Errors
/// When the package is malformed or longer than [`MAX_UNPACKED`], or a file has no place in the tree.
pub fn unpack(deb: &[u8], tree: &mut Tree, keep: impl Fn(&str) -> bool) -> Result<(), DebError> {
    unpack_within(MAX_UNPACKED, deb, tree, keep)
}

/// [`unpack`] with a bound of the caller's on the bytes of `data.tar`.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_within(
    bound: u64,
    deb: &[u8],
    tree: &mut Tree,
    keep: impl Fn(&str) -> bool,
) -> Result<(), DebError> {
    let (name, packed) = data_member(deb)?;
    let unpacked: Box<dyn Read> = match name {
        "data.tar.xz" => Box::new(liblzma::read::XzDecoder::new(packed)),
        "data.tar" => Box::new(packed),
        _ => return Err(DebError::Form("expected data.tar or data.tar.xz")),
    };
    let mut archive = tar::Archive::new(unpacked.take(bound));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = crate::tree::clean(&path)?;
        if path.is_empty() || !keep(&path) {
            continue;
        }
        let header = entry.header();
        let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
        let link = || -> Result<String, DebError> {
            let target = entry.link_name()?.ok_or(TreeError::Kind(path.clone()))?;
            Ok(target.to_string_lossy().into_owned())
        };
        let kind = match header.entry_type() {
            tar::EntryType::Directory => Kind::Folder,
            tar::EntryType::Symlink => Kind::Link(link()?),
            tar::EntryType::Link => Kind::Same(crate::tree::clean(&link()?)?),
            tar::EntryType::Regular => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                Kind::File(bytes)
            }
            _ => return Err(TreeError::Kind(path).into()),
        };
        let owner = (u32::try_from(uid), u32::try_from(gid));
        let (Ok(uid), Ok(gid)) = owner else {
            return Err(TreeError::Kind(path).into());
        };
        tree.put(&path, Entry { mode, uid, gid, kind })?;
    }
    Ok(())
}
