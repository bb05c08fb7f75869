//! A child process with its own log that does not outlive its owner: killed and reaped on drop, and killed by the kernel when
//! the owner dies without one. A program that is not installed is refused with the name of its Debian package.

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    ffi::OsString,
    fs::OpenOptions,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    time::{Duration, Instant},
};

/// Where a program is: in PATH, or where Debian puts programs of root.
///
/// # Errors
/// When it is not installed; the text names the package.
pub fn require(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is not installed: apt-get install {package}"))
}

/// A refusal for anyone but root.
///
/// # Errors
/// When the process does not run as root.
pub fn require_root(what: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "{what} needs root (expected user id 0, have {}): run it with sudo or in a container with CAP_SYS_ADMIN",
            nix::unistd::geteuid()
        );
    }
    Ok(())
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program` with both output streams appended to `log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        args: Vec<OsString>,
        log: PathBuf,
    ) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .with_context(|| format!("open log {}", log.display()))?;
        // A killed owner drops nothing, so the kernel is asked to end the child with it.
        let mut command = match require("setpriv", "util-linux") {
            Ok(guard) => {
                let mut command = Command::new(guard);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            Err(_) => Command::new(program),
        };
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("second handle on the log")?)
            .stderr(file)
            .process_group(0);
        let child = spawn(command).with_context(|| format!("start {name} ({})", program.display()))?;
        Ok(Self { name, log, child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of the log when the process has ended.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended ({status}); last lines of {}:\n{}",
                self.name,
                self.log.display(),
                tail(&self.log)
            );
        }
        Ok(())
    }

    /// Asks it to stop, waits, then kills it.
    #[allow(
        clippy::disallowed_methods,
        reason = "a pause between two looks; drop cannot be async"
    )]
    pub(crate) fn stop(&mut self, patience: Duration) {
        if let Some(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let end = Instant::now() + patience;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Kills it and its group without warning and reaps it.
    pub(crate) fn kill(&mut self) {
        // A reaped id may already belong to somebody else.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = self.pid() {
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().map(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The kernel's death signal is tied to the thread that forked, so one thread that lives as long as the process forks them all.
fn spawn(command: Command) -> Result<Child> {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (reply, answer) = mpsc::channel();
    spawner
        .lock()
        .map_err(|_| anyhow::anyhow!("the starting thread panicked"))?
        .send((command, reply))
        .context("the starting thread is gone")?;
    Ok(answer.recv().context("the starting thread is gone")??)
}

/// Waits for a condition; `what` is in the error when it does not come.
pub(crate) async fn wait_for<F>(what: &str, patience: Duration, mut ready: F) -> Result<()>
where
    F: AsyncFnMut() -> Result<bool>,
{
    let end = Instant::now() + patience;
    loop {
        if ready().await? {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("{what} did not answer within {} s", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Last lines of a log file, for error messages.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    lines.get(from..).unwrap_or_default().join("\n")
}
