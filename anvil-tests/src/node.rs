//! A KMS node of a network: the real program as a child process. Its configuration is generated, its TD is a software TD
//! behind a socket, its root is sealed by that TD.

use crate::{
    AppSpec, Network, binaries,
    folder::write_private,
    network::KMS_COMPOSE,
    ports,
    process::{Process, Program},
};
use anyhow::{Context, Result, bail};
use kms_types::{InstanceSeed, KmsIdentity};
use kms_wire::EpochIdentity;
use soft_td::server::TdServer;
use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use toml::{Table, Value};

/// Longest wait for a node to answer.
/// What the node is called: from this machine, and from a VM on QEMU's user network.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "10.0.2.2"];
const PATIENCE: Duration = Duration::from_secs(60);

/// How a node is started.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its name and the name of its folder.
    pub name: String,
    /// Port it would like.
    pub port: Option<u16>,
    /// Chain endpoints, HTTP and WebSocket, when the chain is not to be asked directly and alone.
    pub chain_endpoints: Vec<(String, Option<String>)>,
    /// How many of them must agree; 0 is the majority.
    pub chain_threshold: usize,
    /// Settings laid over the generated ones: section, key, value.
    pub settings: Vec<(&'static str, &'static str, Value)>,
    /// Name of the program, or its path.
    pub program: Option<PathBuf>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            name: "kms".to_owned(),
            port: None,
            chain_endpoints: Vec::new(),
            chain_threshold: 0,
            settings: Vec::new(),
            program: None,
        }
    }
}

impl NodeOptions {
    /// Lays one setting over the generated ones.
    #[must_use]
    pub fn set(mut self, section: &'static str, key: &'static str, value: impl Into<Value>) -> Self {
        self.settings.push((section, key, value.into()));
        self
    }
}

/// A node that has a root and does not run yet.
pub struct Prepared {
    options: NodeOptions,
    config: PathBuf,
    port: u16,
    identity: EpochIdentity,
    socket: TdServer,
}

