//! One run of a bash script of the measured document: its own process group, its log in the files of a container's form, the
//! decrypted environment through a file of the owner alone.
//!
//! The environment is neither in an argument nor in the process's initial environment, which a crash report or `ps e` of
//! somebody else would show; bash reads the file and then the script.

use super::AppError;
use app_manifest::Environment;
use container_runtime::logs::LogSettings;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::{self, PipeWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// What a script finds.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A script in a file of its own, beside the environment it gets.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it is called in messages.
    pub name: &'static str,
    /// The file with its text.
    pub file: PathBuf,
    /// The file with its environment.
    pub environment: PathBuf,
    /// Folder it runs in.
    pub folder: PathBuf,
}

/// The decrypted environment as a file that bash reads. Removed on drop.
#[derive(Debug)]
pub struct ScriptEnvironment(PathBuf);

impl ScriptEnvironment {
    /// Writes it to `path`, which must be on a tmpfs.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn write(path: PathBuf, environment: &Environment) -> Result<Self, AppError> {
        let mut text = Zeroizing::new(String::new());
        for (name, value) in environment.iter() {
            text.push_str("export ");
            text.push_str(name.as_str());
            text.push_str("='");
            // Inside single quotes bash reads nothing but the closing quote.
            for part in value.expose().split_inclusive('\'') {
                match part.strip_suffix('\'') {
                    Some(before) => {
                        text.push_str(before);
                        text.push_str(r"'\''");
                    }
                    None => text.push_str(part),
                }
            }
            text.push_str("'\n");
        }
        private_file(&path, text.as_bytes()).map_err(AppError::io(&path, "write the environment"))?;
        Ok(Self(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScriptEnvironment {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A file of the owner alone, made anew.
pub(crate) fn private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// A folder of the owner alone, with its parents.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A log in the form of a container's, written by a process of its own until every writer is closed.
#[derive(Debug)]
pub struct ScriptLog {
    out: PipeWriter,
    err: PipeWriter,
    writer: Child,
}

impl ScriptLog {
    /// Starts the writer, `program log-writer SETTINGS`, over a fresh settings file in `run`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, run: &Path, name: &str, folder: PathBuf) -> Result<Self, AppError> {
        private_folder(&folder).map_err(AppError::io(&folder, "make the folder of the log"))?;
        let settings = run.join(format!("{name}.log.json"));
        let text = serde_json::to_vec(&LogSettings {
            folder,
            max_size: LogSettings::DEFAULT_MAX_SIZE,
            max_file: LogSettings::DEFAULT_MAX_FILE,
        })
        .map_err(|error| AppError::io(&settings, "write the settings of the log")(error.into()))?;
        private_file(&settings, &text).map_err(AppError::io(&settings, "write the settings of the log"))?;
        let failed = || AppError::io(program, "start the log writer");
        let (out_read, out) = io::pipe().map_err(failed())?;
        let (err_read, err) = io::pipe().map_err(failed())?;
        // The writer's descriptors are 3 (output), 4 (errors) and 5 (ready); a shell puts them there.
        let writer = Command::new("/bin/sh")
            .args([
                "-c",
                r#"exec "$0" log-writer "$1" 3<&0 4<&1 5>/dev/null </dev/null >/dev/null"#,
            ])
            .arg(program)
            .arg(&settings)
            .stdin(Stdio::from(out_read))
            .stdout(Stdio::from(err_read))
            .stderr(Stdio::null())
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .process_group(0)
            .spawn()
            .map_err(failed())?;
        Ok(Self { out, err, writer })
    }

    /// Waits until everything written is in the files.
    pub async fn finish(self) {
        let Self { out, err, mut writer } = self;
        drop((out, err));
        let _ = tokio::time::timeout(Duration::from_secs(5), writer.wait()).await;
    }
}

impl Script {
    /// Writes the script's text to its file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn place(&self, text: &str) -> Result<(), AppError> {
        private_file(&self.file, text.as_bytes()).map_err(AppError::io(&self.file, "write the script"))
    }

    /// Starts it in a process group of its own.
    ///
    /// # Errors
    /// When bash cannot be started.
    pub fn start(&self, log: &ScriptLog) -> Result<Running, AppError> {
        let failed = || AppError::io("/bin/bash", "start the script");
        let child = Command::new("/bin/bash")
            .args(["--noprofile", "--norc", "-c", r#". "$1" && . "$2""#, "kedge-app"])
            .arg(&self.environment)
            .arg(&self.file)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("HOME", &self.folder)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.out.try_clone().map_err(failed())?))
            .stderr(Stdio::from(log.err.try_clone().map_err(failed())?))
            .process_group(0)
            .spawn()
            .map_err(failed())?;
        let pid = child.id();
        Ok(Running { child, pid })
    }
}

/// A script that runs. Its whole group is killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Option<u32>,
}

impl Running {
    /// Its process id, also its group's.
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Waits for its end: exit code, or 128 and the signal.
    ///
    /// # Errors
    /// When the system does not say.
    pub async fn wait(&mut self) -> io::Result<u32> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().await?;
        let code = status
            .code()
            .unwrap_or_else(|| status.signal().unwrap_or(0).saturating_add(128));
        Ok(u32::try_from(code).unwrap_or(u32::MAX))
    }

    /// Asks the whole group to end, and ends it after the grace.
    pub async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
        // What the script left behind in its group goes too.
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
