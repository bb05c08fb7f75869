//! Listening unix sockets that nobody else can open for a moment: bound inside a fresh folder of the owner, then moved to
//! their place.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
};

/// Binds `path` with permission bits `mode`, in place of a socket that is there. Refuses to replace anything else.
///
/// # Errors
/// When something else than a socket is there, or the system does not let us.
pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "expected a socket or nothing, got another file",
            ));
        }
        _ => {}
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let private = folder.join(format!(".bind-{}", std::process::id()));
    let _ = fs::remove_dir_all(&private);
    fs::DirBuilder::new().mode(0o700).create(&private)?;
    let bound = bind_within(&private.join("s"), path, mode);
    let _ = fs::remove_dir_all(&private);
    bound
}

fn bind_within(inside: &Path, path: &Path, mode: u32) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(inside)?;
    // Nobody but the owner can reach it before this: its folder is 0700.
    fs::set_permissions(inside, fs::Permissions::from_mode(mode))?;
    fs::rename(inside, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        drop(bind(&path, 0o600).unwrap());
        let listener = bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(bind(&file, 0o600).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }
}
