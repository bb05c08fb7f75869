//! The `(bool, string)` an authority returns. Any other shape, a text above its bound, or words beside an
//! allowance are refused: what cannot be read must not pass for an answer (C6).

use std::fmt;

/// Most bytes of return data that are looked at.
pub const MAX_ANSWER: usize = 4096;

const WORD: usize = 32;

/// What an authority said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The trust domain may have the keys.
    Allowed,
    /// It may not.
    Denied(Denial),
}

/// Why an authority refused, in the words tabled at `IAppAuthV2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    reason: String,
}

impl Denial {
    /// The whole text: code, then values.
    pub fn reason(&self) -> &str {
        &self.reason
    }
    /// The stable code before the first colon.
    pub fn code(&self) -> &str {
        self.reason
            .split_once(':')
            .map_or(self.reason.as_str(), |(code, _)| code)
    }
    /// The values after it, empty where there are none.
    pub fn detail(&self) -> &str {
        self.reason.split_once(": ").map_or("", |(_, detail)| detail)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Return data that is not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Too short or too long for any answer.
    #[error("return data: expected 96 to {MAX_ANSWER} bytes, got {actual}")]
    Size {
        /// Bytes that came.
        actual: usize,
    },
    /// The flag is neither 0 nor 1.
    #[error("return data: expected a boolean, got {actual}")]
    Flag {
        /// The word that came, in hex.
        actual: String,
    },
    /// The text does not follow where it must.
    #[error("return data: expected the text at offset 64 and within the data, got {actual}")]
    Layout {
        /// Offset or length, in hex.
        actual: String,
    },
    /// The text is not UTF-8 or its padding is not zero.
    #[error("return data: expected UTF-8 padded with zeros")]
    Text,
    /// An allowance came with a reason, or a refusal without one.
    #[error("return data: allowed is {allowed} beside a reason of {length} bytes")]
    Contradiction {
        /// The flag.
        allowed: bool,
        /// Bytes of the reason.
        length: usize,
    },
}

/// Reads return data of `isAppAllowed`, `isKmsAllowed` and their second versions.
///
/// # Errors
/// Anything but the canonical ABI encoding of a boolean and a bounded text that agree with each other.
pub fn decode_answer(data: &[u8]) -> Result<Answer, AnswerError> {
    let size = || AnswerError::Size { actual: data.len() };
    if data.len() > MAX_ANSWER || !data.len().is_multiple_of(WORD) {
        return Err(size());
    }
    let (flag, rest) = data.split_first_chunk::<WORD>().ok_or_else(size)?;
    let (offset, rest) = rest.split_first_chunk::<WORD>().ok_or_else(size)?;
    let (length, text) = rest.split_first_chunk::<WORD>().ok_or_else(size)?;
    let allowed = match small(flag) {
        Some(0) => false,
        Some(1) => true,
        _ => {
            return Err(AnswerError::Flag {
                actual: hex_word(flag),
            });
        }
    };
    if small(offset) != Some(2 * WORD) {
        return Err(AnswerError::Layout {
            actual: hex_word(offset),
        });
    }
    let layout = || AnswerError::Layout {
        actual: hex_word(length),
    };
    let length_bytes = small(length).ok_or_else(layout)?;
    if text.len() != length_bytes.div_ceil(WORD) * WORD {
        return Err(layout());
    }
    let (reason, padding) = text.split_at_checked(length_bytes).ok_or_else(layout)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(AnswerError::Text);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| AnswerError::Text)?;
    match (allowed, reason.is_empty()) {
        (true, true) => Ok(Answer::Allowed),
        (false, false) => Ok(Answer::Denied(Denial {
            reason: reason.to_owned(),
        })),
        _ => Err(AnswerError::Contradiction {
            allowed,
            length: reason.len(),
        }),
    }
}

/// The word's value if it is below the bound of the data.
fn small(word: &[u8; WORD]) -> Option<usize> {
    let (high, low) = word.split_last_chunk::<2>()?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(usize::from(u16::from_be_bytes(*low)))
}

fn hex_word(word: &[u8; WORD]) -> String {
    alloy_primitives::hex::encode_prefixed(word)
}
