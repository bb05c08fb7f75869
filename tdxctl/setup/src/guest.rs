//! The real effects: this TD, this machine's files, the KMS over the network. Blocking; one boot at a time.

use crate::{
    BootKeys, DirectoryStorage, Effects, HostDocument, KeyRequest, Machine, Platform, Stage, StageError,
    StorageBackend, StorageRequest, Told, directory::inside, error::chain, measure, requirements,
};
use guest_disk::marker::MarkerKey;
use guest_files::{
    FileError, GuestKeys, GuestPaths, HandOver, KeyProviderInfo, KmsAccess, Progress, StageState, Storage,
    read_bounded, write_private,
};
use kms_client::{
    Described, Expected, Kms, KmsPin, KmsPool, LocalError, LocalOptions, PoolError, RequestError,
    RetryPolicy, TrustRoots, request_local_keys,
};
use kms_types::{AppId, Blob, EventLogEntry, InstanceId, KeyEpoch, ReportData, UnixTime};
use kms_wire::{EpochIdentity, SecretBytes};
use rand::RngCore;
use std::{
    fs,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};
use td_quote::Td;
use zeroize::{Zeroize, Zeroizing};

/// Hears how far the boot is.
pub type Reporter = Box<dyn FnMut(&Progress) + Send>;

/// What a boot on this machine needs to know.
pub struct GuestOptions {
    /// Where everything is left.
    pub paths: GuestPaths,
    /// The TD, as `--td` names it.
    pub td: String,
    /// Measured init scripts may run here.
    pub run_scripts: bool,
    /// Time for one call to a KMS.
    pub timeout: Duration,
    /// How patiently to ask.
    pub retry: RetryPolicy,
    /// Version of the OS image.
    pub os_version: Option<String>,
    /// Where data is kept.
    pub storage: StorageBackend,
}

/// This machine.
pub struct Guest {
    options: GuestOptions,
    td: Box<dyn Td>,
    storage: Option<PathBuf>,
    runtime: tokio::runtime::Handle,
    reporter: Reporter,
}

const DISK_ADVICE: &str = "make room on the disk, or repair the folder's permissions; then start setup again";

impl Guest {
    /// Opens the TD and makes the folder of this boot.
    ///
    /// Call it, and [`run`](crate::run), outside of the runtime's own threads: both block.
    ///
    /// # Errors
    /// When the TD does not answer or the folder cannot be made.
    pub fn new(
        options: GuestOptions,
        runtime: tokio::runtime::Handle,
        reporter: Reporter,
    ) -> Result<Self, StageError> {
        let td = td_quote::open(&options.td).map_err(td)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(options.paths.run())
            .map_err(|error| {
                StageError::could_not_ask(format!("{}: {error}", options.paths.run().display()), DISK_ADVICE)
            })?;
        remove_unfinished(options.paths.run())?;
        Ok(Self {
            options,
            td,
            storage: None,
            runtime,
            reporter,
        })
    }

    /// What this machine is, as far as requirements ask.
    pub fn machine_of(options: &GuestOptions) -> Machine {
        Machine {
            platform: if options.td == "tsm" {
                Platform::Tdx
            } else {
                Platform::Simulated
            },
            os_version: options.os_version.clone(),
            encrypted: options.storage != StorageBackend::Directory,
        }
    }

    fn ask_kms(&self, document: &HostDocument) -> Result<BootKeys, StageError> {
        let (identity, pool) = kms_of(document, &self.options)?;
        let guest = kms_client::Guest::of(&*self.td, &document.catalogue).map_err(asked)?;
        let described = Described {
            vm_config: document.vm_config.clone(),
            instance_seed: document.instance_seed,
            key_epoch: None,
            disk_generation: None,
        };
        let released = self.runtime.block_on(pool.keys(&guest, &described, &*self.td));
        let released = released.map_err(no_keys)?;
        let decision = &released.response.decision;
        let mut agent = GuestKeys::of(&released.keys)
            .map_err(|error| StageError::refused(chain(&error), "this is a fault of the guest"))?;
        if requirements::detects_rollback(document) {
            let keys = &released.keys;
            let markers = MarkerKey::new(keys.disk_key.expose(), &keys.app_id, &keys.instance_id);
            agent.disk_marker_key = Some(SecretBytes::new(Box::new(*markers.expose())));
        }
        Ok(BootKeys {
            disk: Zeroizing::new(*released.keys.disk_key.expose()),
            env: Some(Zeroizing::new(*released.keys.env_key.expose())),
            agent,
            provider: KeyProviderInfo {
                name: "kms".to_owned(),
                id: hex::encode(identity.kms_identity.as_ref()),
            },
            kms: Some(KmsAccess {
                urls: document.kms_urls.clone(),
                pin: identity,
                chain_id: decision.chain_id,
                contract: decision.contract,
            }),
            known_generation: released.known_generation(),
        })
    }

