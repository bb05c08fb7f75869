//! One containerd with its own root, state, socket and settings inside one folder, so that it shares nothing with a containerd
//! of the machine. On drop it is killed with every shim and container it started and what it mounted is unmounted.

use crate::{
    leftovers,
    process::{self, Process, require, require_root, wait_for},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

/// The kernel's limit for the path of a Unix socket, its closing zero included.
const SOCKET_PATH_LIMIT: usize = 108;
const START_PATIENCE: Duration = Duration::from_secs(30);

/// What can differ between two of them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folder for content and snapshots; `root` inside the given folder when absent.
    pub root: Option<PathBuf>,
    /// containerd's log level; `info` when absent.
    pub log_level: Option<String>,
}

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    dir: PathBuf,
    root: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

impl Containerd {
    /// Starts one in `dir` and waits until it answers. A folder that served one before is taken up again, with its images
    /// and with the containers that still run.
    ///
    /// # Errors
    /// When not root, when a program is missing, when the path is too long for a socket or when containerd does not answer.
    pub async fn start(dir: &Path, options: Options) -> Result<Self> {
        require_root("containerd")?;
        let program = require("containerd", "containerd")?;
        require("ctr", "containerd")?;
        require("containerd-shim-runc-v2", "containerd")?;
        require("runc", "runc")?;
        make_dir(dir)?;
        let dir = fs::canonicalize(dir).with_context(|| format!("folder {}", dir.display()))?;
        let root = options.root.unwrap_or_else(|| dir.join("root"));
        let mut lab = Self {
            dir,
            root,
            program,
            process: None,
        };
        let longest = lab.dir.join("containerd.sock.ttrpc");
        if longest.as_os_str().len() >= SOCKET_PATH_LIMIT {
            bail!(
                "{} has {} bytes, a socket's path at most {}: choose a shorter folder",
                longest.display(),
                longest.as_os_str().len(),
                SOCKET_PATH_LIMIT - 1
            );
        }
        make_dir(&lab.root)?;
        make_dir(&lab.state())?;
        lab.write_settings(options.log_level.as_deref().unwrap_or("info"))?;
        lab.launch().await?;
        Ok(lab)
    }

    /// Its API socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// The folder it was started in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Content and snapshots.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bundles of running tasks.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Its log file.
    pub fn log(&self) -> PathBuf {
        self.dir.join("containerd.log")
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Stops it in order and starts it again; containers go on running.
    ///
    /// # Errors
    /// When it does not answer again.
    pub async fn restart(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Duration::from_secs(10));
        }
        self.launch().await
    }

    /// Kills it without warning; containers go on running. [`Containerd::restart`] starts it again.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Runs containerd's own client on it.
    ///
    /// # Errors
    /// When it cannot be started or fails; the text has what it wrote.
    pub async fn ctr(&self, namespace: &str, args: &[&str]) -> Result<String> {
        let output = self.ctr_output(namespace, args).await?;
        if !output.status.success() {
            bail!(
                "ctr {} failed ({}): {}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn ctr_output(&self, namespace: &str, args: &[&str]) -> Result<Output> {
        tokio::process::Command::new(require("ctr", "containerd")?)
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", namespace, "--connect-timeout", "2s"])
            .args(args)
            .kill_on_drop(true)
            .output()
            .await
            .context("run ctr")
    }

    async fn launch(&mut self) -> Result<()> {
        // A socket left by a killed one would look like an answer to come.
        let _ = fs::remove_file(self.socket());
        let config = self.dir.join("containerd.toml");
        let args = vec!["--config".into(), config.into_os_string()];
        self.process = Some(Process::start("containerd", &self.program, args, self.log())?);
        let started = self.wait_until_it_answers().await;
        started.with_context(|| {
            format!(
                "last lines of {}:\n{}",
                self.log().display(),
                process::tail(&self.log())
            )
        })
    }

    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let socket = self.socket();
        let mut child = self.process.take().context("containerd was not started")?;
        let waited = wait_for("containerd", START_PATIENCE, async || {
            child.ensure_running()?;
            Ok(socket.exists() && self.ctr_output("default", &["version"]).await?.status.success())
        })
        .await;
        self.process = Some(child);
        waited
    }

    fn write_settings(&self, level: &str) -> Result<()> {
        let quoted = |path: &Path| -> Result<String> {
            let text = path.to_str().context("the folder's name is not UTF-8")?;
            Ok(serde_json::to_string(text)?)
        };
        let socket = self.socket();
        let text = format!(
            "version = 2\nroot = {}\nstate = {}\n\
             # Not needed here; each of them asks the machine for something it may not have.\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
             \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.tracing.processor.v1.otlp\", \
             \"io.containerd.internal.v1.tracing\"]\n\
             [grpc]\naddress = {}\nuid = 0\ngid = 0\n\
             [ttrpc]\naddress = {}\nuid = 0\ngid = 0\n\
             [debug]\nlevel = \"{level}\"\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = {}\n",
            quoted(&self.root)?,
            quoted(&self.state())?,
            quoted(&socket)?,
            quoted(&self.dir.join("containerd.sock.ttrpc"))?,
            quoted(&self.dir.join("opt"))?,
        );
        let path = self.dir.join("containerd.toml");
        let _ = fs::remove_file(&path);
        fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("write {}", path.display()))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.kill9();
        leftovers::clear(&self.socket(), &self.state(), &self.root);
    }
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("create folder {}", dir.display()))
}
