//! The software TD beside a plain VM: the program `soft-td` with the registers of the very boot QEMU is given. It is told them once,
//! before the guest runs; when it ends, so does the VM, since another one would have another RTMR3. Development only.

use crate::{RunnerError, process::Child};
use kms_types::{OsMeasurement, TdConfigId};
use serde_json::{Value, json};
use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

const DEADLINE: Duration = Duration::from_secs(20);
const MAX_READY: u64 = 64 * 1024;

/// What a software TD is started with.
#[derive(Debug, Clone)]
pub struct SoftTd {
    /// The program.
    pub program: PathBuf,
    /// Folder with the seed of the platform, shared by every TD of a development network.
    pub platform: PathBuf,
    /// MRTD and RTMR0 to 2.
    pub measurement: OsMeasurement,
    /// MRCONFIGID.
    pub mr_config_id: TdConfigId,
}

impl SoftTd {
    /// Starts it; returns once it listens.
    pub(crate) async fn start(&self, boot: &Path, socket: &Path) -> Result<Child, RunnerError> {
        let document = json!({
            "measurement": { "registers": self.measurement },
            "mr_config_id": self.mr_config_id,
        });
        std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(boot)
            .and_then(|mut file| file.write_all(document.to_string().as_bytes()))
            .map_err(RunnerError::io(boot))?;
        let mut command = Command::new(&self.program);
        command
            .arg("td")
            .arg("--state")
            .arg(&self.platform)
            .arg("--socket")
            .arg(socket)
            .arg("--boot")
            .arg(boot)
            .arg("--with-parent")
            .env_clear();
        if !self.program.is_file() {
            return Err(RunnerError::Config {
                what: "software TD",
                expected: "the program soft-td".to_owned(),
                actual: format!("nothing at {}", self.program.display()),
            });
        }
        let mut child = Child::start("soft-td", command).await?;
        let mut line = Vec::new();
        let ready = async {
            let stdout = child.stdout()?;
            let mut reader = BufReader::new(stdout).take(MAX_READY);
            reader.read_until(b'\n', &mut line).await.ok()?;
            let said: Value = serde_json::from_slice(&line).ok()?;
            said.get("ready")?.as_bool().filter(|ready| *ready)
        };
        if tokio::time::timeout(DEADLINE, ready)
            .await
            .ok()
            .flatten()
            .is_some()
        {
            return Ok(child);
        }
        child.kill().await;
        Err(RunnerError::Ended {
            program: "soft-td",
            status: format!("no ready line within {DEADLINE:?}"),
            words: child.words().await,
        })
    }
}
