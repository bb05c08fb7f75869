//! A running VM. It has one owner: dropped, it is gone, and when the owner is killed the kernel ends QEMU and the software TD. Refuses
//! to start a plain VM without a software TD or a trust domain with one.

use crate::{
    Image, Places, Platform, RunnerError, SoftTd, ToolRoot, VmConfig, arguments,
    console::ConsoleLog,
    folder::Folder,
    process::Child,
    progress::{Line, Lines},
    qmp::{Monitor, OnMachineEvent},
    words,
};
use serde_json::{Map, Value};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::JoinHandle,
};

/// Bytes of the host's document, as the guest bounds it.
pub const MAX_HOST_DOCUMENT: usize = 4 << 20;
/// Time for QEMU to open its channels.
const START: Duration = Duration::from_secs(20);
/// Between presses of the power button.
const PRESS_AGAIN: Duration = Duration::from_secs(2);
/// Time for QEMU to end after it was told to.
const QUIT: Duration = Duration::from_secs(5);

/// Something that happened in or to a VM.
#[derive(Debug, Clone, PartialEq)]
pub enum VmEvent {
    /// The guest printed this; at most [`MAX_CONSOLE_LOG`](crate::MAX_CONSOLE_LOG) of it is kept in the log.
    Console(Vec<u8>),
    /// The guest reported this.
    Report(Map<String, Value>),
    /// The guest sent something that is no report.
    NoReport(String),
    /// QEMU's event of this name.
    Machine(String),
}

/// How a VM ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The guest switched it off.
    PoweredOff,
    /// The guest asked for a reset, as a kernel that panics does. A VM is not started again by itself.
    Reset,
    /// The host ended it.
    Killed,
}

/// What QEMU says about a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether its vCPUs run.
    pub running: bool,
    /// QEMU's word for its state.
    pub state: String,
}

type OnEvent = Arc<dyn Fn(VmEvent) + Send + Sync>;

/// A running VM.
#[derive(Debug)]
pub struct Vm {
    monitor: Arc<Monitor>,
    kill: mpsc::Sender<()>,
    supervisor: JoinHandle<Result<Ended, RunnerError>>,
    outcome: Option<Result<Ended, String>>,
    console_log: PathBuf,
    processes: Vec<u32>,
}

impl Vm {
    /// Starts a VM in its own folder `run`, which is made; `on_event` hears of everything from now on and must not block.
    ///
    /// # Errors
    /// When something of the configuration is refused, QEMU or the software TD does not start, or the machine cannot do it.
    pub async fn start(
        tools: &ToolRoot,
        image: &Image,
        config: &VmConfig,
        host_document: &[u8],
        td: Option<&SoftTd>,
        run: &Path,
        on_event: impl Fn(VmEvent) + Send + Sync + 'static,
    ) -> Result<Self, RunnerError> {
        check(config, host_document, td)?;
        let folder = Folder::take(run)?;
        folder.make_disks(host_document, config.data.is_none())?;
        let data = match &config.data {
            Some(path) => Some(std::fs::canonicalize(path).map_err(RunnerError::io(path))?),
            None => None,
        };
        let places = folder.places(data.as_deref());
        let sockets = Sockets::listen(&places)?;
        let log = ConsoleLog::create(&folder.console_log()).await?;
        let td = match td {
            Some(td) => Some(td.start(&folder.boot_file(), &places.td).await?),
            None => None,
        };
        let mut qemu = Child::start("QEMU", tools.qemu(arguments(image, config, &places)?)).await?;
        let on_event: OnEvent = Arc::new(on_event);
        let channels = sockets.accept(&mut qemu).await?;
        let reason = Arc::<Mutex<Option<String>>>::default();
        let monitor = match Monitor::begin(channels.monitor, watch(&on_event, &reason)).await {
            Ok(monitor) => Arc::new(monitor),
            Err(error) => return Err(unstarted(&mut qemu, error).await),
        };
        let readers = [
            tokio::spawn(console(channels.console, log, on_event.clone())),
            tokio::spawn(reports(channels.progress, on_event)),
        ];
        let (kill, killed) = mpsc::channel(1);
        let console_log = folder.console_log();
        let processes = [qemu.id(), td.as_ref().and_then(Child::id)];
        let processes = processes.into_iter().flatten().collect();
        let running = Running {
            qemu,
            td,
            monitor: monitor.clone(),
            readers,
            reason,
            killed,
            _folder: folder,
        };
        Ok(Self {
            monitor,
            kill,
            supervisor: tokio::spawn(running.supervise()),
            outcome: None,
            console_log,
            processes,
        })
    }

