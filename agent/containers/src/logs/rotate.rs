//! Files of one log: `log`, `log.1` (older), … Rotation renames, oldest first, so that a crash between two renames leaves a
//! gap and never overwrites newer lines. A half-written last record is closed with a newline when the file is opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::LogSettings;

/// Most files a log may be told to keep.
pub(super) const MOST_FILES: u32 = 100;

/// Path of the file that is `age` rotations old.
pub(super) fn file_path(folder: &Path, age: u32) -> PathBuf {
    if age == 0 {
        folder.join("log")
    } else {
        folder.join(format!("log.{age}"))
    }
}

/// The current file, with its size.
#[derive(Debug)]
pub(super) struct Rotating {
    settings: LogSettings,
    file: File,
    size: u64,
}

impl Rotating {
    pub(super) fn open(settings: LogSettings) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.folder)?;
        let (file, size) = open(&settings.folder)?;
        Ok(Self { settings, file, size })
    }

    /// Appends one record, in one write.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let added = record.len() as u64;
        if self.size > 0 && self.size.saturating_add(added) > self.settings.max_size {
            self.rotate()?;
        }
        self.file.write_all(record)?;
        self.size = self.size.saturating_add(added);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let folder = &self.settings.folder;
        let kept = self.settings.max_file.clamp(1, MOST_FILES);
        if kept == 1 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for age in (0..kept - 1).rev() {
            match std::fs::rename(file_path(folder, age), file_path(folder, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.size) = open(folder)?;
        Ok(())
    }
}

fn open(folder: &Path) -> io::Result<(File, u64)> {
    let path = file_path(folder, 0);
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0_u8; 1];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, max_size: u64, max_file: u32) -> LogSettings {
        LogSettings {
            folder: folder.to_owned(),
            max_size,
            max_file,
        }
    }

    #[test]
    fn sizes_and_number_of_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Rotating::open(settings(folder.path(), 100, 3)).unwrap();
        for n in 0..100 {
            log.append(format!("{n:029}\n").as_bytes()).unwrap();
        }
        let mut sizes: Vec<u64> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        sizes.sort();
        assert_eq!(sizes, [30, 90, 90]);
        let newest = std::fs::read_to_string(file_path(folder.path(), 0)).unwrap();
        assert!(newest.ends_with("99\n"));
    }

    #[test]
    fn a_torn_record_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file_path(folder.path(), 0), b"{\"t\":1").unwrap();
        let mut log = Rotating::open(settings(folder.path(), 100, 1)).unwrap();
        log.append(b"next\n").unwrap();
        assert_eq!(
            std::fs::read(file_path(folder.path(), 0)).unwrap(),
            b"{\"t\":1\nnext\n"
        );
    }
}
