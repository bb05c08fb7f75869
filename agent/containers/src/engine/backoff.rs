//! How long to wait before a container is started again: doubling from 100 ms to a minute, from the beginning after it ran
//! for ten seconds; or always the wait the file names.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
const STEADY: Duration = Duration::from_secs(10);

/// Waits of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    step: u32,
    fixed: Option<Duration>,
}

impl Backoff {
    /// Waits that grow, or the one wait given.
    pub(crate) fn new(fixed: Option<Duration>) -> Self {
        Self { step: 0, fixed }
    }

    /// The wait after a run of this length.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        if ran >= STEADY {
            self.step = 0;
        }
        let wait = FIRST
            .saturating_mul(1_u32.checked_shl(self.step).unwrap_or(u32::MAX))
            .min(LONGEST);
        self.step = self.step.saturating_add(1).min(31);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_begin_again_after_a_steady_run() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..12)
            .map(|_| backoff.after(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        assert_eq!(backoff.after(Duration::from_secs(10)).as_millis(), 100);
        assert_eq!(backoff.after(Duration::from_secs(9)).as_millis(), 200);
        let mut fixed = Backoff::new(Some(Duration::from_secs(7)));
        assert!((0..3).all(|_| fixed.after(Duration::ZERO).as_secs() == 7));
        for _ in 0..100 {
            assert!(backoff.after(Duration::ZERO) <= LONGEST);
        }
    }
}
