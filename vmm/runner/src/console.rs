//! The console of a VM: what the guest prints is kept in a file up to a bound, then dropped with one line that says so. A guest that
//! prints without end fills neither disk nor memory.

use crate::RunnerError;
use std::path::Path;
use tokio::{fs::File, io::AsyncWriteExt};

/// Bytes of console that are kept.
pub const MAX_CONSOLE_LOG: u64 = 4 << 20;
const FULL: &[u8] = b"\n[the console log is full: what follows was not kept]\n";

/// The file.
#[derive(Debug)]
pub(crate) struct ConsoleLog {
    file: File,
    left: u64,
}

impl ConsoleLog {
    /// A new file, readable by its owner alone.
    pub(crate) async fn create(path: &Path) -> Result<Self, RunnerError> {
        let file = tokio::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .await
            .map_err(RunnerError::io(path))?;
        Ok(Self {
            file,
            left: MAX_CONSOLE_LOG,
        })
    }

    /// Keeps what fits. A full disk ends the log, not the VM.
    pub(crate) async fn keep(&mut self, bytes: &[u8]) {
        if self.left == 0 {
            return;
        }
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let kept = bytes.get(..fits).unwrap_or_default();
        self.left -= kept.len() as u64;
        let written = self.file.write_all(kept).await;
        let ended = if self.left == 0 {
            self.file.write_all(FULL).await
        } else {
            Ok(())
        };
        if written.and(ended).and(self.file.flush().await).is_err() {
            self.left = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_guest_that_prints_without_end_fills_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut log = ConsoleLog::create(&path).await.unwrap();
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..6 {
            log.keep(&chunk).await;
        }
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text.len() as u64, MAX_CONSOLE_LOG + FULL.len() as u64);
        assert!(text.ends_with(FULL));
    }
}
