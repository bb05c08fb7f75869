//! Debian's registry on a loopback port with its files in one folder. It can be stopped and started for faults, its requests
//! are on record, and the file of a blob is known so that a test can make the registry lie.

use crate::process::{Process, require, tail, wait_for};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

/// User of a registry with authentication.
pub const USER: &str = "lab";
/// Password of that user. It guards nothing but test images.
pub const PASSWORD: &str = "correct-horse";
/// The password as bcrypt has it, since the registry takes no other form.
const PASSWORD_HASH: &str = "$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS";
const START_PATIENCE: Duration = Duration::from_secs(20);

/// What can differ between two of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistryOptions {
    /// Whether [`USER`] and [`PASSWORD`] are asked for.
    pub auth: bool,
    /// A port to take; any free one when absent.
    pub port: Option<u16>,
}

/// One line of the request log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Status of the answer.
    pub status: u16,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
    port: u16,
    options: RegistryOptions,
    process: Option<Process>,
}

impl Registry {
    /// Starts one in `dir` and waits until it answers.
    ///
    /// # Errors
    /// When the program is missing, the port is taken or it does not answer.
    pub async fn start(dir: &Path, options: RegistryOptions) -> Result<Self> {
        require("docker-registry", "docker-registry")?;
        fs::create_dir_all(dir).with_context(|| format!("create folder {}", dir.display()))?;
        let port = match options.port {
            Some(port) => port,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
        };
        let mut registry = Self {
            dir: fs::canonicalize(dir)?,
            port,
            options,
            process: None,
        };
        registry.write_settings()?;
        registry.start_again().await?;
        Ok(registry)
    }

    /// `127.0.0.1:port`, as the first part of an image's name.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Whether it asks for [`USER`] and [`PASSWORD`].
    pub fn asks_for_password(&self) -> bool {
        self.options.auth
    }

    /// Stops it; connections are refused until [`Registry::start_again`].
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port with the same images.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start_again(&mut self) -> Result<()> {
        let program = require("docker-registry", "docker-registry")?;
        let args = vec!["serve".into(), self.dir.join("registry.yml").into_os_string()];
        let mut process = Process::start("docker-registry", &program, args, self.log())?;
        let address = self.address();
        wait_for("docker-registry", START_PATIENCE, async || {
            process.ensure_running()?;
            Ok(tokio::net::TcpStream::connect(&address).await.is_ok())
        })
        .await
        .with_context(|| tail(&self.log()))?;
        self.process = Some(process);
        Ok(())
    }

    /// What was asked of it since it first started, in order of the answers.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests(&self) -> Result<Vec<Request>> {
        let text = fs::read(self.log()).context("read the registry's log")?;
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .filter_map(request)
            .collect())
    }

    /// The file that holds a blob's bytes; what is written there is what the registry serves.
    ///
    /// # Errors
    /// When the digest is not `sha256:` and 64 hex digits.
    pub fn blob_path(&self, digest: &str) -> Result<PathBuf> {
        let hex = digest.strip_prefix("sha256:").context("expected sha256:")?;
        let start = hex.get(..2).context("expected 64 hex digits")?;
        let store = self.dir.join("store/docker/registry/v2/blobs/sha256");
        Ok(store.join(start).join(hex).join("data"))
    }

    fn log(&self) -> PathBuf {
        self.dir.join("registry.log")
    }

    fn write_settings(&self) -> Result<()> {
        let quoted = |path: PathBuf| -> Result<String> { Ok(serde_json::to_string(&path)?) };
        let mut text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http: {{addr: '{}'}}\n",
            quoted(self.dir.join("store"))?,
            self.address()
        );
        if self.options.auth {
            let users = self.dir.join("htpasswd");
            fs::write(&users, format!("{USER}:{PASSWORD_HASH}\n"))?;
            text.push_str(&format!(
                "auth:\n  htpasswd: {{realm: lab, path: {}}}\n",
                quoted(users)?
            ));
        }
        fs::write(self.dir.join("registry.yml"), text).context("write the registry's settings")
    }
}

/// One line of the common log format: `host - user [time] "GET /v2/ HTTP/1.1" 200 2 …`.
fn request(line: &str) -> Option<Request> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = request.split(' ');
    Some(Request {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        status: rest.split(' ').next()?.parse().ok()?,
    })
}
