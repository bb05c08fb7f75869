//! Where released keys go, and what is shown of them. A file is made new, for its owner only, and never overwritten; a
//! fingerprint tells two keys apart and nothing about either.

use crate::exit::Failure;
use hkdf::Hkdf;
use kms_client::app_public_key;
use kms_keys::{Secret, env_public_key};
use kms_wire::AppKeys;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use zeroize::Zeroizing;

/// Room for the keys in JSON: growing would leave copies behind.
const ROOM: usize = 16 * 1024;

/// Writes the keys to `path`, or to standard output for `-`.
pub(super) fn write(path: &Path, keys: &AppKeys) -> Result<(), Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(ROOM));
    serde_json::to_writer(&mut *text, keys).map_err(|error| Failure::could_not_ask(&error))?;
    if path == Path::new("-") {
        eprintln!("tdxctl: WARNING: secret keys on standard output");
        return io::stdout()
            .write_all(&text)
            .and_then(|()| io::stdout().write_all(b"\n"))
            .map_err(|error| Failure::could_not_ask(&error));
    }
    // K4: a file that exists may be a link, or open elsewhere; mode bits of an old file would stay.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::no_answer(format_args!("{}: {error}", path.display())))
}

/// Refuses a place that is taken, before anybody is asked for keys.
pub(super) fn check_free(path: &Path) -> Result<(), Failure> {
    if path != Path::new("-") && path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format_args!(
            "{}: expected no such file, got one; keys are not written over anything",
            path.display()
        )));
    }
    Ok(())
}

/// The first eight bytes of a hash: of public keys where there is one, else of a value derived from the secret.
pub(super) fn fingerprints(keys: &AppKeys) -> Result<Value, Failure> {
    let mut disk = [0; 8];
    Hkdf::<Sha256>::new(Some(b"kedge/fingerprint/v1"), keys.disk_key.expose())
        .expand(b"disk_key", &mut disk)
        .map_err(|_| Failure::refused("disk key: no fingerprint"))?;
    let mut env = Box::new([0; 32]);
    env.copy_from_slice(keys.env_key.expose());
    let env = env_public_key(&Secret::new(env));
    let app = app_public_key(keys)?;
    Ok(json!({
        "disk_key": hex::encode(disk),
        "env_public_key": short(&env),
        "app_public_key": short(&app),
    }))
}

fn short(public: &[u8]) -> String {
    let digest = Sha256::digest(public);
    hex::encode(digest.first_chunk::<8>().copied().unwrap_or_default())
}
