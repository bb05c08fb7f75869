//! What a guest printed, as a terminal can show it: without escape sequences and control characters, which are the guest's to choose
//! and the user's terminal to obey.

/// The text without them. Line ends and tabs stay.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip(&mut chars),
            '\n' | '\t' => shown.push(char),
            char if char.is_control() => {}
            char => shown.push(char),
        }
    }
    shown
}

/// Goes past an escape sequence: ESC and one character, or ESC [ up to its final byte.
fn skip(chars: &mut std::str::Chars<'_>) {
    if chars.next() == Some('[') {
        let _ = chars.find(|char| ('@'..='~').contains(char));
    }
}

/// Puts lines together from pieces; a line above a bound is shown in parts.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

/// Bytes of a line that is shown whole.
const MAX_LINE: usize = 16 * 1024;

impl Lines {
    /// Takes a piece; gives the lines that ended in it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.0.len() > MAX_LINE {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// What is left without a line end; nothing when nothing of it can be shown.
    pub(super) fn rest(&mut self) -> Option<String> {
        let line = plain(&std::mem::take(&mut self.0));
        let line = line.trim_end();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_does_not_speak_to_the_terminal() {
        assert_eq!(
            plain(b"\x1b[2J\x1b[01;01H\x1b[=3hBoot\r\n\x07\x1bc\x085n"),
            "Boot\n5n"
        );
        assert_eq!(plain("\u{9b}31mred".as_bytes()), "31mred");
        assert_eq!(plain(b"\x1b["), "");
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.take(b"o\n\n\x1b[2J\nthree"), ["two"]);
        assert_eq!(lines.rest().as_deref(), Some("three"));
        assert_eq!(lines.rest(), None);
    }
}
