//! Why evidence was refused: the number of the check, what it wanted and what it got. Texts taken from evidence are
//! cut to a bound, so that a refusal is never larger than the limits of the wire.

use std::fmt;

/// Longest expected or actual text of a refusal, in characters.
const MAX_TEXT: usize = 200;

/// What a check compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The thing compared.
    pub what: &'static str,
    /// What was wanted.
    pub expected: String,
    /// What came.
    pub actual: String,
}

impl Mismatch {
    pub(crate) fn new(what: &'static str, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Self {
            what,
            expected: bounded(expected),
            actual: bounded(actual),
        }
    }
}

fn bounded(text: impl fmt::Display) -> String {
    text.to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, got {}",
            self.what, self.expected, self.actual
        )
    }
}

/// Evidence that is not believed. Every variant belongs to one numbered check of docs/security.md.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The certificates do not lead to an allowed root, or a signature below them does not hold.
    #[error("Q1 signature chain: {0}")]
    Chain(Mismatch),
    /// A certificate or revocation list is revoked, expired, not yet valid or missing.
    #[error("Q2 revocation and validity: {0}")]
    Validity(Mismatch),
    /// TCB info or QE identity is not signed, not current, for another platform or too old; or the clock cannot be used.
    #[error("Q3 collateral: {0}")]
    Collateral(Mismatch),
    /// The TD's or the TDX module's attributes are outside what is allowed.
    #[error("Q4 TD attributes: {0}")]
    Attributes(Mismatch),
    /// The platform's TCB is revoked or matches no level.
    #[error("Q5 TCB: {0}")]
    Tcb(Mismatch),
    /// A kind of quote that is not accepted.
    #[error("Q6 quote format: {0}")]
    Format(Mismatch),
    /// The quote was made for something else.
    #[error("Q7 report data: {0}")]
    ReportData(Mismatch),
    /// A length out of bounds, or bytes that do not parse.
    #[error("Q8 bounds: {0}")]
    Bounds(Mismatch),
    /// The event log does not lead to the register.
    #[error("B1 event log: {0}")]
    EventLog(Mismatch),
    /// Boot events are unknown, repeated, out of order or of the wrong length.
    #[error("B2 boot events: {0}")]
    BootEvents(Mismatch),
    /// The image proof does not hold.
    #[error("B3 image proof: {0}")]
    ImageProof(Mismatch),
    /// MRCONFIGID does not bind the compose hash.
    #[error("B4 MRCONFIGID: {0}")]
    ConfigId(Mismatch),
    /// The boot is in another phase than the request needs.
    #[error("B5 boot phase: {0}")]
    Phase(Mismatch),
    /// The instance id does not follow from its seed.
    #[error("B6 instance id: {0}")]
    InstanceId(Mismatch),
}

impl AttestationError {
    /// Number of the check, as in docs/security.md.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Chain(_) => "Q1",
            Self::Validity(_) => "Q2",
            Self::Collateral(_) => "Q3",
            Self::Attributes(_) => "Q4",
            Self::Tcb(_) => "Q5",
            Self::Format(_) => "Q6",
            Self::ReportData(_) => "Q7",
            Self::Bounds(_) => "Q8",
            Self::EventLog(_) => "B1",
            Self::BootEvents(_) => "B2",
            Self::ImageProof(_) => "B3",
            Self::ConfigId(_) => "B4",
            Self::Phase(_) => "B5",
            Self::InstanceId(_) => "B6",
        }
    }

    /// What was compared, what was wanted, what came.
    pub const fn mismatch(&self) -> &Mismatch {
        match self {
            Self::Chain(m)
            | Self::Validity(m)
            | Self::Collateral(m)
            | Self::Attributes(m)
            | Self::Tcb(m)
            | Self::Format(m)
            | Self::ReportData(m)
            | Self::Bounds(m)
            | Self::EventLog(m)
            | Self::BootEvents(m)
            | Self::ImageProof(m)
            | Self::ConfigId(m)
            | Self::Phase(m)
            | Self::InstanceId(m) => m,
        }
    }

    /// What the check wanted, named.
    pub fn expected(&self) -> String {
        let m = self.mismatch();
        format!("{}: {}", m.what, m.expected)
    }

    /// What the check got.
    pub fn actual(&self) -> String {
        self.mismatch().actual.clone()
    }
}

/// Refuses with `error` unless `ok`.
pub(crate) fn ensure(
    ok: bool,
    error: fn(Mismatch) -> AttestationError,
    what: &'static str,
    expected: impl fmt::Display,
    actual: impl fmt::Display,
) -> Result<(), AttestationError> {
    if ok {
        Ok(())
    } else {
        Err(error(Mismatch::new(what, expected, actual)))
    }
}
