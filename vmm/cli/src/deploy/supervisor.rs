//! The supervisor of one instance: a background process that is its host. It holds a software TD, a private containerd, and the
//! guest's own programs; when it goes, they go. What is in the folder is enough to start again.

use super::{folders, instance::Instance};
use crate::output::Output;
use anvil_tests::{
    OS_IMAGE,
    process::{Process, Program},
};
use anyhow::{Context, Result, bail};
use container_lab::{Containerd, Options};
use container_runtime::{Runtime, RuntimeConfig};
use kms_types::{ComposeHash, TdConfigId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};
use soft_td::{PlatformConfig, PlatformSeed, SimImage, SoftPlatform, TdConfig, server::TdServer};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// VM shape of the simulated image.
const SHAPE: &str = "small";
/// Time an app gets to end.
const STOP: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);
/// Part of a lease after which it is renewed: a developer who revokes an app is to see it stop within seconds.
const RENEW_AT: u32 = 2;
/// Pause before an agent that died is started again.
const AGAIN: Duration = Duration::from_millis(500);

/// Namespace of an instance's containers. Its containerd is its own, but networks and their names are the machine's.
fn namespace(instance: &Instance) -> String {
    let folder = instance.folder().as_os_str().as_encoded_bytes();
    let mut hash = hex::encode(Sha256::digest(folder));
    hash.truncate(16);
    format!("kedge-{hash}")
}

/// Whether an instance has a supervisor.
///
/// # Errors
/// When its folder cannot be used.
pub(super) fn alive(instance: &Instance) -> Result<bool> {
    Ok(instance.lock()?.is_none())
}