    fn ask_local(&self, document: &HostDocument) -> Result<BootKeys, StageError> {
        let address = document.local_key_provider.clone().ok_or_else(|| {
            StageError::malformed(
                "host document: local_key_provider: expected HOST:PORT, since the app takes its keys from a local one; got none",
                "add it to the host document",
            )
        })?;
        // The keys are of RTMR3 before this event: asked for after it, they would be others, and open nothing.
        if self
            .td
            .event_log()
            .map_err(td)?
            .iter()
            .any(|entry| entry.event == "key-provider")
        {
            return Err(StageError::refused(
                "event log: expected no key-provider event before a local provider is asked, got one",
                "start the VM again: a boot that was cut off after it got local keys cannot get them twice",
            ));
        }
        let failed = |error: LocalError| {
            let (text, advice) = (chain(&error), error.advice());
            if error.could_not_ask() {
                StageError::could_not_ask(text, advice)
            } else {
                StageError::refused(text, advice)
            }
        };
        let options = LocalOptions {
            address,
            timeout: self.options.timeout,
            pinned: document.manifest.compose().key_provider_id.clone(),
            roots: self.provider_roots()?,
            app_id: document.app_id,
            instance_id: measure::instance_id(document).unwrap_or(InstanceId::ZERO),
            now: self.now(),
        };
        let keys = self.runtime.block_on(request_local_keys(&options, &*self.td));
        let keys = keys.map_err(failed)?;
        let secrets = &keys.secrets;
        let signature = Blob::new(secrets.app_key_signature.to_vec());
        let signature = signature.map_err(|error| {
            StageError::refused(
                format!("app key signature: {error}"),
                "this is a fault of the guest",
            )
        })?;
        let seal_secret = guest_files::seal_secret(
            secrets.disk_key.expose(),
            &secrets.app_id,
            &secrets.instance_id,
            secrets.key_epoch,
        )
        .map_err(|error| StageError::refused(error.to_string(), "this is a fault of the guest"))?;
        Ok(BootKeys {
            disk: Zeroizing::new(*secrets.disk_key.expose()),
            env: Some(Zeroizing::new(*secrets.env_key.expose())),
            agent: GuestKeys {
                app_id: secrets.app_id,
                instance_id: secrets.instance_id,
                key_epoch: secrets.key_epoch,
                app_key: SecretBytes::new(Box::new(*secrets.app_key.expose())),
                app_key_signature: signature,
                ca_certificates: secrets.ca_certificates.clone(),
                gateway_app_id: AppId::ZERO,
                instance_seal_secret: Some(seal_secret),
                disk_marker_key: None,
            },
            provider: KeyProviderInfo {
                name: "local-sgx".to_owned(),
                id: hex::encode(&keys.provider_id),
            },
            kms: None,
            known_generation: None,
        })
    }

    /// Whose signature a pinned local provider must show: Intel's, under a simulated TD that of its own platform.
    fn provider_roots(&self) -> Result<TrustRoots, StageError> {
        // G3: quotes come through the host, so on hardware nothing a quote names itself may be believed.
        if self.options.td == "tsm" {
            return Ok(TrustRoots::new([kms_client::INTEL_ROOT]));
        }
        let quote = self.td.quote(&ReportData::ZERO).map_err(td)?;
        let said = kms_client::describe(&quote).map_err(|error| {
            StageError::refused(
                format!("own quote: {error}"),
                "the simulated TD gives quotes of another form: use the one of this version",
            )
        })?;
        Ok(TrustRoots::new([said.attestation_root]))
    }

    /// Fresh keys; on a second run of one boot, those of the first, so that what was derived from them stays the same.
    fn fresh(&self, app_id: AppId, instance_id: InstanceId) -> Result<BootKeys, StageError> {
        let agent = match self.options.paths.read_keys() {
            Ok(keys) => keys,
            Err(FileError::Missing { .. }) => {
                let keys = GuestKeys {
                    app_id,
                    instance_id,
                    key_epoch: KeyEpoch(0),
                    app_key: SecretBytes::new(fresh_scalar()),
                    app_key_signature: Blob::default(),
                    ca_certificates: String::new(),
                    gateway_app_id: AppId::ZERO,
                    instance_seal_secret: None,
                    disk_marker_key: None,
                };
                self.options.paths.write_keys(&keys).map_err(disk)?;
                keys
            }
            Err(error) => return Err(disk(error)),
        };
        let mut disk_key = Zeroizing::new([0; 64]);
        rand::rng().fill_bytes(disk_key.as_mut_slice());
        Ok(BootKeys {
            disk: disk_key,
            env: None,
            agent,
            provider: KeyProviderInfo {
                name: "none".to_owned(),
                id: String::new(),
            },
            kms: None,
            known_generation: None,
        })
    }

