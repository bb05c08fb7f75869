//! Images from a real registry into a real containerd.

mod auth;
mod disk;
mod documents;
mod faults;
mod pull;

use std::sync::Mutex;

use compose_file::ImageRef;
use container_lab::{Containerd, Image, Layer, Options, Registry, RegistryOptions};
use container_runtime::images::{ImageError, ImageEvent, ImageStore, ReadyImage, RegistryConfig};

const NAMESPACE: &str = "images";

struct Scene {
    dir: tempfile::TempDir,
    containerd: Containerd,
    registry: Registry,
    config: RegistryConfig,
    events: Mutex<Vec<ImageEvent>>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(RegistryOptions::default(), None).await
    }

    async fn with(registry: RegistryOptions, root: Option<std::path::PathBuf>) -> Self {
        let dir = tempfile::Builder::new().prefix("kedge-img-").tempdir().unwrap();
        let options = Options {
            root,
            log_level: None,
        };
        let containerd = Containerd::start(&dir.path().join("c"), options).await.unwrap();
        let registry = Registry::start(&dir.path().join("r"), registry).await.unwrap();
        let mut config = RegistryConfig {
            allow_mutable: true,
            ..RegistryConfig::default()
        };
        config.limits.attempts = 2;
        Self {
            dir,
            containerd,
            registry,
            config,
            events: Mutex::default(),
        }
    }

    async fn store(&self) -> ImageStore {
        ImageStore::connect(&self.containerd.socket(), NAMESPACE, "overlayfs")
            .await
            .unwrap()
    }

    async fn ensure(&self, reference: &str) -> Result<ReadyImage, ImageError> {
        self.ensure_with(reference, &self.config).await
    }

    async fn ensure_with(&self, reference: &str, config: &RegistryConfig) -> Result<ReadyImage, ImageError> {
        let reference: ImageRef = reference.parse().unwrap();
        let progress = |event| self.events.lock().unwrap().push(event);
        self.store().await.ensure(&reference, config, &progress).await
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.registry.address())
    }

    /// How many answers of the registry were for this path with this status.
    fn asked(&self, part: &str, status: u16) -> usize {
        let all = self.registry.requests().unwrap();
        all.iter()
            .filter(|one| one.method == "GET" && one.path.contains(part) && one.status == status)
            .count()
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    async fn records(&self) -> String {
        self.containerd
            .ctr(NAMESPACE, &["images", "ls", "-q"])
            .await
            .unwrap()
    }

    /// Has containerd's garbage collector run to its end.
    async fn collect(&self) {
        self.containerd
            .ctr(NAMESPACE, &["leases", "create", "--id", "collect"])
            .await
            .unwrap();
        self.containerd
            .ctr(NAMESPACE, &["leases", "rm", "--sync", "collect"])
            .await
            .unwrap();
    }

    async fn run(&self, image: &ReadyImage, command: &str) -> String {
        // runc keeps one list of names for all containerds of the machine.
        let id = format!("once-{}", std::process::id());
        let args = ["run", "--rm", &image.reference, &id, "sh", "-c", command];
        self.containerd.ctr(NAMESPACE, &args).await.unwrap()
    }

    fn source_failures(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let failed = events.iter().filter_map(|event| match event {
            ImageEvent::SourceFailed { source, reason } => Some(format!("{source}: {reason}")),
            _ => None,
        });
        failed.collect()
    }
}

/// Bytes that do not compress, the same every time.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..count.div_ceil(8)).flat_map(|_| next()).take(count).collect()
}

/// Busybox and a layer that says which image it is.
fn marked(mark: &str) -> Image {
    Image::busybox()
        .unwrap()
        .layer(Layer::new().file("mark", mark, 0o644))
}
