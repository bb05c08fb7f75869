//! A Debian mirror: signed indexes for `update`, files by their hash for a build. Where it is comes from KEDGE_DEBIAN_MIRROR or
//! from the machine's apt configuration, never from a file of this repository: the hashes say what is taken, not the host.
//! An index counts only with a signature of Debian's archive keys (gpgv) and the hash that the signed Release states.

use super::{
    control::{MAX_INDEX, paragraphs},
    lock::{Lock, Locked, Suite, Wishes},
    resolve::Archive,
};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Longest Release file, bytes.
const MAX_RELEASE: u64 = 4 << 20;
/// Longest packed index, bytes.
const MAX_PACKED: u64 = 64 << 20;

/// A mirror and the folder its files are kept in.
#[derive(Debug)]
pub struct Mirror {
    base: String,
    cache: PathBuf,
    client: reqwest::Client,
}

impl Mirror {
    /// The mirror of this machine.
    ///
    /// # Errors
    /// When apt names none and KEDGE_DEBIAN_MIRROR is not set.
    pub fn of_this_machine(cache: PathBuf) -> Result<Self> {
        let base = match std::env::var("KEDGE_DEBIAN_MIRROR") {
            Ok(url) => url,
            Err(_) => apt_mirror()?,
        };
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the package cache {}", cache.display()))?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            cache,
            client: reqwest::Client::builder().build()?,
        })
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let url = format!("{}/{path}", self.base);
        let mut answer = self
            .client
            .get(&url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| {
                format!("could not fetch {url}: set KEDGE_DEBIAN_MIRROR to a mirror that is reached")
            })?;
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.with_context(|| format!("{url} broke off"))? {
            ensure!(
                bytes.len() + part.len() <= usize::try_from(limit)?,
                "{url} is longer than {limit} bytes"
            );
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    /// The file of a package, from the cache or the mirror.
    ///
    /// # Errors
    /// When it cannot be fetched, or what came is another file.
    pub async fn file(&self, package: &Locked) -> Result<PathBuf> {
        let kept = self.cache.join(format!("{}.deb", package.sha256));
        // What was kept is believed no more than what is fetched.
        if let Ok(bytes) = std::fs::read(&kept)
            && hex::encode(Sha256::digest(&bytes)) == package.sha256
        {
            return Ok(kept);
        }
        let bytes = self.get(&format!("{}/{}", package.archive, package.path), package.size).await.with_context(|| {
            format!("{} {} is not in the cache; if the mirror has dropped this version, run `os-image update`", package.name, package.version)
        })?;
        let got = hex::encode(Sha256::digest(&bytes));
        ensure!(
            got == package.sha256,
            "{} {}: expected SHA-256 {}, got {got}: not used",
            package.name,
            package.version,
            package.sha256
        );
        let mut file = tempfile::NamedTempFile::new_in(&self.cache)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(&kept)?;
        Ok(kept)
    }

    /// Chooses every package anew.
    ///
    /// # Errors
    /// When an index cannot be had or believed, or a set cannot be made.
    pub async fn update(&self, wishes: &Wishes) -> Result<Lock> {
        let mut archive = Archive::default();
        let mut epoch = 0;
        for suite in &wishes.suites {
            let (released, index) = self.index(suite).await?;
            epoch = epoch.max(released);
            archive.add(suite, &index)?;
        }
        let mut packages = Vec::new();
        for set in &wishes.sets {
            packages.extend(archive.resolve(set)?);
        }
        packages.sort_by(|a, b| (&a.set, &a.name).cmp(&(&b.set, &b.name)));
        Ok(Lock { epoch, packages })
    }

    /// A suite's date, seconds since 1970, and its list of packages.
    async fn index(&self, suite: &Suite) -> Result<(u64, String)> {
        let folder = format!("{}/dists/{}", suite.archive, suite.name);
        let signed = self.get(&format!("{folder}/InRelease"), MAX_RELEASE).await?;
        let release = verified(&signed).with_context(|| format!("{folder}/InRelease"))?;
        let release = paragraphs(&release)?
            .into_iter()
            .next()
            .context("an empty Release file")?;
        let path = "main/binary-amd64/Packages.xz";
        let hash = release
            .need("SHA256")?
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                Some((words.next()?, words.next()?, words.next()?))
            })
            .find(|(_, _, name)| *name == path)
            .map(|(hash, ..)| hash.to_owned())
            .with_context(|| format!("{folder}: the Release file does not name {path}"))?;
        let packed = self
            .get(
                &format!("{folder}/main/binary-amd64/by-hash/SHA256/{hash}"),
                MAX_PACKED,
            )
            .await?;
        let got = hex::encode(Sha256::digest(&packed));
        ensure!(
            got == hash,
            "{folder}/{path}: expected SHA-256 {hash}, got {got}: not used"
        );
        let mut text = String::new();
        liblzma::read::XzDecoder::new(packed.as_slice())
            .take(MAX_INDEX as u64 + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("{folder}/{path}"))?;
        ensure!(
            text.len() <= MAX_INDEX,
            "{folder}/{path}: longer than {MAX_INDEX} bytes unpacked"
        );
        Ok((date(release.need("Date")?)?, text))
    }
}

