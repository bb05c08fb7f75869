//! A child process that ends with this one: killed when it is dropped, and by the kernel when this process is killed, as far as the
//! child asks for that (QEMU's `exit-with-parent`, soft-td's `--with-parent`). Its last words are kept, bounded.

use crate::RunnerError;
use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{ChildStdout, Command},
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
};

/// Bytes of last words.
const MAX_WORDS: usize = 16 * 1024;

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    /// Its exit code, when no signal ended it.
    pub(crate) code: Option<i32>,
    /// In words.
    pub(crate) text: String,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self {
            code: status.code(),
            text: status.to_string(),
        }
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    child: tokio::process::Child,
    words: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts a program with nothing on its standard input.
    pub(crate) async fn start(
        name: &'static str,
        command: std::process::Command,
    ) -> Result<Self, RunnerError> {
        let mut command = Command::from(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is the runner's to act on.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = spawn(command).await.map_err(RunnerError::io(Path::new(name)))?;
        let words = Arc::<Mutex<Vec<u8>>>::default();
        let reader = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(keep(stderr, words.clone())));
        Ok(Self {
            name,
            child,
            words,
            reader,
        })
    }

    /// What it prints.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its process id while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end. Can be asked again.
    pub(crate) async fn wait(&mut self) -> Result<Exit, RunnerError> {
        let status = self.child.wait().await;
        Ok(status.map_err(RunnerError::io(Path::new(self.name)))?.into())
    }

    /// Ends it now.
    pub(crate) async fn kill(&mut self) {
        // One that is gone already is what was wanted.
        let _ = self.child.kill().await;
    }

    /// Its last words, once it has ended.
    pub(crate) async fn words(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.await;
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}

async fn keep(mut stream: impl AsyncRead + Unpin, words: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(buffer.iter().take(count));
        let over = words.len().saturating_sub(MAX_WORDS);
        words.drain(..over);
    }
}

type Job = (
    Handle,
    Command,
    oneshot::Sender<std::io::Result<tokio::process::Child>>,
);

/// The kernel's death signal is tied to the thread that forked, so one thread that lives as long as the process forks them all.
async fn spawn(command: Command) -> std::io::Result<tokio::process::Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (runtime, mut command, reply) in inbox {
                let _inside = runtime.enter();
                // Whoever asked and went away has dropped the child with the answer.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (reply, answer) = oneshot::channel();
    let gone = || std::io::Error::other("the starting thread is gone");
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((Handle::current(), command, reply))
        .map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}
