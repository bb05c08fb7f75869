//! Which time evidence is judged at. There is no clock here: the caller passes its own and the newest block it proved.

use crate::{AttestationError, Mismatch};
use kms_types::UnixTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How far a clock may be behind the newest verified block, in seconds. Block producers may stamp a block a little
/// ahead of true time.
pub const MAX_CLOCK_LAG_SECONDS: u64 = 60;

/// The time to verify at: the later of the clock and the newest verified block.
///
/// # Errors
/// When the clock is behind the block by more than [`MAX_CLOCK_LAG_SECONDS`].
pub fn verification_time(clock: UnixTime, chain_floor: UnixTime) -> Result<UnixTime, AttestationError> {
    // Q3: a host that turns the clock back would make expired collateral and revoked certificates valid again.
    if clock.0.saturating_add(MAX_CLOCK_LAG_SECONDS) < chain_floor.0 {
        return Err(AttestationError::Collateral(Mismatch::new(
            "clock",
            format_args!("at most {MAX_CLOCK_LAG_SECONDS} s behind block time {chain_floor}"),
            clock,
        )));
    }
    Ok(clock.max(chain_floor))
}

pub(crate) fn parse_rfc3339(text: &str) -> Option<UnixTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok().map(UnixTime)
}
