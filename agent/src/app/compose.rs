//! The `docker-compose` runner: the measured compose file on containerd. What runs already as the file says is taken over.

use super::{App, AppError, AppFuture, ContainerView, LogItem, LogRequest, LogStream};
use crate::{
    config::Config,
    events::{Events, Level},
    run::{Guest, socket_paths},
};
use app_manifest::Environment;
use compose_file::Project;
use container_runtime::{
    ContainerStatus, LogEntry, Progress, Running, Runtime, RuntimeConfig, RuntimeError, SubnetPool,
    images::ImageEvent,
    logs::{LogQuery, Stream},
};
use futures::StreamExt;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Where an app expects its sockets, whatever the guest's own places are.
const EXPECTED_SOCKETS: [(&str, usize); 5] = [
    ("/var/run/dstack.sock", 0),
    ("/run/dstack.sock", 0),
    ("/run/kedge.sock", 1),
    ("/var/run/kedge.sock", 1),
    ("/var/run/tappd.sock", 2),
];

/// How long containerd's socket is waited for when the app is brought up, and how often it is looked for.
const BEGIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// The compose file as an app.
pub struct ComposeApp {
    project: Project,
    config: RuntimeConfig,
    folder: PathBuf,
    environment: Arc<Environment>,
    events: Events,
    running: Mutex<Option<Running>>,
}

