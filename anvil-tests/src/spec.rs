//! What a host is told to start: an app, its compose document, its instance, the VM shape. Good by default; a test bends it.

use kms_types::{AppId, ComposeHash, HostConfigHash, InstanceId, InstanceSeed};
use sha2::{Digest, Sha256};
use soft_td::{AppBoot, SHAPES};

/// An app as a host starts it.
#[derive(Debug, Clone)]
pub struct AppSpec {
    /// What the guest measures of it.
    pub boot: AppBoot,
    /// Whether the VMM binds the compose document in MRCONFIGID.
    pub bind_config_id: bool,
    /// Name of the OS image.
    pub image: String,
    /// VM shape, one of [`SHAPES`].
    pub shape: String,
}

/// Name of the simulated OS image that a network allows.
pub const OS_IMAGE: &str = "kedge-os 0.1 (simulated)";

impl AppSpec {
    /// An app running a compose document, with an instance told apart by its name.
    pub fn new(app_id: AppId, compose: &[u8], instance: &str) -> Self {
        let mut seed = [0; InstanceSeed::LEN];
        let digest = Sha256::digest(instance.as_bytes());
        seed.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            boot: AppBoot {
                app_id,
                compose_hash: ComposeHash::of(compose),
                instance_seed: Some(InstanceSeed::new(seed)),
                host_config: HostConfigHash::new(Sha256::digest(b"kedge development host").into()),
            },
            bind_config_id: true,
            image: OS_IMAGE.to_owned(),
            shape: SHAPES.first().copied().unwrap_or_default().to_owned(),
        }
    }

    /// Id of its instance, when it has one.
    pub fn instance_id(&self) -> Option<InstanceId> {
        self.boot
            .instance_seed
            .as_ref()
            .map(|seed| InstanceId::derive(seed, &self.boot.app_id))
    }
}