/// The signed text, when one of Debian's archive keys signed it.
fn verified(signed: &[u8]) -> Result<String> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(signed)?;
    let out = Command::new("gpgv")
        .args(["--keyring", KEYRING, "--output", "-"])
        .arg(file.path())
        .output()
        .context("gpgv is not installed: apt-get install gpgv debian-archive-keyring")?;
    if !out.status.success() {
        bail!(
            "no good signature of a key in {KEYRING}: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8(out.stdout)?)
}

/// Seconds since 1970 of a Release file's date.
fn date(text: &str) -> Result<u64> {
    let format = time::format_description::well_known::Rfc2822;
    let text = text.replace("UTC", "+0000");
    let date = time::OffsetDateTime::parse(&text, &format)
        .with_context(|| format!("expected a date, got {text:?}"))?;
    Ok(u64::try_from(date.unix_timestamp())?)
}

/// The first mirror of apt's that serves `debian`, without that folder.
fn apt_mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let mut more: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        more.sort();
        files.append(&mut more);
    }
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|text| mirror_in(&text))
        .context("apt's configuration names no Debian mirror: set KEDGE_DEBIAN_MIRROR to the URL above its `debian` folder")
}

fn mirror_in(text: &str) -> Option<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .find_map(|url| {
            url.trim_end_matches('/')
                .strip_suffix("/debian")
                .map(str::to_owned)
        })
}

/// Where packages are kept unless told otherwise.
///
/// # Errors
/// When there is no home folder.
pub fn default_cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("KEDGE_OS_CACHE") {
        return Ok(folder.into());
    }
    let home =
        std::env::var_os("HOME").context("HOME is not set: set KEDGE_OS_CACHE to a folder for packages")?;
    Ok(Path::new(&home).join(".cache/kedge/debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kept_package_that_was_changed_is_not_used() {
        let cache = tempfile::tempdir().unwrap();
        let mirror = Mirror {
            // Nobody listens at port 1.
            base: "http://127.0.0.1:1".to_owned(),
            cache: cache.path().to_owned(),
            client: reqwest::Client::new(),
        };
        let package = Locked {
            set: "root".to_owned(),
            name: "package".to_owned(),
            version: "1".to_owned(),
            archive: "debian".to_owned(),
            path: "pool/package.deb".to_owned(),
            size: 7,
            sha256: hex::encode(Sha256::digest(b"package")),
        };
        let kept = cache.path().join(format!("{}.deb", package.sha256));
        std::fs::write(&kept, b"package").unwrap();
        assert_eq!(mirror.file(&package).await.unwrap(), kept);
        std::fs::write(&kept, b"Package").unwrap();
        let error = format!("{:#}", mirror.file(&package).await.unwrap_err());
        assert!(error.contains("not in the cache"), "{error}");
    }

    #[test]
    fn both_forms_of_apt_sources_name_a_mirror() {
        let list = "# deb http://old.example/debian x main\ndeb [arch=amd64] https://m.example/debian/ trixie main\n";
        assert_eq!(mirror_in(list).as_deref(), Some("https://m.example"));
        let paragraphs = "Types: deb\nURIs: http://m.example:80/a/debian\nSuites: trixie\n";
        assert_eq!(mirror_in(paragraphs).as_deref(), Some("http://m.example:80/a"));
        assert_eq!(mirror_in("deb https://deb.example/node nodistro main"), None);
    }

    #[test]
    fn a_release_date_is_read_as_utc() {
        assert_eq!(date("Sat, 12 Sep 2026 07:55:41 UTC").unwrap(), 1_789_199_741);
        assert!(date("yesterday").is_err());
    }

    #[test]
    fn an_index_without_debians_signature_is_not_believed() {
        let forged = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\n";
        assert!(
            verified(forged)
                .unwrap_err()
                .to_string()
                .contains("no good signature")
        );
    }
}
