//! A secret sealed to this machine's TPM 2.0 with the programs of tpm2-tools (TPM 2.0 Library, part 1, "Sealed Data Objects").
//!
//! The object hangs below the owner hierarchy's ECC primary of the default template, which a TPM makes again from its seed: nothing
//! is stored in the TPM. The secret passes through pipes alone. Refuses a sealed file of another form and one of another TPM.

use kms_keys::Secret;
use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"kedge-tpm-sealed-v1\n";
/// Unloads what earlier programs left in a TPM.
const FLUSH: &str = "tpm2_flushcontext";
/// Bytes of one half of a sealed object: TPM2B structures are far shorter.
const MAX_HALF: usize = 2048;
/// Bytes of a sealed file.
pub(super) const MAX_SEALED: usize = MAGIC.len() + 2 * (2 + MAX_HALF);

/// Why the TPM did not do it.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// A program of tpm2-tools is not there.
    #[error("{program} could not be started: install tpm2-tools, or set local.sealing to \"file\"")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The TPM, or the way to it, refused.
    #[error("{program} on {tcti}: {said}; if this machine has no TPM, set local.sealing to \"file\"")]
    Refused {
        /// Which program.
        program: &'static str,
        /// Which TPM.
        tcti: String,
        /// What it printed.
        said: String,
    },
    /// Not what was written.
    #[error("sealed file: expected {expected}, got {actual}; restore it from a backup")]
    Form {
        /// What should be there.
        expected: &'static str,
        /// What is.
        actual: String,
    },
    /// The folder for the exchange, or a pipe.
    #[error("exchange with tpm2-tools")]
    Io(#[from] io::Error),
}

/// A TPM, by its TCTI: `device:/dev/tpmrm0`, `swtpm:path=SOCKET`.
#[derive(Debug, Clone)]
pub(super) struct Tpm<'a> {
    pub(super) tcti: &'a str,
}

impl Tpm<'_> {
    /// Seals a secret to this TPM.
    pub(super) fn seal(&self, secret: &Secret<32>) -> Result<Vec<u8>, TpmError> {
        let folder = self.primary()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (public, private) = (at("public"), at("private"));
        let create = [
            "-Q",
            "-C",
            &at("primary"),
            "-i",
            "-",
            "-u",
            &public,
            "-r",
            &private,
        ];
        self.run("tpm2_create", &create, secret.expose())?;
        let mut sealed = MAGIC.to_vec();
        for half in [public, private] {
            let bytes = std::fs::read(half)?;
            let length = u16::try_from(bytes.len())
                .ok()
                .filter(|_| bytes.len() <= MAX_HALF);
            let length = length.ok_or_else(|| TpmError::Form {
                expected: "at most 2048 bytes of a TPM object",
                actual: bytes.len().to_string(),
            })?;
            sealed.extend_from_slice(&length.to_be_bytes());
            sealed.extend_from_slice(&bytes);
        }
        Ok(sealed)
    }

    /// Opens what [`Tpm::seal`] made.
    pub(super) fn unseal(&self, sealed: &[u8]) -> Result<Secret<32>, TpmError> {
        let [public, private] = halves(sealed)?;
        let folder = self.primary()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("public"), public)?;
        std::fs::write(at("private"), private)?;
        let load = [
            "-Q",
            "-C",
            &at("primary"),
            "-u",
            &at("public"),
            "-r",
            &at("private"),
            "-c",
            &at("object"),
        ];
        self.run("tpm2_load", &load, &[])?;
        let plain = self.run("tpm2_unseal", &["-c", &at("object")], &[])?;
        let mut secret = Box::new([0; 32]);
        if plain.len() != secret.len() {
            return Err(TpmError::Form {
                expected: "32 sealed bytes",
                actual: format!("{} bytes", plain.len()),
            });
        }
        secret.copy_from_slice(&plain);
        Ok(Secret::new(secret))
    }

    /// A folder with the context of the owner hierarchy's primary key.
    fn primary(&self) -> Result<TempDir, TpmError> {
        let folder = TempDir::new()?;
        let context = folder.path().join("primary").display().to_string();
        self.run(
            "tpm2_createprimary",
            &["-Q", "-C", "o", "-G", "ecc", "-c", &context],
            &[],
        )?;
        Ok(folder)
    }

    fn run(
        &self,
        program: &'static str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let mut child = Command::new(program)
            .args(["-T", self.tcti])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| TpmError::Start { program, source })?;
        if let Some(mut pipe) = child.stdin.take() {
            // A program that ends before it reads says why itself.
            match pipe.write_all(input) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
                _ => {}
            }
        }
        let out = child.wait_with_output()?;
        let stdout = Zeroizing::new(out.stdout);
        // Without the kernel's resource manager a TPM keeps what a program leaves loaded, and holds three objects.
        if program != FLUSH && !self.tcti.starts_with("device:/dev/tpmrm") {
            self.run(FLUSH, &["-t"], &[])?;
        }
        if !out.status.success() {
            return Err(TpmError::Refused {
                program,
                tcti: self.tcti.to_owned(),
                said: errors(&out.stderr),
            });
        }
        Ok(stdout)
    }
}

/// The lines with an error, in one.
fn errors(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    lines.join("; ").chars().take(400).collect()
}

/// The two halves of a sealed file.
fn halves(sealed: &[u8]) -> Result<[&[u8]; 2], TpmError> {
    let form = |expected: &'static str| TpmError::Form {
        expected,
        actual: format!("{} bytes", sealed.len()),
    };
    let rest = sealed
        .strip_prefix(MAGIC)
        .ok_or_else(|| form("a file that begins with kedge-tpm-sealed-v1"))?;
    let half = |bytes: &'_ [u8]| -> Option<(usize, usize)> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        ((1..=MAX_HALF).contains(&length) && length <= rest.len()).then_some((2, 2 + length))
    };
    let cut_off = || form("two halves of a TPM object");
    let (from, to) = half(rest).ok_or_else(cut_off)?;
    let (public, rest) = (rest.get(from..to), rest.get(to..).unwrap_or_default());
    let (from, to) = half(rest).ok_or_else(cut_off)?;
    match (public, rest.get(from..to), rest.len() == to) {
        (Some(public), Some(private), true) => Ok([public, private]),
        _ => Err(cut_off()),
    }
}

/// The secret of a sealed file, made first when `create`.
pub(super) fn secret(tcti: &str, path: &Path, create: bool) -> Result<Secret<32>, super::LocalStartError> {
    let tpm = Tpm { tcti };
    if create {
        let secret = Secret::generate(&mut rand::rng());
        kms_keys::create_private(path, &tpm.seal(&secret)?, &mut rand::rng())?;
    }
    Ok(tpm.unseal(&kms_keys::read_private(path, MAX_SEALED)?)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_two_halves_and_nothing_else_are_read() {
        let sealed = [MAGIC, &[0, 1, 7, 0, 2, 8, 9]].concat();
        assert_eq!(halves(&sealed).unwrap(), [&[7][..], &[8, 9]]);
        for length in 0..sealed.len() {
            assert!(halves(sealed.get(..length).unwrap()).is_err(), "{length}");
        }
        assert!(halves(&[sealed.as_slice(), &[0]].concat()).is_err());
        assert!(halves(&[MAGIC, &[0, 0, 0, 1, 1]].concat()).is_err());
    }
}
