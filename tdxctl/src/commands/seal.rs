//! `seal` and `unseal`: bytes that only this app, or this instance of it, opens again. "Not a sealed file", "sealed to somebody else or
//! changed" and "the keys could not be had" end in different exit codes.

use super::seal_keys;
use crate::{
    cli::{Seal, Sealing, Unseal},
    exit::{Failure, Outcome, chain},
    table::list,
};
use guest_files::write_private;
use kms_keys::{MAX_SEALED_FILE, MAX_SEALED_TEXT, SealScope, SealedFile, SealedFileError};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

pub(crate) async fn seal(arguments: &Seal, json: bool) -> Result<Outcome, Failure> {
    let sealing = &arguments.sealing;
    one_reader(sealing, json)?;
    let text = read(&sealing.input, MAX_SEALED_TEXT)?;
    let scope = if arguments.instance {
        SealScope::Instance
    } else {
        SealScope::App
    };
    let keys = seal_keys::keys(sealing, None).await?;
    let key = seal_keys::sealing_key(keys, scope)?;
    let file = key
        .seal(&text, sealing.context.as_bytes(), &mut rand::rng())
        .map_err(failure)?;
    write(&sealing.output, &file)?;
    let read = SealedFile::parse(&file).map_err(failure)?;
    Ok(outcome(sealing, &read, text.len()))
}

pub(crate) async fn unseal(arguments: &Unseal, json: bool) -> Result<Outcome, Failure> {
    let sealing = &arguments.sealing;
    one_reader(sealing, json)?;
    let bytes = read(&sealing.input, MAX_SEALED_FILE)?;
    let file = SealedFile::parse(&bytes).map_err(failure)?;
    let keys = seal_keys::keys(sealing, Some(file.key_epoch)).await?;
    // Before the scope is looked at: an app without instances is told whose the file is, not what it lacks itself.
    if keys.app_id != file.app_id {
        return Err(failure(SealedFileError::App {
            expected: file.app_id,
            actual: keys.app_id,
        }));
    }
    let key = seal_keys::sealing_key(keys, file.scope)?;
    let text = key.open(&file, sealing.context.as_bytes()).map_err(failure)?;
    write(&sealing.output, &text)?;
    Ok(outcome(sealing, &file, text.len()))
}

/// What stands on standard output is either the bytes or the JSON object.
fn one_reader(sealing: &Sealing, json: bool) -> Result<(), Failure> {
    if json && sealing.output == Path::new("-") {
        return Err(Failure::usage(
            "--out: expected FILE with --json, got standard output",
        ));
    }
    Ok(())
}

fn failure(error: SealedFileError) -> Failure {
    let text = chain(&error);
    match error {
        error if error.is_malformed() => Failure::usage(text).advise("give a whole file that `tdxctl seal` wrote"),
        SealedFileError::Epoch { .. } => Failure::no_answer(text).advise(
            "ask a KMS for the keys of that epoch, before the boot is complete: --kms with the flags of request-keys. It gives them while the contract's minKeyEpoch is not above",
        ),
        SealedFileError::Context { .. } => Failure::refused(text).advise("say with --context what it was sealed for"),
        SealedFileError::App { .. } | SealedFileError::Instance { .. } | SealedFileError::Scope { .. } => {
            Failure::refused(text).advise("only whom it is sealed to can open it")
        }
        SealedFileError::Tag => Failure::refused(text)
            .advise("the file was changed, or is of the same app under another KMS; take another copy"),
        _ => Failure::refused(text),
    }
}

fn outcome(sealing: &Sealing, file: &SealedFile<'_>, bytes: usize) -> Outcome {
    if sealing.output == Path::new("-") {
        return Outcome::silent();
    }
    let out = sealing.output.display().to_string();
    let instance = (file.scope == SealScope::Instance).then_some(file.instance_id);
    Outcome {
        code: crate::exit::OK,
        json: json!({
            "ok": true,
            "scope": file.scope.as_str(),
            "app_id": file.app_id,
            "instance_id": instance,
            "key_epoch": file.key_epoch,
            "context": sealing.context,
            "bytes": bytes,
            "out": out,
        }),
        text: list([
            ("app", file.app_id.to_string()),
            (
                "instance",
                instance.map_or_else(|| "any".to_owned(), |id| id.to_string()),
            ),
            ("key epoch", file.key_epoch.to_string()),
            ("bytes", bytes.to_string()),
            ("written to", out),
        ]),
    }
}

/// Reads at most `max` bytes, which may be secret: what was read is wiped, also where the buffer had to grow.
fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| Failure::no_answer(format_args!("{}: {error}", path.display()));
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    let mut piece = Zeroizing::new(vec![0; 64 * 1024]);
    loop {
        let count = match source.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if bytes.len() + count > max {
            return Err(Failure::usage(format_args!(
                "{}: expected at most {max} bytes, got more",
                path.display()
            )));
        }
        if bytes.capacity() - bytes.len() < count {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * bytes.capacity() + count));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut out = io::stdout().lock();
        return out
            .write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| Failure::could_not_ask(&error));
    }
    // K4: what is unsealed is a secret, and half of one helps nobody.
    write_private(path, bytes).map_err(|error| Failure::could_not_ask(&error))
}
