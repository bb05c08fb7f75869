//! What setup left, read and compared: hand-over, keys, compose document, environment, the TD.

use super::{RunError, RunOptions};
use crate::{
    app::{App, AppError, BashApp, ComposeApp, Prelude, UnfitApp, pre_launch, read_environment},
    config::Config,
    events::Events,
    facts::{Facts, Public, runner_name},
    one_td::OneTd,
};
use app_manifest::{AppManifest, Environment, MAX_COMPOSE, Rollback, Runner};
use guest_disk::{Counter, by_serial, marker::MarkerKey};
use guest_files::{BootMode, GuestKeys, GuestPaths, HandOver, KmsAccess, StorageKind, read_bounded};
use kms_client::{Expected, Kms, KmsPin, KmsPool, RetryPolicy};
use std::{sync::Arc, time::Duration};
use td_quote::Td;

/// The guest as setup left it.
pub struct Guest {
    /// Where everything is.
    pub paths: GuestPaths,
    /// Every fact of this boot.
    pub handover: HandOver,
    /// Its keys.
    pub keys: GuestKeys,
    /// The measured document.
    pub manifest: AppManifest,
    /// Its exact text.
    pub compose: String,
    /// Its decrypted environment.
    pub environment: Arc<Environment>,
    /// The TD.
    pub td: Arc<dyn Td>,
}

/// The app, and what runs before it.
pub(super) struct AppParts {
    pub(super) app: Arc<dyn App>,
    pub(super) prelude: Option<Prelude>,
}

impl Guest {
    /// Reads what setup left.
    ///
    /// # Errors
    /// When a part is missing or they do not fit together.
    pub fn read(options: &RunOptions) -> Result<Self, RunError> {
        let paths = GuestPaths::new(&options.run, &options.data);
        let handover = paths.read_handover()?;
        let keys = paths.read_keys()?;
        for (what, expected, actual) in [
            (
                "app of the keys",
                handover.app_id.to_string(),
                keys.app_id.to_string(),
            ),
            (
                "instance of the keys",
                handover.instance_id.to_string(),
                keys.instance_id.to_string(),
            ),
        ] {
            if expected != actual {
                return Err(RunError::Mixed {
                    what,
                    expected,
                    actual,
                });
            }
        }
        let text = read_bounded(&paths.app_compose(), MAX_COMPOSE)?;
        let manifest =
            AppManifest::parse(&text).map_err(|error| RunError::Compose(crate::lease::chain(&error)))?;
        // G2: everything the app is allowed follows from this document; another one than the measured is nobody's.
        if manifest.hash() != handover.compose_hash {
            return Err(RunError::ComposeHash {
                expected: handover.compose_hash,
                actual: manifest.hash(),
            });
        }
        let environment = Arc::new(read_environment(&paths.env())?);
        let td = OneTd::shared(td_quote::open(&handover.td)?);
        let compose = String::from_utf8_lossy(&text).into_owned();
        Ok(Self {
            paths,
            handover,
            keys,
            manifest,
            compose,
            environment,
            td,
        })
    }

    /// What may be shown.
    pub fn facts(&self) -> Facts {
        let handover = &self.handover;
        Facts {
            app_id: handover.app_id,
            app_name: handover.app_name.clone(),
            instance_id: handover.instance_id,
            compose_hash: handover.compose_hash,
            os_image_hash: handover.os_image_hash,
            boot_mode: match handover.boot_mode {
                BootMode::Kms => "kms",
                BootMode::Local => "local",
                BootMode::None => "none",
            }
            .to_owned(),
            runner: runner_name(self.manifest.compose().runner),
            key_provider: handover.key_provider.name.clone(),
            key_provider_id: handover.key_provider.id.clone(),
            kms_urls: handover
                .kms
                .as_ref()
                .map(|kms| kms.urls.clone())
                .unwrap_or_default(),
            storage: match handover.storage.kind {
                StorageKind::Directory => "directory",
                StorageKind::Luks2 => "luks2",
            }
            .to_owned(),
            storage_encrypted: handover.storage.encrypted,
            env_version: handover.env_version,
            simulated: handover.simulated,
            booted_at: handover.booted_at,
            public: Public::of(&self.manifest),
            agent_version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The disk whose generation every lease reports, where the measured document has set-backs detected.
    pub(super) fn counted_disk(&self) -> Result<Option<Counter>, RunError> {
        let requirements = self.manifest.compose().requirements.as_ref();
        if requirements.and_then(|requirements| requirements.rollback) != Some(Rollback::Detect) {
            return Ok(None);
        }
        let storage = &self.handover.storage;
        let (Some(serial), Some(opened), Some(key)) =
            (&storage.counted, storage.generation, &self.keys.disk_marker_key)
        else {
            // G4: an agent that went on without would leave the owner with a promise nobody keeps.
            return Err(RunError::Mixed {
                what: "rollback detection",
                expected: "a disk that is counted, by the measured document".to_owned(),
                actual: "none in the hand-over".to_owned(),
            });
        };
        let device = by_serial(serial).map_err(RunError::Disk)?;
        let key = MarkerKey::from_bytes(key.expose());
        Counter::new(&device, key, opened)
            .map(Some)
            .map_err(RunError::Disk)
    }

    /// Whether the app goes on without the agent.
    pub(super) fn app_outlives_agent(&self) -> bool {
        self.manifest.compose().runner == Runner::DockerCompose
    }

    /// The app of the measured document.
    pub(super) fn app(&self, config: &Config, events: &Events) -> Result<AppParts, RunError> {
        let compose = self.manifest.compose();
        let log_writer = match &config.containers.log_writer {
            named if !named.as_os_str().is_empty() => named.clone(),
            _ => std::env::current_exe().map_err(RunError::system("the path of this program"))?,
        };
        let (run, data) = (self.paths.run(), self.handover.storage.path.as_path());
        let grace = Duration::from_secs(config.containers.stop_grace_s);
        let app: Arc<dyn App> = match compose.runner {
            Runner::Bash => Arc::new(BashApp::new(
                compose.bash_script.clone().unwrap_or_default(),
                Arc::clone(&self.environment),
                log_writer.clone(),
                run,
                data,
                grace,
            )),
            Runner::DockerCompose => {
                match ComposeApp::new(self, config, log_writer.clone(), events.clone()) {
                    Ok(app) => Arc::new(app),
                    // Its operator asks the agent why; one that is not there has no answer.
                    Err(AppError::Document { what, reason }) => {
                        return Ok(AppParts {
                            app: Arc::new(UnfitApp::new(what, reason)),
                            prelude: None,
                        });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let bound = config.scripts.pre_launch_timeout_s;
        let prelude = compose.pre_launch_script.clone().map(|text| {
            pre_launch(
                text,
                Arc::clone(&self.environment),
                log_writer,
                run,
                data,
                (bound > 0).then(|| Duration::from_secs(bound)),
            )
        });
        Ok(AppParts { app, prelude })
    }
}

/// The KMS that released the keys. Each search is one round: the lease asks again by its own clock.
pub(super) fn pool(access: &KmsAccess, timeout: Duration) -> Result<KmsPool, RunError> {
    let kms = Kms {
        pin: KmsPin::from_identity(&access.pin)?,
        network: Expected {
            chain_id: Some(access.chain_id),
            contract: Some(access.contract),
        },
        timeout,
    };
    KmsPool::new(&access.urls, kms, RetryPolicy::ONCE).map_err(|error| RunError::Pool(Box::new(error)))
}
