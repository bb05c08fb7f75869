//! One record of a log file: `{"t":<nanoseconds since 1970>,"s":"out"|"err","p":true?,"m":"text"}` and a newline. Bytes that
//! are not UTF-8 are replaced; longer text than [`super::MAX_LINE`] is refused by the reader.

use serde::{Deserialize, Serialize};

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output (and everything, with a terminal).
    #[serde(rename = "out")]
    Stdout,
    /// Standard error.
    #[serde(rename = "err")]
    Stderr,
}

/// One line a container wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Nanoseconds since 1970.
    #[serde(rename = "t")]
    pub time: u64,
    /// Its stream.
    #[serde(rename = "s")]
    pub stream: Stream,
    /// Whether the line goes on in the next record of the stream.
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Text without the newline.
    #[serde(rename = "m")]
    pub text: String,
}

impl LogLine {
    /// The record as bytes, newline included.
    pub(super) fn encode(&self) -> Vec<u8> {
        // Writing a struct of numbers and text cannot fail.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a record without its newline. `None`: torn or foreign.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        // Escapes make a record at most six times its text.
        if bytes.len() > super::MAX_LINE * 6 + 128 {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }
}

/// Cuts a stream of bytes into lines of bounded length.
#[derive(Debug)]
pub(super) struct Splitter {
    stream: Stream,
    held: Vec<u8>,
}

impl Splitter {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            held: Vec::new(),
        }
    }

    /// Takes bytes; gives the lines they complete.
    pub(super) fn push(&mut self, bytes: &[u8], now: u64) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let mut rest = text;
            loop {
                let room = super::MAX_LINE.saturating_sub(self.held.len());
                let (now_held, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
                self.held.extend_from_slice(now_held);
                rest = later;
                if rest.is_empty() {
                    break;
                }
                lines.push(self.take(now, true));
            }
            if ends {
                lines.push(self.take(now, false));
            }
        }
        lines
    }

    /// The line a stream ended in, if it did not end with a newline.
    pub(super) fn finish(&mut self, now: u64) -> Option<LogLine> {
        (!self.held.is_empty()).then(|| self.take(now, false))
    }

    fn take(&mut self, time: u64, partial: bool) -> LogLine {
        let bytes = std::mem::take(&mut self.held);
        let end = if bytes.ends_with(b"\r") {
            bytes.len() - 1
        } else {
            bytes.len()
        };
        let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or(&bytes)).into_owned();
        LogLine {
            time,
            stream: self.stream,
            partial,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_joined() {
        let mut splitter = Splitter::new(Stream::Stdout);
        assert!(splitter.push(b"ab", 1).is_empty());
        let lines = splitter.push(b"c\r\n\nd", 2);
        assert_eq!(
            lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
            ["abc", ""]
        );
        assert_eq!(splitter.finish(3).map(|line| line.text), Some("d".to_owned()));
        assert_eq!(splitter.finish(4), None);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut splitter = Splitter::new(Stream::Stderr);
        let lines = splitter.push(&vec![b'x'; super::super::MAX_LINE * 3 + 5], 1);
        assert_eq!(lines.len(), 3);
        assert!(
            lines
                .iter()
                .all(|line| line.partial && line.text.len() == super::super::MAX_LINE)
        );
        assert_eq!(splitter.finish(1).map(|line| line.text.len()), Some(5));
    }

    #[test]
    fn records_survive_a_round_and_torn_ones_do_not() {
        let line = LogLine {
            time: 7,
            stream: Stream::Stderr,
            partial: true,
            text: "\u{1}\"é".to_owned(),
        };
        let bytes = line.encode();
        let (end, record) = bytes.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert_eq!(LogLine::decode(record), Some(line));
        assert_eq!(LogLine::decode(record.split_last().unwrap().1), None);
    }
}
