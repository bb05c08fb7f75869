//! A private containerd with a busybox image, and a runtime on it. Everything is removed when a scene ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use compose_file::{ImageRef, NetworkAttachment, Project, Service};
use container_runtime::logs::LogQuery;
use container_runtime::{
    ContainerState, ContainerStatus, Progress, Running, Runtime, RuntimeConfig, RuntimeError,
};
use serde_json::json;
use sha2::{Digest, Sha256};

pub const IMAGE: &str = "docker.io/library/busybox:latest";
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Scene {
    pub folder: tempfile::TempDir,
    pub config: RuntimeConfig,
    containerd: Child,
}

impl Scene {
    pub async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kedge-rt-").tempdir().unwrap();
        let path = folder.path();
        let containerd = start_containerd(path);
        let namespace = path.file_name().unwrap().to_str().unwrap().to_lowercase();
        import_image(path, &namespace);
        let mut config = RuntimeConfig::new(
            path.join("containerd.sock"),
            namespace,
            path.join("data"),
            path.join("run"),
            PathBuf::from(env!("CARGO_BIN_EXE_container-log-writer")),
        );
        config.resolv_conf = path.join("resolv.conf");
        config.registries.allow_mutable = true;
        std::fs::write(&config.resolv_conf, "").unwrap();
        Self {
            folder,
            config,
            containerd,
        }
    }

    pub async fn runtime(&self) -> Runtime {
        Runtime::connect(self.config.clone()).await.unwrap()
    }

    pub async fn up(&self, project: &Project) -> Result<Running, RuntimeError> {
        let runtime = self.runtime().await;
        let quiet = |_: Progress| {};
        tokio::time::timeout(
            LIMIT,
            runtime.up(project, self.folder.path(), &BTreeMap::new(), &quiet),
        )
        .await
        .unwrap()
    }

    pub fn kill_containerd(&mut self) {
        self.containerd.kill().unwrap();
        self.containerd.wait().unwrap();
    }

    pub fn start_containerd(&mut self) {
        self.containerd = start_containerd(self.folder.path());
    }

    pub async fn down(&self) {
        let runtime = self.runtime().await;
        tokio::time::timeout(LIMIT, runtime.down(true))
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A failed test leaves containers, whose shims outlive containerd, bridges and packet rules.
        let config = self.config.clone();
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let down = async { Runtime::connect(config).await?.down(true).await };
                if !matches!(tokio::time::timeout(LIMIT, down).await, Ok(Ok(()))) {
                    eprintln!("the scene could not be cleaned up");
                }
            });
        });
        let _ = clean.join();
        let _ = self.containerd.kill();
        let _ = self.containerd.wait();
    }
}

fn start_containerd(path: &Path) -> Child {
    let config = path.join("containerd.toml");
    let socket = path.join("containerd.sock");
    let text = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n\
         [ttrpc]\naddress = {:?}\n",
        path.join("root"),
        path.join("state"),
        socket,
        path.join("containerd.ttrpc"),
    );
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(path.join("containerd.log")).unwrap();
    #[allow(clippy::zombie_processes)]
    let child = Command::new("containerd")
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = Command::new("ctr")
            .arg("-a")
            .arg(&socket)
            .arg("version")
            .output()
            .unwrap();
        if answer.status.success() {
            return child;
        }
        assert!(
            Instant::now() < deadline,
            "containerd did not start: {}",
            path.display()
        );
    }
}

fn import_image(path: &Path, namespace: &str) {
    let root = path.join("image");
    let rootfs = root.join("rootfs");
    for folder in ["bin", "etc", "tmp", "root", "data", "home/app"] {
        std::fs::create_dir_all(rootfs.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout)
        .unwrap()
        .lines()
        .filter(|name| *name != "busybox")
    {
        std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    std::fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(
        rootfs.join("etc/group"),
        "root:x:0:\napp:x:1001:\nextra:x:50:app\n",
    )
    .unwrap();
    std::fs::write(rootfs.join("data/seed"), "from the image\n").unwrap();
    let layer = root.join("layer.tar");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(&rootfs)
        .arg("-cf")
        .arg(&layer)
        .arg(".")
        .status()
        .unwrap();
    assert!(tar.success());
    let blobs = root.join("oci/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| -> (String, usize) {
        let digest = hex::encode(Sha256::digest(bytes));
        std::fs::write(blobs.join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let (layer, layer_size) = put(&std::fs::read(layer).unwrap());
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["FROM_IMAGE=yes"], "Cmd": ["/bin/sh"], "WorkingDir": "/tmp" },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    });
    let (config, config_size) = put(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size }],
    });
    let (manifest, manifest_size) = put(manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
        "annotations": { "io.containerd.image.name": IMAGE },
    }]});
    std::fs::write(root.join("oci/index.json"), index.to_string()).unwrap();
    std::fs::write(root.join("oci/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let archive = root.join("oci.tar");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(root.join("oci"))
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status()
        .unwrap();
    assert!(tar.success());
    let import = Command::new("ctr")
        .arg("-a")
        .arg(path.join("containerd.sock"))
        .args(["-n", namespace, "images", "import"])
        .arg(&archive)
        .output()
        .unwrap();
    assert!(
        import.status.success(),
        "{}",
        String::from_utf8_lossy(&import.stderr)
    );
}

pub fn service(script: &str) -> Service {
    let mut service = Service::new(IMAGE.parse::<ImageRef>().unwrap());
    service.command = Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]);
    service
        .networks
        .insert("default".parse().unwrap(), NetworkAttachment::default());
    service
}

pub fn project<const N: usize>(services: [(&str, Service); N]) -> Project {
    let mut project = Project {
        name: Some("lab".parse().unwrap()),
        ..Project::default()
    };
    project
        .networks
        .insert("default".parse().unwrap(), Default::default());
    for (name, service) in services {
        project.services.insert(name.parse().unwrap(), service);
    }
    project
}

pub fn one<'a>(all: &'a [ContainerStatus], service: &str) -> &'a ContainerStatus {
    all.iter().find(|one| one.service == service).unwrap()
}

pub async fn until(
    running: &Running,
    what: &str,
    condition: impl Fn(&[ContainerStatus]) -> bool,
) -> Vec<ContainerStatus> {
    match tokio::time::timeout(LIMIT, running.wait_until(condition)).await {
        Ok(reached) => reached.unwrap(),
        Err(_) => panic!("not in {LIMIT:?}: {what}: {:#?}", running.containers()),
    }
}

pub async fn exited(running: &Running, service: &str) -> ContainerStatus {
    let all = until(running, "an exit", |all| {
        one(all, service).state == ContainerState::Exited
    })
    .await;
    one(&all, service).clone()
}

pub async fn lines(running: &Running, service: &str) -> Vec<String> {
    let query = LogQuery {
        service: Some(service.to_owned()),
        ..LogQuery::default()
    };
    let mut receiver = running.logs(query);
    let mut lines = Vec::new();
    while let Some(entry) = receiver.recv().await {
        lines.push(entry.unwrap().line.text);
    }
    lines
}
