//! `rand`: bytes of the operating system's generator. Refuses to go on when that gives none; nothing is mixed in or kept.

use crate::{
    cli::{Rand, RandFormat},
    exit::{Failure, Outcome},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use guest_files::write_private;
use rand::{TryRngCore, rngs::OsRng};
use serde_json::json;
use std::io::{self, Write};
use zeroize::Zeroizing;

pub(crate) fn rand(arguments: &Rand, json: bool) -> Result<Outcome, Failure> {
    // Raw bytes are no JSON, and a program that asked for JSON would read them as such.
    if json && arguments.output.is_none() && arguments.format == RandFormat::Raw {
        return Err(Failure::usage(
            "--format raw: expected --output FILE with --json, got none",
        ));
    }
    let count = usize::try_from(arguments.bytes).unwrap_or_default();
    let mut bytes = Zeroizing::new(vec![0; count]);
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Failure::no_answer(format_args!("random bytes of the system: {error}")))?;
    let text = Zeroizing::new(match arguments.format {
        RandFormat::Raw => bytes.to_vec(),
        RandFormat::Hex => hex::encode(&*bytes).into_bytes(),
        RandFormat::Base64 => STANDARD.encode(&*bytes).into_bytes(),
    });
    if let Some(path) = &arguments.output {
        // K4: whoever asks for random bytes in a file means to keep them secret.
        write_private(path, &text).map_err(|error| Failure::could_not_ask(&error))?;
        return Ok(Outcome {
            code: crate::exit::OK,
            json: json!({ "ok": true, "bytes": count, "output": path.display().to_string() }),
            text: format!("{}: {count} bytes", path.display()),
        });
    }
    let mut out = io::stdout().lock();
    let text_line = String::from_utf8_lossy(&text);
    let written = match (json, arguments.format) {
        (true, _) => writeln!(
            out,
            "{}",
            json!({ "ok": true, "bytes": count, "value": text_line })
        ),
        (false, RandFormat::Raw) => out.write_all(&text),
        (false, _) => writeln!(out, "{text_line}"),
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| Failure::could_not_ask(&error))?;
    Ok(Outcome::silent())
}