    /// What QEMU says about it.
    ///
    /// # Errors
    /// When the monitor does not answer, as after the VM's end.
    pub async fn status(&self) -> Result<Status, RunnerError> {
        let said = self.monitor.ask("query-status").await?;
        let state = said.get("status").and_then(Value::as_str).unwrap_or_default();
        Ok(Status {
            running: said.get("running").and_then(Value::as_bool).unwrap_or_default(),
            state: state.to_owned(),
        })
    }

    /// Presses the power button. What follows is the guest's to decide.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub async fn press_power_button(&self) -> Result<(), RunnerError> {
        self.monitor.ask("system_powerdown").await.map(drop)
    }

    /// Presses the power button and waits; ends the VM when the guest does not within `patience`.
    ///
    /// # Errors
    /// When QEMU ended badly.
    pub async fn shutdown(&mut self, patience: Duration) -> Result<Ended, RunnerError> {
        let end = tokio::time::Instant::now() + patience;
        // A press before the guest listens to its button is lost, so there are several.
        while tokio::time::Instant::now() < end && self.press_power_button().await.is_ok() {
            let next = end.min(tokio::time::Instant::now() + PRESS_AGAIN);
            if let Ok(ended) = tokio::time::timeout_at(next, self.wait()).await {
                return ended;
            }
        }
        self.kill().await
    }

    /// Ends it without asking the guest, as a power cut does.
    ///
    /// # Errors
    /// When it had ended badly before.
    pub async fn kill(&mut self) -> Result<Ended, RunnerError> {
        // A supervisor that is gone has nothing left to end.
        let _ = self.kill.try_send(());
        self.wait().await
    }

    /// Waits for its end. Can be given up and asked again.
    ///
    /// # Errors
    /// When QEMU or the software TD ended badly.
    pub async fn wait(&mut self) -> Result<Ended, RunnerError> {
        match &self.outcome {
            Some(Ok(ended)) => return Ok(*ended),
            Some(Err(said)) => return Err(past(said.clone())),
            None => {}
        }
        let ended = match (&mut self.supervisor).await {
            Ok(ended) => ended,
            Err(error) => Err(past(error.to_string())),
        };
        self.outcome = Some(ended.as_ref().copied().map_err(ToString::to_string));
        ended
    }

    /// The file that keeps what the guest printed.
    pub fn console_log(&self) -> &Path {
        &self.console_log
    }

    /// Ids of its processes: QEMU, and the software TD where there is one.
    pub fn processes(&self) -> &[u32] {
        &self.processes
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// Why a QEMU that opened its channels did not go on: its own words where it has ended.
async fn unstarted(qemu: &mut Child, error: RunnerError) -> RunnerError {
    match tokio::time::timeout(QUIT, qemu.wait()).await {
        Ok(Ok(exit)) => words::explained(exit.text, &qemu.words().await),
        _ => {
            qemu.kill().await;
            error
        }
    }
}

fn past(said: String) -> RunnerError {
    RunnerError::Ended {
        program: "the VM",
        status: "an error".to_owned(),
        words: said,
    }
}

fn check(config: &VmConfig, document: &[u8], td: Option<&SoftTd>) -> Result<(), RunnerError> {
    let fault = |what, expected: &str, actual: String| RunnerError::Config {
        what,
        expected: expected.to_owned(),
        actual,
    };
    if document.len() > MAX_HOST_DOCUMENT {
        let expected = format!("at most {MAX_HOST_DOCUMENT} bytes");
        return Err(fault("host document", &expected, document.len().to_string()));
    }
    match (&config.platform, td) {
        (Platform::Tdx(_), None) | (Platform::SimVm(_), Some(_)) => Ok(()),
        (Platform::Tdx(_), Some(_)) => Err(fault("software TD", "none on tdx", "one".to_owned())),
        (Platform::SimVm(_), None) => Err(fault("software TD", "one on sim-vm", "none".to_owned())),
    }
}

struct Sockets {
    monitor: UnixListener,
    console: UnixListener,
    progress: UnixListener,
}

struct Channels {
    monitor: UnixStream,
    console: UnixStream,
    progress: UnixStream,
}

impl Sockets {
    fn listen(places: &Places) -> Result<Self, RunnerError> {
        Ok(Self {
            monitor: Folder::listen(&places.monitor)?,
            console: Folder::listen(&places.console)?,
            progress: Folder::listen(&places.progress)?,
        })
    }

    /// QEMU opens all of them before the guest's first instruction.
    async fn accept(self, qemu: &mut Child) -> Result<Channels, RunnerError> {
        let opened = async {
            Ok(Channels {
                monitor: self.monitor.accept().await?.0,
                console: self.console.accept().await?.0,
                progress: self.progress.accept().await?.0,
            })
        };
        let ended = tokio::select! {
            opened = tokio::time::timeout(START, opened) => match opened {
                Ok(opened) => return opened.map_err(|error: std::io::Error| RunnerError::io(Path::new("QEMU's channels"))(error)),
                Err(_) => {
                    qemu.kill().await;
                    return Err(RunnerError::Monitor { expected: "a connection from QEMU", actual: format!("none within {START:?}") });
                }
            },
            ended = qemu.wait() => ended?,
        };
        Err(words::explained(ended.text, &qemu.words().await))
    }
}

/// Hears QEMU's events and keeps why it ended.
fn watch(on_event: &OnEvent, reason: &Arc<Mutex<Option<String>>>) -> OnMachineEvent {
    let (on_event, reason) = (on_event.clone(), reason.clone());
    Arc::new(move |name, data| {
        if name == "SHUTDOWN" {
            let said = data.get("reason").and_then(Value::as_str).map(str::to_owned);
            *reason.lock().unwrap_or_else(PoisonError::into_inner) = said;
        }
        on_event(VmEvent::Machine(name.to_owned()));
    })
}

async fn console(mut stream: UnixStream, mut log: ConsoleLog, on_event: OnEvent) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default();
        log.keep(bytes).await;
        on_event(VmEvent::Console(bytes.to_vec()));
    }
}

