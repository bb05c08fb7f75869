//! The guest's reports: one JSON object a line, from a guest that may say anything. Lines above a bound and what is no JSON object
//! are told apart from reports, and neither is kept.

use serde_json::{Map, Value};

/// Bytes of one report.
pub const MAX_PROGRESS_LINE: usize = 64 * 1024;

/// Cuts what comes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    too_long: bool,
}

/// A line, read.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// A report.
    Report(Map<String, Value>),
    /// Something else, and why it is none.
    Refused(String),
}

impl Lines {
    /// Takes bytes; gives every line that ended in them.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if self.line.len() + text.len() > MAX_PROGRESS_LINE {
                self.too_long = true;
                self.line.clear();
            } else if !self.too_long {
                self.line.extend_from_slice(text);
            }
            if ended {
                lines.extend(self.end());
            }
        }
        lines
    }

    fn end(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            let said = format!("expected at most {MAX_PROGRESS_LINE} bytes a line, got more");
            return Some(Line::Refused(said));
        }
        if line.trim_ascii().is_empty() {
            return None;
        }
        Some(match serde_json::from_slice(&line) {
            Ok(report) => Line::Report(report),
            Err(error) => Line::Refused(format!("expected a JSON object, got other bytes: {error}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_without_end_is_not_kept_and_the_next_one_is_read() {
        let mut lines = Lines::default();
        for _ in 0..64 {
            assert!(lines.take(&[b'x'; 8192]).is_empty());
            assert!(lines.line.len() <= MAX_PROGRESS_LINE);
        }
        let after = lines.take(b"\n{\"stage\":\"done\"}\nnot json\n");
        assert!(
            matches!(after.as_slice(), [Line::Refused(_), Line::Report(report), Line::Refused(_)] if report.contains_key("stage")),
            "{after:?}"
        );
    }

    proptest! {
        #[test]
        fn cutting_does_not_depend_on_the_pieces(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), Just(b'}'), any::<u8>()], 0..200),
            cut in 0usize..200,
        ) {
            let (mut whole, mut pieces) = (Lines::default(), Lines::default());
            let (one, other) = bytes.split_at(cut.min(bytes.len()));
            let mut got = pieces.take(one);
            got.extend(pieces.take(other));
            prop_assert_eq!(whole.take(&bytes), got);
        }
    }
}
