//! A Debian mirror: signed indexes for `update`, files by their hash for a build. Where it is comes from KEDGE_DEBIAN_MIRROR or
//! from the machine's apt configuration, never from a file of this repository: the hashes say what is taken, not the host.
//! An index counts only with a signature of Debian's archive keys (gpgv) and the hash that the signed Release states; a Release of
//! another suite, one past its time, and a choice older than the one before are refused.

use super::{
    control::{MAX_INDEX, Paragraph, paragraphs},
    lock::{Lock, Locked, Suite, Wishes},
    resolve::Archive,
};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Longest Release file, bytes.
const MAX_RELEASE: u64 = 4 << 20;
/// Longest packed index, bytes.
const MAX_PACKED: u64 = 64 << 20;
/// Time a mirror may take to be reached, and may say nothing.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

/// A mirror and the folder its files are kept in.
#[derive(Debug)]
pub struct Mirror {
    /// Above the archives' folders; `None` where apt names no mirror, which a full cache does not need.
    base: Option<String>,
    cache: PathBuf,
    client: reqwest::Client,
}

impl Mirror {
    /// The mirror of this machine.
    ///
    /// # Errors
    /// When the cache's folder cannot be made.
    pub fn of_this_machine(cache: PathBuf) -> Result<Self> {
        let base = std::env::var("KEDGE_DEBIAN_MIRROR").ok().or_else(apt_mirror);
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the package cache {}", cache.display()))?;
        Ok(Self {
            base: base.map(|url| url.trim_end_matches('/').to_owned()),
            cache,
            client: reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .build()?,
        })
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let base = self.base.as_ref().context(
            "apt's configuration names no Debian mirror: set KEDGE_DEBIAN_MIRROR to the URL above its `debian` folder",
        )?;
        let url = format!("{base}/{path}");
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

    /// Chooses every package anew, in the place of a choice that was made `before`. `now` is in seconds since 1970; without it a
    /// Release file may be past its time.
    ///
    /// # Errors
    /// When an index cannot be had or believed, or a set cannot be made.
    pub async fn update(&self, wishes: &Wishes, before: Option<&Lock>, now: Option<u64>) -> Result<Lock> {
        let mut archive = Archive::default();
        let mut epoch = 0;
        for suite in &wishes.suites {
            let (released, index) = self.index(suite, now).await?;
            epoch = epoch.max(released);
            archive.add(suite, &index)?;
        }
        // A mirror that serves what Debian signed a year ago would bring back what was mended since.
        if let Some(before) = before.filter(|before| before.epoch > epoch) {
            bail!(
                "expected suites as new as the lock's (released at {}), got {epoch}: use a mirror that is up to date",
                before.epoch
            );
        }
        let mut packages = Vec::new();
        for set in &wishes.sets {
            packages.extend(archive.resolve(set)?);
        }
        packages.sort_by(|a, b| (&a.set, &a.name).cmp(&(&b.set, &b.name)));
        let lock = Lock { epoch, packages };
        lock.check()?;
        Ok(lock)
    }

    /// A suite's date, seconds since 1970, and its list of packages.
    async fn index(&self, suite: &Suite, now: Option<u64>) -> Result<(u64, String)> {
        let folder = format!("{}/dists/{}", suite.archive, suite.name);
        let signed = self.get(&format!("{folder}/InRelease"), MAX_RELEASE).await?;
        let release = verified(&signed).with_context(|| format!("{folder}/InRelease"))?;
        let release = paragraphs(&release)?
            .into_iter()
            .next()
            .context("an empty Release file")?;
        let released = released(&release, suite, now).with_context(|| format!("{folder}/InRelease"))?;
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
        Ok((released, text))
    }
}

/// When a suite was released, if this is a Release file of the suite that counts now. Debian's keys sign every suite, and signed each
/// of its states.
fn released(release: &Paragraph, suite: &Suite, now: Option<u64>) -> Result<u64> {
    let names = [release.get("Codename"), release.get("Suite")];
    ensure!(
        names.contains(&Some(suite.name.as_str())),
        "expected the suite {}, got {:?} ({:?})",
        suite.name,
        names[0].unwrap_or_default(),
        names[1].unwrap_or_default()
    );
    if let (Some(end), Some(now)) = (release.get("Valid-Until"), now) {
        ensure!(
            date(end)? > now,
            "expected a Release file that is still valid, got one that ended on {end}: use a mirror that is up to date, or say --snapshot"
        );
    }
    date(release.need("Date")?)
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
fn apt_mirror() -> Option<String> {
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
            base: Some("http://127.0.0.1:1".to_owned()),
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
        // Without a mirror a kept package is had, and another one is asked for in vain.
        let mirror = Mirror { base: None, ..mirror };
        let error = format!("{:#}", mirror.file(&package).await.unwrap_err());
        assert!(error.contains("set KEDGE_DEBIAN_MIRROR"), "{error}");
        std::fs::write(&kept, b"package").unwrap();
        assert_eq!(mirror.file(&package).await.unwrap(), kept);
    }

    #[test]
    fn a_release_of_another_suite_or_past_its_time_is_refused() {
        let suite = Suite {
            name: "trixie-security".to_owned(),
            archive: "debian-security".to_owned(),
            on_request: false,
        };
        let told = |text: &str| {
            let release = paragraphs(text).unwrap().remove(0);
            released(&release, &suite, Some(1_789_200_000)).map_err(|error| format!("{error:#}"))
        };
        let date = "Date: Sat, 12 Sep 2026 07:55:41 UTC\n";
        let names = "Suite: stable-security\nCodename: trixie-security\n";
        let lasting = "Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC\n";
        assert_eq!(told(&[names, date, lasting].concat()), Ok(1_789_199_741));
        assert_eq!(told(&[names, date].concat()), Ok(1_789_199_741));
        let other = told(&format!("Suite: stable\nCodename: trixie\n{date}")).unwrap_err();
        assert!(other.contains("expected the suite trixie-security"), "{other}");
        assert!(told(date).unwrap_err().contains("expected the suite"));
        let ended = "Valid-Until: Sat, 12 Sep 2026 07:55:42 UTC\n";
        let ended = told(&[names, date, ended].concat()).unwrap_err();
        assert!(ended.contains("still valid"), "{ended}");
        assert!(told(&[names, date, "Valid-Until: soon\n"].concat()).is_err());
        assert!(told(names).unwrap_err().contains("no Date"));
        // Of a snapshot, named as one.
        let old = paragraphs(
            "Codename: trixie-security\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nValid-Until: Sat, 12 Sep 2026 07:55:42 UTC\n",
        );
        assert!(released(&old.unwrap().remove(0), &suite, None).is_ok());
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
