//! A tree as bytes: tar (ustar with GNU long names) for the root file system, newc cpio for the initramfs. Every time stamp is the
//! one that is given, every inode number the entry's place.

use crate::tree::{Kind, Tree};
use std::io::{self, Write};

/// Writes the tree as a tar stream.
///
/// # Errors
/// When the stream cannot be written.
pub fn tar(tree: &Tree, epoch: u64, out: impl Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    // Without an entry of its own the root gets the mode that the umask of whoever builds leaves.
    let mut root = tar::Header::new_gnu();
    root.set_entry_type(tar::EntryType::Directory);
    root.set_mode(0o755);
    root.set_uid(0);
    root.set_gid(0);
    root.set_mtime(epoch);
    root.set_size(0);
    builder.append_data(&mut root, "./", io::empty())?;
    for (path, entry) in tree.iter() {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(u64::from(entry.uid));
        header.set_gid(u64::from(entry.gid));
        header.set_mtime(epoch);
        header.set_size(0);
        match &entry.kind {
            Kind::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Kind::File(bytes) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, bytes.as_slice())?;
            }
            Kind::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target)?;
            }
            Kind::Same(other) => {
                header.set_entry_type(tar::EntryType::Link);
                builder.append_link(&mut header, path, other)?;
            }
        }
    }
    builder.into_inner()?.flush()
}

/// Writes the tree as a cpio archive of the form the kernel reads (Documentation/driver-api/early-userspace/buffer-format.rst).
///
/// # Errors
/// When the stream cannot be written, or a file is 4 GiB or longer.
pub fn cpio(tree: &Tree, epoch: u64, mut out: impl Write) -> io::Result<()> {
    let too_long = |_| io::Error::other("longer than a cpio field can say");
    let time = u32::try_from(epoch).map_err(too_long)?;
    let mut inode = 0_u32;
    for (path, entry) in tree.iter() {
        inode += 1;
        let (form, body): (u32, &[u8]) = match &entry.kind {
            Kind::Folder => (0o040_000, &[]),
            Kind::File(bytes) => (0o100_000, bytes),
            Kind::Link(target) => (0o120_000, target.as_bytes()),
            Kind::Same(other) => {
                return Err(io::Error::other(format!(
                    "{path} is still a hard link to {other}"
                )));
            }
        };
        let links = if matches!(entry.kind, Kind::Folder) { 2 } else { 1 };
        let size = u32::try_from(body.len()).map_err(too_long)?;
        member(
            &mut out,
            [inode, form | entry.mode, entry.uid, entry.gid, links, time, size],
            path,
            body,
        )?;
    }
    member(&mut out, [0, 0, 0, 0, 1, 0, 0], "TRAILER!!!", &[])?;
    out.flush()
}

fn member(out: &mut impl Write, fields: [u32; 7], name: &str, body: &[u8]) -> io::Result<()> {
    let name_size =
        u32::try_from(name.len() + 1).map_err(|_| io::Error::other("a path longer than cpio can say"))?;
    let mut header = String::from("070701");
    for field in fields.into_iter().chain([0, 0, 0, 0, name_size, 0]) {
        header.push_str(&format!("{field:08x}"));
    }
    out.write_all(header.as_bytes())?;
    out.write_all(name.as_bytes())?;
    let zeros = [0_u8; 4];
    let padding = |length: usize| length.next_multiple_of(4) - length;
    out.write_all(
        zeros
            .get(..1 + padding(header.len() + name.len() + 1))
            .unwrap_or_default(),
    )?;
    out.write_all(body)?;
    out.write_all(zeros.get(..padding(body.len())).unwrap_or_default())
}
