//! The TD as everyone in this process reaches it: one call at a time, whoever makes it.

use kms_types::{EventLogEntry, ReportData};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use td_quote::{Td, TdError, TdRegisters};
use zeroize::Zeroizing;

/// A TD whose calls wait for each other. The app's own line is in front of this one and bounded, so the lease waits for at most
/// one call of the app's.
pub(crate) struct OneTd {
    td: Box<dyn Td>,
    turn: Mutex<()>,
}

impl OneTd {
    /// All access to `td` from here on.
    pub(crate) fn shared(td: Box<dyn Td>) -> Arc<dyn Td> {
        Arc::new(Self {
            td,
            turn: Mutex::new(()),
        })
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // It guards no data: a panic in one call leaves nothing half written here.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Td for OneTd {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let _turn = self.turn();
        self.td.quote(report_data)
    }

    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        let _turn = self.turn();
        self.td.extend(name, payload)
    }

    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        let _turn = self.turn();
        self.td.event_log()
    }

    fn registers(&self) -> Result<TdRegisters, TdError> {
        let _turn = self.turn();
        self.td.registers()
    }

    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        let _turn = self.turn();
        self.td.sealing_key(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    /// Fails a call that finds another one inside.
    #[derive(Default)]
    struct Jealous {
        inside: AtomicUsize,
    }

    impl Jealous {
        fn call(&self) -> Result<(), TdError> {
            let others = self.inside.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            self.inside.fetch_sub(1, Ordering::SeqCst);
            match others {
                0 => Ok(()),
                _ => Err(TdError::Unsupported { what: "company" }),
            }
        }
    }

    impl Td for Jealous {
        fn quote(&self, _: &ReportData) -> Result<Vec<u8>, TdError> {
            self.call().map(|()| Vec::new())
        }
        fn extend(&self, _: &str, _: &[u8]) -> Result<EventLogEntry, TdError> {
            self.call()?;
            Err(TdError::Unsupported { what: "extend" })
        }
        fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
            self.call().map(|()| Vec::new())
        }
        fn sealing_key(&self, _: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
            self.call().map(|()| Zeroizing::new([0; 32]))
        }
    }

    #[test]
    fn calls_of_many_threads_meet_one_td_one_by_one() {
        let td = OneTd::shared(Box::new(Jealous::default()));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        td.quote(&ReportData::ZERO).unwrap();
                        td.event_log().unwrap();
                        td.sealing_key(b"x").unwrap();
                        let refused = td.extend("a", b"").unwrap_err();
                        assert!(!refused.to_string().contains("company"), "{refused}");
                    }
                });
            }
        });
    }
}
