//! Reading a log across its rotated files: the last lines, lines since a time, and what comes next. Memory is bounded by the
//! number of lines asked for; records that do not parse are skipped.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::LogLine;
use super::rotate::{MOST_FILES, file_path};

/// Most lines one answer gives from the past.
pub const MAX_TAIL: usize = 10_000;
/// Longest record read from a file.
const MAX_RECORD: u64 = (super::MAX_LINE as u64) * 6 + 256;

/// Which lines to give.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Only this service; all when `None`.
    pub service: Option<String>,
    /// At most so many of the last lines, [`MAX_TAIL`] when `None`.
    pub tail: Option<usize>,
    /// Only lines at or after this time, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Whether to go on with lines as they are written.
    pub follow: bool,
}

/// Reads one container's log; after the past it can be asked again and again for what is new.
#[derive(Debug)]
pub struct LogReader {
    folder: PathBuf,
    since: u64,
    /// File being followed: its reader and inode.
    current: Option<(BufReader<File>, u64)>,
    torn: Vec<u8>,
}

impl LogReader {
    /// Lines of the past that the query names, and a reader set behind them.
    pub fn open(folder: &Path, query: &LogQuery) -> io::Result<(Self, Vec<LogLine>)> {
        let most = query.tail.unwrap_or(MAX_TAIL).min(MAX_TAIL);
        let since = query.since.unwrap_or(0);
        let mut reader = Self {
            folder: folder.to_owned(),
            since,
            current: None,
            torn: Vec::new(),
        };
        let mut lines = VecDeque::new();
        for age in (1..MOST_FILES).rev() {
            let path = file_path(folder, age);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut held = Vec::new();
            read_lines(&mut BufReader::new(file), &mut held, |line| {
                keep(&mut lines, line, since, most)
            })?;
        }
        reader.advance(|line| keep(&mut lines, line, since, most))?;
        Ok((reader, lines.into()))
    }

    /// Lines written since the last call.
    pub fn next_lines(&mut self) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        let since = self.since;
        self.advance(|line| {
            if line.time >= since {
                lines.push(line);
            }
        })?;
        Ok(lines)
    }

    fn advance(&mut self, mut take: impl FnMut(LogLine)) -> io::Result<()> {
        if let Some((reader, inode)) = &mut self.current {
            let inode = *inode;
            if reader.get_ref().metadata()?.len() < reader.stream_position()? {
                // A log of one file is emptied in place.
                reader.seek(SeekFrom::Start(0))?;
                self.torn.clear();
            }
            read_lines(reader, &mut self.torn, &mut take)?;
            let now = match std::fs::metadata(file_path(&self.folder, 0)) {
                Ok(metadata) => Some(metadata.ino()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            if now == Some(inode) || now.is_none() {
                return Ok(());
            }
            // What was written between the last read and the rename.
            read_lines(reader, &mut self.torn, &mut take)?;
            self.catch_up(inode, &mut take)?;
        }
        self.open_current(&mut take)
    }

    /// Reads whole files that were rotated away since the followed one.
    fn catch_up(&mut self, inode: u64, take: &mut impl FnMut(LogLine)) -> io::Result<()> {
        let followed = (1..MOST_FILES).find(|age| {
            std::fs::metadata(file_path(&self.folder, *age)).is_ok_and(|found| found.ino() == inode)
        });
        self.torn.clear();
        for age in (1..followed.unwrap_or(1)).rev() {
            if let Ok(file) = File::open(file_path(&self.folder, age)) {
                read_lines(&mut BufReader::new(file), &mut Vec::new(), &mut *take)?;
            }
        }
        Ok(())
    }

    fn open_current(&mut self, take: &mut impl FnMut(LogLine)) -> io::Result<()> {
        match File::open(file_path(&self.folder, 0)) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                let mut reader = BufReader::new(file);
                self.torn.clear();
                read_lines(&mut reader, &mut self.torn, take)?;
                self.current = Some((reader, inode));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn keep(lines: &mut VecDeque<LogLine>, line: LogLine, since: u64, most: usize) {
    if line.time < since || most == 0 {
        return;
    }
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// Reads whole records; the start of an unfinished one stays in `torn`.
fn read_lines(
    reader: &mut impl BufRead,
    torn: &mut Vec<u8>,
    mut take: impl FnMut(LogLine),
) -> io::Result<()> {
    loop {
        let room = MAX_RECORD.saturating_sub(torn.len() as u64).max(1);
        let read = reader.by_ref().take(room).read_until(b'\n', torn)?;
        if read == 0 {
            return Ok(());
        }
        if torn.ends_with(b"\n") {
            torn.pop();
            if let Some(line) = LogLine::decode(torn) {
                take(line);
            }
            torn.clear();
        } else if torn.len() as u64 >= MAX_RECORD {
            torn.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rotate::Rotating;
    use super::super::{LogSettings, Stream};
    use super::*;

    fn line(n: u64) -> LogLine {
        LogLine {
            time: n,
            stream: Stream::Stdout,
            partial: false,
            text: format!("line {n}"),
        }
    }

    fn numbers(lines: &[LogLine]) -> Vec<u64> {
        lines.iter().map(|line| line.time).collect()
    }

    #[test]
    fn tail_since_and_follow_cross_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let settings = LogSettings {
            folder: folder.path().to_owned(),
            max_size: 200,
            max_file: 20,
        };
        let mut log = Rotating::open(settings).unwrap();
        for n in 0..20 {
            log.append(&line(n).encode()).unwrap();
        }
        let query = LogQuery {
            tail: Some(7),
            ..LogQuery::default()
        };
        let (mut reader, past) = LogReader::open(folder.path(), &query).unwrap();
        assert_eq!(numbers(&past), (13..20).collect::<Vec<_>>());
        let (_, past) = LogReader::open(
            folder.path(),
            &LogQuery {
                since: Some(15),
                ..LogQuery::default()
            },
        )
        .unwrap();
        assert_eq!(numbers(&past), (15..20).collect::<Vec<_>>());
        for n in 20..40 {
            log.append(&line(n).encode()).unwrap();
        }
        assert_eq!(
            numbers(&reader.next_lines().unwrap()),
            (20..40).collect::<Vec<_>>()
        );
        assert!(reader.next_lines().unwrap().is_empty());
        log.append(&line(40).encode()).unwrap();
        assert_eq!(numbers(&reader.next_lines().unwrap()), [40]);
    }

    #[test]
    fn a_torn_or_foreign_record_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = line(1).encode();
        bytes.extend_from_slice(b"{\"t\":2,\"s\"\nnot json\n");
        bytes.extend_from_slice(&line(3).encode());
        bytes.extend_from_slice(b"{\"t\":4,");
        std::fs::write(folder.path().join("log"), bytes).unwrap();
        let (_, past) = LogReader::open(folder.path(), &LogQuery::default()).unwrap();
        assert_eq!(numbers(&past), [1, 3]);
    }

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reader, past) = LogReader::open(&folder.path().join("none"), &LogQuery::default()).unwrap();
        assert!(past.is_empty());
        assert!(reader.next_lines().unwrap().is_empty());
    }
}
