//! The one way to the TD: a turn at a time, a bounded line, a bounded rate.

use super::{
    SocketError,
    limits::{MAX_WAITING, QUOTE_BURST, QUOTES_PER_SECOND, TD_WAIT},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use td_quote::{Td, TdError};
use tokio::{sync::Semaphore, time::timeout};

/// A TD shared by everyone in this process.
pub struct TdAccess {
    td: Arc<dyn Td>,
    line: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    quotes: Mutex<Allowance>,
}

impl TdAccess {
    /// Access to `td`.
    pub fn new(td: Arc<dyn Td>) -> Self {
        Self {
            td,
            line: Arc::new(Semaphore::new(MAX_WAITING)),
            turn: Arc::new(Semaphore::new(1)),
            quotes: Mutex::new(Allowance::full(Instant::now())),
        }
    }

    /// Runs `work` when it is its turn: a quote and the log read after it are of one moment.
    ///
    /// # Errors
    /// When the line is full, the turn does not come, or the TD does not answer.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Td) -> Result<T, TdError> + Send + 'static,
    ) -> Result<T, SocketError> {
        let busy = |waited: Duration| SocketError::Busy {
            waited_ms: waited.as_millis() as u64,
        };
        // G8: hardware makes quotes one after another; without an end the line would hold every connection there is.
        let place = self
            .line
            .clone()
            .try_acquire_owned()
            .map_err(|_| busy(Duration::ZERO))?;
        let turn = timeout(TD_WAIT, self.turn.clone().acquire_owned())
            .await
            .map_err(|_| busy(TD_WAIT))?
            .map_err(|_| busy(TD_WAIT))?;
        let td = self.td.clone();
        // The turn belongs to the thread that works: a client that leaves does not let the next one in beside it.
        let worked = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work(td.as_ref())
        });
        match worked.await {
            Ok(answer) => answer.map_err(SocketError::Td),
            Err(_) => Err(SocketError::Internal {
                reason: "the TD's thread ended".to_owned(),
            }),
        }
    }

    /// Takes one quote from the app's allowance.
    pub(super) fn take_quote(&self, now: Instant) -> Result<(), SocketError> {
        let mut quotes = self.quotes.lock().unwrap_or_else(PoisonError::into_inner);
        quotes.take(now).map_err(|wait| SocketError::TooMany {
            what: "quotes",
            per_second: QUOTES_PER_SECOND,
            retry_ms: wait.as_millis().max(1) as u64,
        })
    }
}

/// Quotes an app may still ask for: a bucket that fills at a steady rate.
struct Allowance {
    /// In units of 1/`QUOTES_PER_SECOND` seconds.
    left: f64,
    at: Instant,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self {
            left: f64::from(QUOTE_BURST),
            at: now,
        }
    }

    /// Takes one, or says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(QUOTES_PER_SECOND);
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * rate).min(f64::from(QUOTE_BURST));
        self.at = now;
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / rate));
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g8_quotes_come_in_a_burst_and_then_at_their_rate() {
        let start = Instant::now();
        let mut quotes = Allowance::full(start);
        let taken = (0..1000).filter(|_| quotes.take(start).is_ok()).count();
        assert_eq!(taken, QUOTE_BURST as usize);
        let wait = quotes.take(start).err().unwrap_or_default();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_millis(50),
            "{wait:?}"
        );
        let second = start + Duration::from_secs(1);
        let more = (0..1000).filter(|_| quotes.take(second).is_ok()).count();
        assert_eq!(more, QUOTES_PER_SECOND as usize);
        // A clock that goes back gives nothing.
        assert!(quotes.take(start).is_err());
    }
}