impl ComposeApp {
    /// Reads the compose file of the measured document.
    ///
    /// # Errors
    /// When it has a key or a value that is not supported, or an image that may change.
    pub fn new(
        guest: &Guest,
        config: &Config,
        log_writer: PathBuf,
        events: Events,
    ) -> Result<Self, AppError> {
        let compose = guest.manifest.compose();
        let text = compose.docker_compose_file.as_deref().unwrap_or_default();
        let environment = Arc::clone(&guest.environment);
        let variables = |name: &str| environment.value(name).map(|value| value.expose().to_owned());
        let project =
            compose_file::parse(text.as_bytes(), &variables).map_err(|error| AppError::Document {
                what: "docker_compose_file",
                reason: error.to_string(),
            })?;
        if let Some(warning) = project.unset_warning() {
            events.add(Level::Warning, "compose", warning);
        }
        let mutable: Vec<String> = project
            .mutable_images()
            .map(|(service, image)| format!("{service}: {image}"))
            .collect();
        // G6: a tag is whatever its registry serves today; the measured document would not say what runs.
        if !compose.allow_mutable_images && !mutable.is_empty() {
            return Err(AppError::Document {
                what: "docker_compose_file",
                reason: format!(
                    "images: expected each written out with @sha256:…, not by a variable, got {}; name the digest, or set allow_mutable_images in app-compose.json",
                    mutable.join(", ")
                ),
            });
        }
        let data = &guest.handover.storage.path;
        Ok(Self {
            project,
            config: RuntimeConfig {
                registries: super::registries::config(guest, compose.allow_mutable_images)?,
                ..runtime_config(guest, config, log_writer)
            },
            folder: data.join("app"),
            environment,
            events,
            running: Mutex::new(None),
        })
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the guest needs for itself: read once in a boot, when nothing of the app is there.
    fn tell_memory(&self) {
        let Some((total, available)) = crate::dashboard::memory() else {
            return;
        };
        let used = total.saturating_sub(available);
        metrics::gauge!("kedge_guest_memory_before_app_bytes").set(used as f64);
        let (used, total) = (used >> 20, total >> 20);
        let text = format!("{used} MiB of {total} MiB in use before the app");
        self.events.add(Level::Info, "memory", text);
    }

    fn tell(&self, progress: Progress) {
        let text = match progress {
            Progress::Fetching { service, event } => match words(&event) {
                Some(words) => format!("{service}: {words}"),
                None => return,
            },
            Progress::Image { service, image } => format!("image of {service}: {image}"),
            Progress::Adopted { container } => format!("{container} runs already"),
            Progress::Making { container } => format!("{container} is started"),
            Progress::Removing { container } => format!("{container} is removed"),
        };
        self.events.add(Level::Info, "container", text);
    }
}

/// What is worth telling of a pull: a part that came would drown the rest.
fn words(event: &ImageEvent) -> Option<String> {
    match event {
        ImageEvent::Resolved { .. } => None,
        ImageEvent::Fetched { layer, done, total } => (done == total).then(|| {
            let digest = layer.to_string();
            let short = digest.get(..19).unwrap_or(&digest);
            format!("fetched layer {short} ({} KiB)", total.div_ceil(1024))
        }),
        ImageEvent::Unpacking { layer, layers } => Some(format!("unpacking layer {layer} of {layers}")),
        ImageEvent::SourceFailed { source, reason } => Some(format!("{source}: {reason}")),
    }
}

fn runtime_config(guest: &Guest, config: &Config, log_writer: PathBuf) -> RuntimeConfig {
    let named = &config.containers;
    let sockets = socket_paths(guest, config);
    let path_aliases: BTreeMap<PathBuf, PathBuf> = EXPECTED_SOCKETS
        .iter()
        .filter_map(|(expected, index)| {
            let (actual, _) = sockets.get(*index)?;
            Some((PathBuf::from(expected), actual.clone()))
        })
        .collect();
    RuntimeConfig {
        cni_bin: named.cni_bin.clone(),
        snapshotter: named.snapshotter.clone(),
        path_aliases,
        init: (!named.init.as_os_str().is_empty()).then(|| named.init.clone()),
        subnets: SubnetPool {
            base: named.subnet_base,
            prefix: named.subnet_prefix,
        },
        resolv_conf: named.resolv_conf.clone(),
        ..RuntimeConfig::new(
            named.containerd.clone(),
            named.namespace.clone(),
            guest.handover.storage.path.join("containers"),
            guest.paths.run().join("containers"),
            log_writer,
        )
    }
}

/// containerd begins beside the agent: a socket that is not there yet is no failure to wait after. Ends when it is there, or when that
/// was waited for; what is wrong then, the connection says.
async fn begun(socket: &Path) {
    let end = Instant::now() + BEGIN;
    while !socket.exists() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

fn runtime_error(error: RuntimeError) -> AppError {
    AppError::Runtime {
        transient: error.is_transient(),
        reason: error.chain(),
    }
}

impl App for ComposeApp {
    fn up(&self) -> AppFuture<'_, ()> {
        Box::pin(async {
            super::script::private_folder(&self.folder)
                .map_err(AppError::io(&self.folder, "make the app's folder"))?;
            begun(&self.config.containerd).await;
            let first = !self.config.run.exists();
            let runtime = Runtime::connect(self.config.clone())
                .await
                .map_err(runtime_error)?;
            if first {
                self.tell_memory();
            }
            let environment = self
                .environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.expose().to_owned()))
                .collect();
            let tell = |progress| self.tell(progress);
            let running = runtime
                .up(&self.project, &self.folder, &environment, &tell)
                .await
                .map_err(runtime_error)?;
            *self.running() = Some(running);
            Ok(())
        })
    }

    fn stop(&self) -> AppFuture<'_, ()> {
        Box::pin(async {
            let running = self.running().take();
            if let Some(running) = running {
                running.stop(None).await.map_err(runtime_error)?;
            }
            // Containers that do not run hold networks and published ports; an earlier agent may have left some too.
            let runtime = Runtime::connect(self.config.clone())
                .await
                .map_err(runtime_error)?;
            runtime.halt().await.map_err(runtime_error)
        })
    }

    fn containers(&self) -> AppFuture<'_, Vec<ContainerView>> {
        Box::pin(async {
            let containers = self
                .running()
                .as_ref()
                .map(Running::containers)
                .unwrap_or_default();
            Ok(containers.into_iter().map(view).collect())
        })
    }

    fn logs(&self, request: LogRequest) -> AppFuture<'_, LogStream> {
        Box::pin(async move {
            if let Some(name) = &request.service
                && !self
                    .project
                    .services
                    .keys()
                    .any(|service| service.as_str() == name)
            {
                return Err(AppError::NoSuchService { actual: name.clone() });
            }
            let query = LogQuery {
                service: request.service,
                tail: request.tail,
                since: request.since,
                follow: request.follow,
            };
            let Some(lines) = self.running().as_ref().map(|running| running.logs(query)) else {
                return Ok(futures::stream::empty().boxed());
            };
            let stream = futures::stream::unfold(lines, |mut lines| async {
                // A line that cannot be read ends the stream.
                let entry = lines.recv().await?.ok()?;
                Some((item(entry), lines))
            });
            Ok(stream.boxed())
        })
    }
}

fn item(entry: LogEntry) -> LogItem {
    LogItem {
        time: entry.line.time,
        service: entry.service,
        stream: match entry.line.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
        .to_owned(),
        text: entry.line.text,
    }
}

fn view(status: ContainerStatus) -> ContainerView {
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let ports = status.ports.iter().map(|port| {
        let address = port.host_ip.map(|ip| format!("{ip}:")).unwrap_or_default();
        let protocol = if port.udp { "udp" } else { "tcp" };
        format!("{address}{}:{}/{protocol}", port.host, port.container)
    });
    ContainerView {
        ports: ports.collect(),
        service: status.service,
        name: status.id,
        image: Some(status.image),
        state: serde_json::to_value(status.state).map(word).unwrap_or_default(),
        health: status
            .health
            .and_then(|health| serde_json::to_value(health).ok())
            .map(word),
        pid: status.pid,
        exit_code: status.exit_code,
        restarts: status.restarts,
        message: status.message,
    }
}