async fn reports(mut stream: UnixStream, on_event: OnEvent) {
    let (mut buffer, mut lines) = ([0; 4096], Lines::default());
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        for line in lines.take(buffer.get(..count).unwrap_or_default()) {
            on_event(match line {
                Line::Report(report) => VmEvent::Report(report),
                Line::Refused(reason) => VmEvent::NoReport(reason),
            });
        }
    }
}

/// What the supervising task owns: everything that ends with the VM.
struct Running {
    qemu: Child,
    td: Option<Child>,
    monitor: Arc<Monitor>,
    readers: [JoinHandle<()>; 2],
    reason: Arc<Mutex<Option<String>>>,
    killed: mpsc::Receiver<()>,
    _folder: Folder,
}

enum First {
    Qemu(crate::process::Exit),
    Td(crate::process::Exit),
    Kill,
}

impl Running {
    async fn supervise(mut self) -> Result<Ended, RunnerError> {
        let td = async {
            match &mut self.td {
                Some(td) => td.wait().await,
                None => std::future::pending().await,
            }
        };
        let first = tokio::select! {
            // A guest that ended by itself was not ended by whoever asked at the same moment.
            biased;
            exit = self.qemu.wait() => First::Qemu(exit?),
            exit = td => First::Td(exit?),
            _ = self.killed.recv() => First::Kill,
        };
        match first {
            First::Qemu(exit) => {
                self.quiet().await;
                if exit.code != Some(0) {
                    return Err(words::explained(exit.text, &self.qemu.words().await));
                }
                let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(match reason.as_deref() {
                    Some("guest-shutdown") => Ended::PoweredOff,
                    Some("guest-reset" | "guest-panic") => Ended::Reset,
                    _ => Ended::Killed,
                })
            }
            First::Td(exit) => {
                self.qemu.kill().await;
                let words = match &mut self.td {
                    Some(td) => td.words().await,
                    None => String::new(),
                };
                Err(RunnerError::Ended {
                    program: "soft-td",
                    status: exit.text,
                    words,
                })
            }
            First::Kill => {
                // In order, so that what QEMU holds of the data disk reaches it; a QEMU that does not answer is killed.
                let asked = tokio::time::timeout(QUIT, self.monitor.ask("quit")).await;
                if !matches!(asked, Ok(Ok(_))) || tokio::time::timeout(QUIT, self.qemu.wait()).await.is_err()
                {
                    self.qemu.kill().await;
                }
                self.quiet().await;
                Ok(Ended::Killed)
            }
        }
    }

    /// Returns when everything that QEMU said has been heard.
    async fn quiet(&mut self) {
        self.monitor.ended().await;
        for reader in &mut self.readers {
            let _ = reader.await;
        }
    }
}