    /// Where the finished hand-over waits until the log is complete.
    fn waiting(&self) -> PathBuf {
        self.options.paths.run().join("handover.next.json")
    }

    fn stored(&self, name: &str) -> Result<PathBuf, StageError> {
        let folder = self.storage.as_ref().ok_or_else(|| {
            StageError::refused(
                "storage: expected it open, got closed",
                "this is a fault of the guest",
            )
        })?;
        Ok(inside(folder, name))
    }
}

/// The nodes of the KMS the document names, and who must answer there.
pub(crate) fn kms_of(
    document: &HostDocument,
    options: &GuestOptions,
) -> Result<(EpochIdentity, KmsPool), StageError> {
    let identity = document.kms_identity.clone().ok_or_else(|| {
        StageError::malformed("host document: kms_identity: expected one, got none", "add it")
    })?;
    let pin = KmsPin::from_identity(&identity).map_err(|error| {
        StageError::malformed(
            error.to_string(),
            "take the identity from GET /v1/meta or the chain",
        )
    })?;
    let kms = Kms {
        pin,
        network: Expected {
            chain_id: document.chain.map(|chain| chain.chain_id),
            contract: document.chain.map(|chain| chain.contract),
        },
        timeout: options.timeout,
    };
    let pool = KmsPool::new(&document.kms_urls, kms, options.retry).map_err(no_keys)?;
    Ok((identity, pool))
}

fn remove(path: &Path) -> Result<(), StageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StageError::could_not_ask(
            format!("{}: {error}", path.display()),
            DISK_ADVICE,
        )),
        _ => Ok(()),
    }
}

/// K4: a file that was being written when setup was killed may hold a secret; nothing else would ever take it away.
fn remove_unfinished(folder: &Path) -> Result<(), StageError> {
    let failed = |error: std::io::Error| {
        StageError::could_not_ask(format!("{}: {error}", folder.display()), DISK_ADVICE)
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".new-") {
            remove(&path)?;
        }
    }
    Ok(())
}

/// A scalar of secp256k1, by rejection.
fn fresh_scalar() -> Box<[u8; 32]> {
    let mut secret = Box::new([0; 32]);
    loop {
        rand::rng().fill_bytes(secret.as_mut_slice());
        if k256::SecretKey::from_slice(secret.as_slice()).is_ok() {
            return secret;
        }
        secret.zeroize();
    }
}

pub(crate) fn asked(error: RequestError) -> StageError {
    let text = chain(&error);
    if error.could_not_ask() {
        StageError::could_not_ask(text, error.advice())
    } else {
        StageError::refused(text, error.advice())
    }
}

fn no_keys(error: PoolError) -> StageError {
    let (text, advice) = (chain(&error), error.advice());
    match &error {
        PoolError::Addresses { .. } => StageError::malformed(text, advice),
        // G3: somebody else than the KMS spoke, or what it said does not hold; that is no silence.
        PoolError::NoAnswer { failures } if failures.iter().any(|one| !one.error.could_not_ask()) => {
            StageError::refused(text, advice)
        }
        error if error.could_not_ask() => StageError::could_not_ask(text, advice),
        _ => StageError::refused(text, advice),
    }
}

fn disk(error: FileError) -> StageError {
    StageError::could_not_ask(chain(&error), DISK_ADVICE)
}

pub(crate) fn td(error: td_quote::TdError) -> StageError {
    StageError::could_not_ask(chain(&error), error.advice())
}

impl Effects for Guest {
    fn machine(&self) -> Machine {
        Self::machine_of(&self.options)
    }

    fn td_spec(&self) -> String {
        self.options.td.clone()
    }

    fn now(&self) -> UnixTime {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(now.map_or(0, |now| now.as_secs()))
    }

    fn report(&mut self, stage: Stage, told: Told<'_>) {
        let (state, message, failure) = match told {
            Told::Running => (StageState::Running, "", None),
            Told::Done(message) => (StageState::Done, message, None),
            Told::Failed(error) => (StageState::Failed, error.message.as_str(), Some(error)),
        };
        let progress = Progress {
            stage: stage.as_str().to_owned(),
            state,
            message: message.to_owned(),
            kind: failure.map(|error| error.kind),
            advice: failure.map_or("", |error| error.advice).to_owned(),
            time: self.now(),
        };
        // The boot goes on when nobody can be told of it; a full disk shows where it matters.
        let _ = self.options.paths.write_progress(&progress);
        (self.reporter)(&progress);
    }

    fn event_log(&mut self) -> Result<Vec<EventLogEntry>, StageError> {
        self.td.event_log().map_err(td)
    }

