//! Child processes that cannot outlive whoever started them. Each has its own process group, writes to a log file and is
//! killed and reaped on drop; the kernel kills it when the starting process dies without a drop.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

/// What to start.
#[derive(Debug)]
pub struct Program {
    /// Name in messages.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Arguments; never a secret, they are visible to every user of the machine.
    pub args: Vec<OsString>,
    /// File that gets both output streams, appended to.
    pub log: PathBuf,
}

impl Program {
    /// A program with arguments.
    pub fn new<A: AsRef<OsStr>>(
        name: &'static str,
        path: &Path,
        args: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> Self {
        Self {
            name,
            path: path.to_owned(),
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            log,
        }
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start(program: Program) -> Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&program.log)
            .with_context(|| format!("open log {}", program.log.display()))?;
        // A killed parent drops nothing, so the kernel is asked to end the child with it.
        let guard = Path::new("/usr/bin/setpriv");
        let mut command = if guard.exists() {
            let mut command = Command::new(guard);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&program.path);
            command
        } else {
            Command::new(&program.path)
        };
        command
            .args(&program.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("second handle on the log")?)
            .stderr(log)
            .process_group(0);
        let child =
            spawn(command).with_context(|| format!("start {} ({})", program.name, program.path.display()))?;
        Ok(Self {
            name: program.name,
            log: program.log,
            child,
        })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes, as the kernel counts it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(self.id())
    }

    /// Time all its threads have spent on cores.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name before the last parenthesis may hold anything; user and system time are fields 14 and 15.
        let fields = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("wait for {}", self.name))
    }

    /// An error with the end of the log when the process has ended.
    ///
    /// # Errors
    /// When it has.
    pub fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
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
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(mut self, patience: Duration) -> Result<()> {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + patience;
        while self.ended()?.is_none() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Kills it without warning, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.end();
        Ok(())
    }

    /// Freezes it: its ports stay open and nobody answers.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Kills it without warning and keeps the value that stands for it: its ports are closed from now on.
    pub fn end_now(&mut self) {
        self.end();
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .pid()
            .with_context(|| format!("{} has no process id", self.name))?;
        kill_process(pid, signal).with_context(|| format!("{signal:?} to {}", self.name))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn end(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The kernel's death signal is tied to the thread that forked, so one thread that lives as long as the process forks them all.
fn spawn(command: Command) -> Result<Child> {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<std::sync::Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        std::sync::Mutex::new(jobs)
    });
    let (reply, answer) = mpsc::channel();
    let jobs = spawner
        .lock()
        .map_err(|_| anyhow::anyhow!("the starting thread panicked"))?;
    jobs.send((command, reply))
        .context("the starting thread is gone")?;
    drop(jobs);
    Ok(answer.recv().context("the starting thread is gone")??)
}

/// Resident memory of any process, in bytes.
///
/// # Errors
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS")?
        .parse()?;
    Ok(kib * 1024)
}

/// Last lines of a log file, for error messages.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    lines.get(from..).unwrap_or_default().join("\n")
}
