//! The `bash` runner: one script, started again when it fails, stopped as a process group. Unlike containers it does not
//! outlive the agent; what an agent that was killed left behind is ended before the script starts again.

use super::{
    App, AppError, AppFuture, ContainerView, LogItem, LogRequest, LogStream,
    script::{Running, Script, ScriptEnvironment, ScriptLog, private_file, private_folder},
};
use app_manifest::Environment;
use container_runtime::logs::{LogQuery, LogReader, Stream};
use futures::StreamExt;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// Name of the one service.
const SERVICE: &str = "app";
/// First pause before the script starts again, and the longest.
const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A run of this length counts as a success: the pauses start anew.
const LONG_RUN: Duration = Duration::from_secs(60);
/// The log is looked at this often while it is followed.
const FOLLOW: Duration = Duration::from_millis(200);

/// The script as an app.
pub struct BashApp {
    script: Script,
    text: String,
    environment: Arc<Environment>,
    log_writer: PathBuf,
    run: PathBuf,
    logs: PathBuf,
    grace: Duration,
    shown: Arc<Mutex<ContainerView>>,
    task: Mutex<Option<Task>>,
}

struct Task {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl BashApp {
    /// The script `text`, with files in `run` (a tmpfs), its folder and its log in `data`.
    pub fn new(
        text: String,
        environment: Arc<Environment>,
        log_writer: PathBuf,
        run: &Path,
        data: &Path,
        grace: Duration,
    ) -> Self {
        let run = run.join("script");
        Self {
            script: Script {
                name: "bash_script",
                file: run.join("app.sh"),
                environment: run.join("app.env"),
                folder: data.join("app"),
            },
            text,
            environment,
            log_writer,
            logs: data.join("logs").join(SERVICE),
            run,
            grace,
            shown: Arc::new(Mutex::new(stopped())),
            task: Mutex::new(None),
        }
    }

    fn start(&self) -> Result<(), AppError> {
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|task| !task.task.is_finished()) {
            return Ok(());
        }
        for folder in [&self.run, &self.script.folder] {
            private_folder(folder).map_err(AppError::io(folder, "make the script's folder"))?;
        }
        let pid_file = self.run.join("app.pid");
        end_leftover(&pid_file);
        self.script.place(&self.text)?;
        let environment = ScriptEnvironment::write(self.script.environment.clone(), &self.environment)?;
        let log = ScriptLog::start(&self.log_writer, &self.run, SERVICE, self.logs.clone())?;
        let (stop, stopping) = watch::channel(false);
        let supervised = Supervised {
            script: self.script.clone(),
            _environment: environment,
            log,
            pid_file,
            grace: self.grace,
            shown: Arc::clone(&self.shown),
        };
        *slot = Some(Task {
            stop,
            task: tokio::spawn(supervised.run(stopping)),
        });
        Ok(())
    }
}

struct Supervised {
    script: Script,
    _environment: ScriptEnvironment,
    log: ScriptLog,
    pid_file: PathBuf,
    grace: Duration,
    shown: Arc<Mutex<ContainerView>>,
}

