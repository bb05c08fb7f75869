//! Running a program with bytes on its standard input: bounded answer, bounded time, nothing of our environment.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::NetworkError;

const LIMIT: Duration = Duration::from_secs(30);
const MAX_ANSWER: u64 = 1024 * 1024;
const MAX_WORDS: usize = 2000;

/// What a program answered.
pub(super) struct Answer {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

pub(super) async fn run(
    program: &Path,
    args: &[&str],
    environment: &[(&str, &OsStr)],
    input: &[u8],
) -> Result<Answer, NetworkError> {
    let not_run = |source| NetworkError::NotRun {
        program: program.display().to_string(),
        source,
    };
    let mut command = Command::new(program);
    command.args(args).env_clear().kill_on_drop(true);
    // Plugins look for iptables there.
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    command.envs(environment.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(not_run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input says why by its exit code.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), stdout, stderr) = tokio::join!(write, read(stdout), read(stderr));
        let status = child.wait().await?;
        Ok(Answer {
            success: status.success(),
            stdout: stdout?,
            stderr: stderr?,
        })
    };
    match tokio::time::timeout(LIMIT, work).await {
        Ok(answer) => answer.map_err(not_run),
        Err(_) => Err(not_run(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer in {LIMIT:?}"),
        ))),
    }
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_ANSWER + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MAX_ANSWER {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("more than {MAX_ANSWER} bytes of output"),
        ));
    }
    Ok(bytes)
}

/// Output of a program, for an error message.
pub(super) fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim()
        .chars()
        .take(MAX_WORDS)
        .collect()
}