    fn extend(&mut self, name: &str, payload: &[u8]) -> Result<(), StageError> {
        self.td.extend(name, payload).map(drop).map_err(td)
    }

    fn run_script(&mut self, script: &str) -> Result<(), StageError> {
        if !self.options.run_scripts {
            return Err(StageError::refused(
                "init_script: expected none, since setup was started without --run-scripts; got one",
                "init scripts run as root: start setup with --run-scripts inside a VM, never on a host that is more than the app",
            ));
        }
        let failed = |what: String| {
            StageError::refused(
                format!("init_script: {what}"),
                "repair the script; it is measured",
            )
        };
        let child = Command::new("/bin/sh")
            .arg("-e")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| failed(error.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            // A script that ends before it is read whole says why by its exit code.
            let _ = input.write_all(script.as_bytes());
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(format!("expected exit code 0, got {status}"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn image_proof(&mut self, document: &HostDocument) -> Result<Vec<u8>, StageError> {
        kms_client::Guest::of(&*self.td, &document.catalogue)
            .map(|guest| guest.image_proof)
            .map_err(|error| StageError::refused(chain(&error), error.advice()))
    }

    fn keys(&mut self, request: &KeyRequest<'_>) -> Result<BootKeys, StageError> {
        match request {
            KeyRequest::Kms { document } => self.ask_kms(document),
            KeyRequest::Local { document } => self.ask_local(document),
            KeyRequest::None { app_id, instance_id } => self.fresh(*app_id, *instance_id),
        }
    }

    fn open_storage(&mut self, request: &StorageRequest<'_>) -> Result<Storage, StageError> {
        let folder = if request.ephemeral {
            // Under fresh keys nothing of an earlier boot is this boot's; its folder goes with the boot.
            let folder = self.options.paths.run().join("data");
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StageError::could_not_ask(
                        format!("{}: {error}", folder.display()),
                        DISK_ADVICE,
                    ));
                }
                _ => folder,
            }
        } else {
            self.options.paths.data().to_owned()
        };
        let storage = match &self.options.storage {
            StorageBackend::Luks2 { serial } if !request.ephemeral => {
                crate::disk::open(serial, &folder, self.options.paths.run(), request)?
            }
            _ => DirectoryStorage::new(&folder).open(request)?,
        };
        self.storage = Some(folder);
        Ok(storage)
    }

    fn read_stored(&mut self, name: &str, max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, StageError> {
        match read_bounded(&self.stored(name)?, max) {
            Ok(contents) => Ok(Some(contents)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(disk(error)),
        }
    }

    fn write_stored(&mut self, name: &str, contents: &[u8]) -> Result<(), StageError> {
        write_private(&self.stored(name)?, contents).map_err(disk)
    }

    fn network(&mut self, _: &HostDocument) -> Result<String, StageError> {
        let folder = "/sys/class/net";
        let names = fs::read_dir(folder).map_err(|error| {
            StageError::could_not_ask(
                format!("{folder}: {error}"),
                "the kernel shows no network devices",
            )
        })?;
        let mut names: Vec<String> = names
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(format!("the machine's own: {}", names.join(", ")))
    }

    fn earlier_handover(&mut self) -> Result<Option<HandOver>, StageError> {
        let paths = &self.options.paths;
        if paths.handover().symlink_metadata().is_err() && self.waiting().symlink_metadata().is_ok() {
            self.publish()?;
        }
        match self.options.paths.read_handover() {
            Ok(handover) => Ok(Some(handover)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(disk(error)),
        }
    }

    fn hand_over(
        &mut self,
        app_compose: &[u8],
        env: &[u8],
        keys: &GuestKeys,
        handover: &HandOver,
    ) -> Result<(), StageError> {
        let paths = &self.options.paths;
        write_private(&paths.app_compose(), app_compose).map_err(disk)?;
        write_private(&paths.env(), env).map_err(disk)?;
        paths.write_keys(keys).map_err(disk)?;
        let text = serde_json::to_vec_pretty(handover)
            .map_err(|error| StageError::refused(error.to_string(), "this is a fault of the guest"))?;
        write_private(&self.waiting(), &text).map_err(disk)
    }

    fn publish(&mut self) -> Result<(), StageError> {
        let paths = &self.options.paths;
        fs::rename(self.waiting(), paths.handover())
            .and_then(|()| fs::File::open(paths.run()))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| {
                StageError::could_not_ask(format!("{}: {error}", paths.handover().display()), DISK_ADVICE)
            })
    }

    fn forget_earlier_boot(&mut self) -> Result<(), StageError> {
        let paths = &self.options.paths;
        for path in [
            paths.handover(),
            self.waiting(),
            paths.app_keys(),
            paths.env(),
            paths.app_compose(),
        ] {
            remove(&path)?;
        }
        Ok(())
    }
}