/// A running node.
pub struct Node {
    options: NodeOptions,
    config: PathBuf,
    port: u16,
    identity: EpochIdentity,
    socket: TdServer,
    process: Process,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("name", &self.options.name)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.options.name)
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Writes the configuration, boots the node's TD, and makes its root when it has none.
    ///
    /// # Errors
    /// When the program is missing or refuses.
    pub async fn prepare(network: &Network, options: NodeOptions) -> Result<Prepared> {
        let folder = network.folder().node(&options.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let spec = AppSpec::new(network.description().kms_app_id, KMS_COMPOSE, &options.name);
        let td = network.launch(&spec)?;
        let socket = network.folder().socket(&options.name);
        let server = soft_td::server::serve(td.clone(), &socket)?;
        let proof = network
            .catalogue()
            .proof(&td.config().measurement)
            .context("the node's own OS image")?;
        write_private(&folder.join("image-proof.bin"), &proof)?;
        let port = ports::free(options.port)?;
        let seed = spec.boot.instance_seed.context("the node has an instance")?;
        let config = folder.join("kms-node.toml");
        let text = configuration(network, &options, &folder, &socket, port, &seed)?;
        write_private(&config, text.as_bytes())?;
        let identity = bootstrap(&options, &folder, &config).await?;
        Ok(Prepared {
            options,
            config,
            port,
            identity,
            socket: server,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its public identity.
    pub fn identity(&self) -> &EpochIdentity {
        &self.identity
    }

    /// What clients pin.
    pub fn kms_identity(&self) -> KmsIdentity {
        self.identity.kms_identity
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(self) -> Result<()> {
        self.process.stop(Duration::from_secs(15)).await
    }

    /// Kills it without warning; [`Prepared::run`] starts it again.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(self) -> Result<Prepared> {
        self.process.kill()?;
        let Self {
            options,
            config,
            port,
            identity,
            socket,
            ..
        } = self;
        Ok(Prepared {
            options,
            config,
            port,
            identity,
            socket,
        })
    }
}

impl Prepared {
    /// Its public identity.
    pub fn identity(&self) -> &EpochIdentity {
        &self.identity
    }

    /// Starts it and waits until it says it is ready.
    ///
    /// # Errors
    /// With the end of its log, when it ends instead.
    pub async fn run(self, network: &Network) -> Result<Node> {
        let node = self.spawn(network)?;
        node.wait_ready().await
    }

    /// As [`Prepared::run`], for a node whose newest epoch presents another CA than the first one's.
    ///
    /// # Errors
    /// As [`Prepared::run`].
    pub async fn run_as(mut self, network: &Network, ca_certificate: &str) -> Result<Node> {
        ca_certificate.clone_into(&mut self.identity.ca_certificate);
        self.run(network).await
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn spawn(self, network: &Network) -> Result<Node> {
        let log = network.folder().logs().join(format!("{}.log", self.options.name));
        let args = [OsStr::new("run"), OsStr::new("--config"), self.config.as_os_str()];
        let program = Program::new("kms-node", &program(&self.options)?, args, log);
        let Self {
            options,
            config,
            port,
            identity,
            socket,
        } = self;
        Ok(Node {
            options,
            config,
            port,
            identity,
            socket,
            process: Process::start(program)?,
        })
    }
}

impl Node {
    /// Waits until it says it is ready: chain followed, itself allowed.
    ///
    /// # Errors
    /// With the end of its log, when it ends instead.
    pub async fn wait_ready(mut self) -> Result<Self> {
        let client = self.client()?;
        let url = format!("{}/readyz", self.url());
        let end = Instant::now() + PATIENCE;
        loop {
            self.process.ensure_running()?;
            let state = match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(self),
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > end {
                bail!("{} is not ready after {PATIENCE:?}: {state}", self.options.name);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An HTTP client that accepts this KMS and nobody else.
    ///
    /// # Errors
    /// When its certificate cannot be read.
    pub fn client(&self) -> Result<reqwest::Client> {
        let ca = reqwest::Certificate::from_pem(self.identity.ca_certificate.as_bytes())?;
        Ok(reqwest::Client::builder()
            .tls_certs_only([ca])
            .timeout(Duration::from_secs(20))
            .build()?)
    }
}

fn program(options: &NodeOptions) -> Result<PathBuf> {
    match &options.program {
        Some(path) => Ok(path.clone()),
        None => binaries::own("kms-node"),
    }
}

/// Makes the root, or reads the identity of the one there is.
async fn bootstrap(options: &NodeOptions, folder: &Path, config: &Path) -> Result<EpochIdentity> {
    let file = folder.join("identity.json");
    if let Ok(text) = std::fs::read(&file) {
        return serde_json::from_slice(&text).with_context(|| file.display().to_string());
    }
    let mut command = tokio::process::Command::new(program(options)?);
    command
        .arg("bootstrap")
        .arg("--config")
        .arg(config)
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .context("kms-node bootstrap hangs")??;
    if !output.status.success() {
        bail!(
            "kms-node bootstrap: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).context("kms-node bootstrap")?;
    let identity = answer.get("identity").unwrap_or(&answer).clone();
    let identity: EpochIdentity = serde_json::from_value(identity).context("kms-node bootstrap")?;
    write_private(&file, &serde_json::to_vec_pretty(&identity)?)?;
    Ok(identity)
}

fn configuration(
    network: &Network,
    options: &NodeOptions,
    folder: &Path,
    socket: &Path,
    port: u16,
    seed: &InstanceSeed,
) -> Result<String> {
    let text = |value: String| Value::String(value);
    let path = |name: &str| Value::String(folder.join(name).display().to_string());
    let description = network.description();
    let settings: Vec<(&str, &str, Value)> = vec![
        ("server", "listen", text(format!("127.0.0.1:{port}"))),
        (
            "server",
            "names",
            Value::Array(NAMES.iter().map(|name| text((*name).to_owned())).collect()),
        ),
        (
            "chain",
            "chain_id",
            Value::Integer(i64::try_from(description.chain_id.0)?),
        ),
        ("chain", "contract", text(description.kms_authority.to_string())),
        ("chain", "endpoints", endpoints(network, options)),
        (
            "chain",
            "threshold",
            Value::Integer(i64::try_from(options.chain_threshold)?),
        ),
        ("history", "from_block", Value::Integer(0)),
        ("chain", "poll_interval_ms", Value::Integer(250)),
        ("chain", "development", Value::Boolean(true)),
        ("collateral", "pcs_url", text(network.pcs().url())),
        ("collateral", "root_crl_url", text(String::new())),
        ("collateral", "cache_dir", path("collateral")),
        ("td", "device", text(format!("socket:{}", socket.display()))),
        ("td", "image_proof_file", path("image-proof.bin")),
        ("td", "instance_seed", text(seed.to_string())),
        ("keys", "root_file", path("root.json")),
        (
            "database",
            "url",
            text(format!("sqlite:{}?mode=rwc", folder.join("kms.db").display())),
        ),
        ("log", "format", text("text".to_owned())),
    ];
    let mut document = Table::new();
    for (section, key, value) in settings.into_iter().chain(options.settings.iter().cloned()) {
        let section = document
            .entry(section.to_owned())
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value);
        }
    }
    Ok(toml::to_string(&document)?)
}

/// The chain itself, or whatever stands between it and the node.
fn endpoints(network: &Network, options: &NodeOptions) -> Value {
    let direct = [(network.anvil().http_url(), Some(network.anvil().ws_url()))];
    let endpoints = match options.chain_endpoints.as_slice() {
        [] => direct.as_slice(),
        named => named,
    };
    let table = |(http, ws): &(String, Option<String>)| {
        let mut table = Table::new();
        table.insert("http".to_owned(), Value::String(http.clone()));
        if let Some(ws) = ws {
            table.insert("ws".to_owned(), Value::String(ws.clone()));
        }
        Value::Table(table)
    };
    Value::Array(endpoints.iter().map(table).collect())
}
