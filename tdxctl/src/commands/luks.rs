//! `luks`: the encrypted data disk of an instance, by hand. `header-check` has no key, so whose disk it is only the others can tell.

use crate::{
    cli::{Luks, LuksDisk},
    exit::{Failure, OK, Outcome, chain},
};
use guest_disk::{
    DataDisk, DiskError, May, header,
    layout::{HEADER, HEADER_LEN},
    marker::MarkerKey,
};
use guest_files::read_bounded;
use kms_wire::AppKeys;
use serde_json::json;
use std::{
    fs::File,
    io::{Read, stdin},
    os::unix::fs::FileExt,
    path::Path,
};
use zeroize::Zeroizing;

/// Bytes of released keys in JSON.
const MAX_KEYS: usize = 64 * 1024;

pub(crate) fn luks(command: &Luks) -> Result<Outcome, Failure> {
    match command {
        Luks::HeaderCheck { disk } => header_check(disk),
        Luks::Open(disk) => open(disk, May::Open),
        Luks::Format(disk) => open(disk, May::Format),
    }
}

fn header_check(disk: &Path) -> Result<Outcome, Failure> {
    let mut bytes = vec![0; HEADER_LEN];
    File::open(disk)
        .and_then(|file| file.read_exact_at(&mut bytes, HEADER))
        .map_err(|error| {
            Failure::could_not_ask(&DiskError::Io {
                path: disk.to_owned(),
                source: error,
            })
            .advise("give a disk, or a file with its first 2 MiB")
        })?;
    header::check(&bytes).map_err(|error| Failure::refused(format_args!("{}: {error}", disk.display())))?;
    Ok(Outcome {
        code: OK,
        json: json!({ "ok": true, "cipher": "aes-xts-plain64", "integrity": "hmac(sha256)" }),
        text: format!(
            "{}: aes-xts-plain64 with hmac(sha256), every field as a guest formats it",
            disk.display()
        ),
    })
}

fn open(asked: &LuksDisk, may: May) -> Result<Outcome, Failure> {
    let keys = keys(&asked.keys)?;
    let markers = MarkerKey::new(keys.disk_key.expose(), &keys.app_id, &keys.instance_id);
    let disk = DataDisk {
        device: asked.disk.clone(),
        target: asked.mount.clone(),
        memory: asked.memory.clone(),
    };
    let opened = disk.open(&markers, keys.disk_key.expose(), may).map_err(failed)?;
    Ok(Outcome {
        code: OK,
        json: json!({ "ok": true, "mounted": asked.mount, "generation": opened.generation, "new": opened.new }),
        text: format!(
            "{}: mounted at {}, generation {}",
            asked.disk.display(),
            asked.mount.display(),
            opened.generation
        ),
    })
}

fn keys(path: &Path) -> Result<AppKeys, Failure> {
    let text = if path == Path::new("-") {
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEYS + 1));
        stdin()
            .take(MAX_KEYS as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|error| Failure::could_not_ask(&error))?;
        text
    } else {
        read_bounded(path, MAX_KEYS).map_err(|error| Failure::could_not_ask(&error))?
    };
    if text.len() > MAX_KEYS {
        return Err(Failure::usage(format_args!(
            "keys: expected at most {MAX_KEYS} bytes, got more"
        )));
    }
    // K4: the parser's words may quote what it read.
    serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format_args!(
            "keys: expected JSON as `tdxctl request-keys` writes it, got something else at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

fn failed(error: DiskError) -> Failure {
    let message = chain(&error);
    match error {
        DiskError::Empty => Failure::refused(message).advise("`tdxctl luks format` formats it"),
        DiskError::Formatted => Failure::refused(message).advise("`tdxctl luks open` opens it"),
        _ if error.is_refusal() => Failure::refused(message),
        _ => Failure::could_not_ask(&error),
    }
}