/// Starts an instance, after stopping the one that runs.
///
/// # Errors
/// When the old one does not stop or the new one cannot be started.
pub(super) async fn restart(state: &Path, instance: &Instance, output: &Output) -> Result<()> {
    container_lab::require("containerd", "containerd")?;
    stop(instance, output).await?;
    // What the last boot left would be taken for this one's.
    let run = instance.paths().run().to_owned();
    if run.exists() {
        folders::remove(&run)?;
    }
    instance.make()?;
    let log = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(instance.log("supervisor"))?;
    let name = instance.folder().file_name().context("name of the instance")?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--state")
        .arg(std::path::absolute(state)?)
        .arg("instance-run")
        .arg(name)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the supervisor")?;
    let end = Instant::now() + STOP;
    while !alive(instance)? {
        if child.try_wait()?.is_some() || Instant::now() > end {
            bail!(
                "the supervisor did not start:\n{}",
                anvil_tests::process::tail(&instance.log("supervisor"))
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Stops an instance, its app in good order first. Nothing when it does not run.
///
/// # Errors
/// When it does not stop in time.
pub(super) async fn stop(instance: &Instance, output: &Output) -> Result<()> {
    if !alive(instance)? {
        if left_running(instance) {
            output.waiting("its supervisor was killed: stopping what it left");
            clear(instance).await?;
        }
        return Ok(());
    }
    let pid = fs::read_to_string(instance.folder().join("supervisor.pid")).unwrap_or_default();
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.context("the instance runs, and its supervisor.pid names no process")?;
    output.waiting("stopping the app");
    let _ = kill_process(pid, Signal::TERM);
    let end = Instant::now() + 2 * STOP;
    while alive(instance)? {
        if Instant::now() > end {
            bail!("the instance did not stop within {:?}", 2 * STOP);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Takes away what an instance leaves outside its folder: containers that outlived a killed supervisor, networks, mounts.
///
/// # Errors
/// When it runs, or something does not let go.
pub(super) async fn clear(instance: &Instance) -> Result<()> {
    let Some(_lock) = instance.lock()? else {
        return Ok(());
    };
    clear_all(instance).await
}

/// The same, by whoever holds its lock.
async fn clear_all(instance: &Instance) -> Result<()> {
    let folder = instance.folder().join("c");
    if !folder.exists() || !ran(instance) {
        return Ok(());
    }
    let containerd = Containerd::start(&folder, Options::default()).await?;
    halt(instance, &containerd.socket()).await
}

/// Whether an agent ever ran. Before that a folder made in its data would be taken for somebody else's files.
fn ran(instance: &Instance) -> bool {
    instance.paths().data().join("containers").exists()
}

fn socket(instance: &Instance) -> PathBuf {
    instance.folder().join("c").join("containerd.sock")
}

async fn halt(instance: &Instance, containerd: &Path) -> Result<()> {
    let paths = instance.paths();
    if !ran(instance) {
        return Ok(());
    }
    let config = RuntimeConfig::new(
        containerd.to_owned(),
        namespace(instance),
        paths.data().join("containers"),
        paths.run().join("containers"),
        anvil_tests::binaries::own("kedge-agent")?,
    );
    Runtime::connect(config).await?.halt().await?;
    remove_empty(&namespace(instance));
    Ok(())
}

/// Takes the empty folders away that a namespace leaves: runc's notes, control groups in whatever hierarchies there are.
fn remove_empty(namespace: &str) {
    let groups = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(groups).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = hierarchies
        .map(|entry| entry.path().join("kedge").join(namespace))
        .collect();
    folders.push(groups.join("kedge").join(namespace));
    folders.push(Path::new("/run/containerd/runc").join(namespace));
    for folder in folders {
        // One that is not empty, or not there, is not removed.
        let _ = fs::remove_dir(folder);
    }
}

/// Whether a container of an instance without a supervisor still runs.
fn left_running(instance: &Instance) -> bool {
    let socket = socket(instance);
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    let socket = socket.as_os_str().as_encoded_bytes();
    let mut commands = processes.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    commands.any(|command| command.split(|byte| *byte == 0).any(|word| word == socket))
}

/// Runs an instance until it is told to stop or cannot go on.
///
/// # Errors
/// When another supervisor has it, or a part does not start.
pub(super) async fn run(state: &Path, instance: &Instance) -> Result<()> {
    let Some(_lock) = instance.lock()? else {
        bail!("another supervisor already runs this instance");
    };
    // A terminal that closes must not take the instance along. Fails for a group leader, which has no terminal to lose.
    let _ = rustix::process::setsid();
    fs::write(
        instance.folder().join("supervisor.pid"),
        std::process::id().to_string(),
    )?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Boxed, not in the branch: its programs must outlive the choice, for the agent is who stops the app.
    let mut guest = Box::pin(host(state, instance));
    let ended = tokio::select! {
        ended = &mut guest => Some(ended),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let mut halted = false;
    if ended.is_none() && instance.paths().agent_socket().exists() {
        match super::control::stop(instance, STOP).await {
            // Its containerd still runs: one less to start.
            Ok(_) => halted = halt(instance, &socket(instance)).await.is_ok(),
            Err(error) => eprintln!("the app was not stopped in good order: {error:#}"),
        }
    }
    drop(guest);
    if !halted {
        clear_all(instance).await?;
    }
    ended.unwrap_or(Ok(()))
}

/// Boots the guest and keeps its agent running.
async fn host(state: &Path, instance: &Instance) -> Result<()> {
    let (_td, socket) = launch_td(state, instance)?;
    let containerd = Containerd::start(&instance.folder().join("c"), Options::default()).await?;
    let record = instance.record()?.context("instance.json is gone")?;
    super::images::bring(instance, &record, &containerd, &namespace(instance)).await?;
    boot(instance, &socket).await?;
    let config = instance.folder().join("agent.toml");
    write_config(&config, &containerd, &namespace(instance))?;
    loop {
        let mut agent = start_agent(instance, &config)?;
        while agent.ended()?.is_none() {
            tokio::time::sleep(LOOK).await;
        }
        eprintln!("the agent ended by itself; starting it again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// A TD whose MRCONFIGID binds the compose document, as a VMM makes it.
fn launch_td(state: &Path, instance: &Instance) -> Result<(TdServer, String)> {
    let seed = PlatformSeed::load_or_create(&state.join("platform"))?;
    let platform = SoftPlatform::new(seed, PlatformConfig::default())?;
    let text = fs::read(instance.host_document()).context("the instance's host document")?;
    let document: Value = serde_json::from_slice(&text)?;
    let compose = document.get("app_compose").and_then(Value::as_str);
    let hash = ComposeHash::of(compose.context("host document without app_compose")?.as_bytes());
    let mut bound = [0; 48];
    let bytes = std::iter::once(1).chain(hash.to_bytes());
    bound.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    let mut config = TdConfig::new(SimImage::new(OS_IMAGE)?.measurement(SHAPE)?);
    config.mr_config_id = TdConfigId::new(bound);
    let socket = instance.td_socket();
    let server = soft_td::server::serve(Arc::new(platform.launch(config)), &socket)?;
    Ok((server, format!("socket:{}", socket.display())))
}

/// Runs `tdxctl setup`; what it says stands in its log and in run/progress.json.
async fn boot(instance: &Instance, td: &str) -> Result<()> {
    let paths = instance.paths();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(paths.run())?;
    let program = anvil_tests::binaries::own("tdxctl")?;
    let arguments = [
        "setup".into(),
        "--td".into(),
        td.into(),
        "--host-document".into(),
        instance.host_document().into_os_string(),
        "--run".into(),
        paths.run().as_os_str().to_owned(),
        "--data".into(),
        paths.data().as_os_str().to_owned(),
    ];
    let program = Program::new("tdxctl setup", &program, arguments, instance.log("setup"));
    let mut setup = Process::start(program)?;
    loop {
        match setup.ended()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!(
                "tdxctl setup ended with {status}:\n{}",
                anvil_tests::process::tail(&instance.log("setup"))
            ),
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

fn start_agent(instance: &Instance, config: &Path) -> Result<Process> {
    let paths = instance.paths();
    let program = anvil_tests::binaries::own("kedge-agent")?;
    let arguments = [
        "run".into(),
        "--config".into(),
        config.as_os_str().to_owned(),
        "--run".into(),
        paths.run().as_os_str().to_owned(),
        "--data".into(),
        paths.data().as_os_str().to_owned(),
    ];
    Process::start(Program::new(
        "kedge-agent",
        &program,
        arguments,
        instance.log("agent"),
    ))
}

/// The agent's configuration: the instance's own containerd, and no public page, which several instances would fight over.
fn write_config(path: &Path, containerd: &Containerd, namespace: &str) -> Result<()> {
    let socket = serde_json::to_string(&containerd.socket())?;
    let text = format!(
        "[containers]\ncontainerd = {socket}\nnamespace = \"{namespace}\"\n[page]\nport = 0\n[lease]\nrenew_at_percent = {RENEW_AT}\n"
    );
    Ok(guest_files::write_private(path, text.as_bytes())?)
}
