//! Any bytes as an event log and as the table that names one: no panic; registers follow from the events alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use td_measure::{CcLog, CcelTable, MAX_CCEL_EVENTS};

fuzz_target!(|bytes: &[u8]| {
    let _ = CcelTable::parse(bytes);
    if let Ok(log) = CcLog::parse(bytes) {
        assert!(log.events.len() <= MAX_CCEL_EVENTS);
        let data: usize = log.events.iter().map(|event| event.data.len()).sum();
        assert!(data <= bytes.len());
        let counted: usize = log.replay().iter().map(|(_, count)| count).sum();
        assert!(counted <= log.events.len());
        for event in &log.events {
            assert!(event.description().chars().all(|c| !c.is_control()));
        }
    }
});