impl Supervised {
    async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut pause = RESTART.0;
        loop {
            let begun = tokio::time::Instant::now();
            let ended = match self.script.start(&self.log) {
                Ok(mut running) => {
                    self.started(&running);
                    tokio::select! {
                        code = running.wait() => code.map_err(|error| error.to_string()),
                        () = told(&mut stopping) => {
                            running.stop(self.grace).await;
                            break;
                        }
                    }
                }
                Err(error) => Err(error.to_string()),
            };
            if begun.elapsed() >= LONG_RUN {
                pause = RESTART.0;
            }
            let again = ended != Ok(0);
            self.ended(&ended, again);
            if !again {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = pause.saturating_mul(2).min(RESTART.1),
                () = told(&mut stopping) => break,
            }
            self.show(|view| view.restarts = view.restarts.saturating_add(1));
        }
        self.show(|view| {
            view.pid = None;
            if view.state != "exited" {
                "stopped".clone_into(&mut view.state);
            }
        });
        let _ = std::fs::remove_file(&self.pid_file);
        self.log.finish().await;
    }

    fn started(&self, running: &Running) {
        if let Some(pid) = running.pid() {
            let _ = private_file(
                &self.pid_file,
                format!("{pid} {}", start_time(pid).unwrap_or_default()).as_bytes(),
            );
        }
        self.show(|view| {
            "running".clone_into(&mut view.state);
            (view.pid, view.message) = (running.pid(), None);
        });
    }

    fn ended(&self, ended: &Result<u32, String>, again: bool) {
        tracing::warn!(?ended, again, "the script has ended");
        self.show(|view| {
            let state = if again { "restarting" } else { "exited" };
            state.clone_into(&mut view.state);
            view.pid = None;
            view.exit_code = ended.as_ref().ok().copied();
            view.message = ended.as_ref().err().cloned();
        });
    }

    fn show(&self, change: impl FnOnce(&mut ContainerView)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Ends when the script is to stop.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn stopped() -> ContainerView {
    ContainerView {
        service: SERVICE.to_owned(),
        name: SERVICE.to_owned(),
        image: None,
        state: "stopped".to_owned(),
        health: None,
        pid: None,
        exit_code: None,
        restarts: 0,
        ports: Vec::new(),
        message: None,
    }
}

/// When a process was started, in ticks since the boot: a number that came again is another process.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

/// Ends the group of a script whose agent was killed.
fn end_leftover(pid_file: &Path) {
    let Ok(text) = std::fs::read_to_string(pid_file) else {
        return;
    };
    if let Some((pid, started)) = text.split_once(' ')
        && let Ok(number) = pid.parse::<u32>()
        && start_time(number).is_some_and(|now| now == started)
        && let Ok(group) = i32::try_from(number)
    {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = std::fs::remove_file(pid_file);
}

impl App for BashApp {
    fn up(&self) -> AppFuture<'_, ()> {
        Box::pin(async { self.start() })
    }

    fn stop(&self) -> AppFuture<'_, ()> {
        Box::pin(async {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Task { stop, task }) = task {
                let _ = stop.send(true);
                let _ = task.await;
            }
            Ok(())
        })
    }

    fn containers(&self) -> AppFuture<'_, Vec<ContainerView>> {
        Box::pin(async {
            Ok(vec![
                self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ])
        })
    }

    fn logs(&self, request: LogRequest) -> AppFuture<'_, LogStream> {
        let folder = self.logs.clone();
        Box::pin(async move {
            match request.service.as_deref() {
                // Reading back through files blocks; the sockets and the lease must not wait for it.
                None | Some(SERVICE) => {
                    let at = folder.clone();
                    let opened = tokio::task::spawn_blocking(move || follow(folder, request)).await;
                    opened.map_err(|error| AppError::io(&at, "read the log")(std::io::Error::other(error)))?
                }
                Some(other) => Err(AppError::NoSuchService {
                    actual: other.to_owned(),
                }),
            }
        })
    }
}

fn follow(folder: PathBuf, request: LogRequest) -> Result<LogStream, AppError> {
    let query = LogQuery {
        service: None,
        tail: request.tail,
        since: request.since,
        follow: request.follow,
    };
    let (reader, past) = LogReader::open(&folder, &query).map_err(AppError::io(&folder, "read the log"))?;
    let items = |lines: Vec<container_runtime::logs::LogLine>| {
        futures::stream::iter(lines.into_iter().map(|line| {
            LogItem {
                time: line.time,
                service: SERVICE.to_owned(),
                stream: match line.stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                }
                .to_owned(),
                text: line.text,
            }
        }))
    };
    let past = items(past);
    if !request.follow {
        return Ok(past.boxed());
    }
    let coming = futures::stream::unfold(reader, |mut reader| async {
        tokio::time::sleep(FOLLOW).await;
        let lines = reader.next_lines().ok()?;
        Some((lines, reader))
    });
    Ok(past.chain(coming.flat_map(items)).boxed())
}
