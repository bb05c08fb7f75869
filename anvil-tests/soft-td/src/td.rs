//! A simulated TD: registers, event log, quotes, sealing keys.

use crate::{ATTRIBUTE_SEPT_VE_DISABLE, QuoteFormat, SoftPlatform, TdReport};
use kms_types::{EventLogEntry, OsMeasurement, ReportData, Rtmr, TdConfigId, length_prefixed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use td_quote::{MAX_EVENT_LOG, MAX_EVENT_NAME, MAX_EVENTS, Td, TdError};
use zeroize::Zeroizing;

/// x87, SSE, AVX, AVX-512, PKRU, CET, AMX: what TDX guests of today have.
const XFAM: u64 = 0x61ae7;

/// How a TD is launched.
#[derive(Debug, Clone)]
pub struct TdConfig {
    /// MRTD and RTMR0 to 2.
    pub measurement: OsMeasurement,
    /// MRCONFIGID.
    pub mr_config_id: TdConfigId,
    /// MROWNER.
    pub mr_owner: TdConfigId,
    /// MROWNERCONFIG.
    pub mr_owner_config: TdConfigId,
    /// TDATTRIBUTES.
    pub attributes: u64,
    /// XFAM.
    pub xfam: u64,
    /// How its quotes are made.
    pub format: QuoteFormat,
}

impl TdConfig {
    /// A TD in good order with these registers, MRCONFIGID zero, quotes in version 4.
    pub fn new(measurement: OsMeasurement) -> Self {
        Self {
            measurement,
            mr_config_id: TdConfigId::ZERO,
            mr_owner: TdConfigId::ZERO,
            mr_owner_config: TdConfigId::ZERO,
            attributes: ATTRIBUTE_SEPT_VE_DISABLE,
            xfam: XFAM,
            format: QuoteFormat::default(),
        }
    }
}

type Edit = Box<dyn Fn(&mut TdReport) + Send + Sync>;

/// A running simulated TD.
pub struct SoftTd {
    platform: SoftPlatform,
    config: TdConfig,
    state: Mutex<State>,
    edit: Option<Edit>,
}

struct State {
    rtmr3: Rtmr,
    log: Vec<EventLogEntry>,
}

impl SoftTd {
    pub(crate) fn new(platform: SoftPlatform, config: TdConfig) -> Self {
        let state = State {
            rtmr3: Rtmr::ZERO,
            log: Vec::new(),
        };
        Self {
            platform,
            config,
            state: Mutex::new(state),
            edit: None,
        }
    }

    /// Changes every report of this TD before it is signed, so that a lie the hardware would not tell reaches a verifier
    /// with good signatures.
    #[must_use]
    pub fn with_edit(mut self, edit: impl Fn(&mut TdReport) + Send + Sync + 'static) -> Self {
        self.edit = Some(Box::new(edit));
        self
    }

    /// Its report over `report_data`, before any edit.
    pub fn report(&self, report_data: &ReportData) -> TdReport {
        let mut report = TdReport::hardware(self.platform.hardware(), self.config.measurement);
        report.attributes = self.config.attributes;
        report.xfam = self.config.xfam;
        report.mr_config_id = self.config.mr_config_id;
        report.mr_owner = self.config.mr_owner;
        report.mr_owner_config = self.config.mr_owner_config;
        report.rtmr3 = self.state().rtmr3;
        report.report_data = *report_data;
        report
    }

    /// Its launch configuration.
    pub fn config(&self) -> &TdConfig {
        &self.config
    }

    /// RTMR3 now.
    pub fn rtmr3(&self) -> Rtmr {
        self.state().rtmr3
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics between two writes to the state, so a poisoned lock still guards a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Td for SoftTd {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TdError> {
        let mut report = self.report(report_data);
        if let Some(edit) = &self.edit {
            edit(&mut report);
        }
        Ok(self.platform.sign(&report, &self.config.format))
    }

    fn extend(&self, name: &str, payload: &[u8]) -> Result<EventLogEntry, TdError> {
        let entry = EventLogEntry::runtime(name, payload)?;
        let mut state = self.state();
        check_event(&state.log, &entry)?;
        state.rtmr3 = entry.extend(&state.rtmr3);
        state.log.push(entry.clone());
        Ok(entry)
    }

    fn event_log(&self) -> Result<Vec<EventLogEntry>, TdError> {
        Ok(self.state().log.clone())
    }

    fn sealing_key(&self, context: &[u8]) -> Result<Zeroizing<[u8; 32]>, TdError> {
        let measured = &self.config.measurement;
        // RTMR3 is left out: it moves while the system runs, and what is sealed must open again after a restart.
        let registers = length_prefixed([
            measured.mrtd.as_ref(),
            measured.rtmr0.as_ref(),
            measured.rtmr1.as_ref(),
            measured.rtmr2.as_ref(),
        ]);
        let mut key = Zeroizing::new([0; 32]);
        self.platform
            .seed()
            .expand(&[b"sealing", &registers, context], key.as_mut())
            .map_err(|error| TdError::Remote {
                message: error.to_string(),
            })?;
        Ok(key)
    }
}

/// The bounds of verifiers, before the register moves: it cannot be taken back.
fn check_event(log: &[EventLogEntry], entry: &EventLogEntry) -> Result<(), TdError> {
    let bound = |what: &str, max: usize, actual: usize| match actual > max {
        true => Err(TdError::TooLong {
            what: what.to_owned(),
            max,
            actual,
        }),
        false => Ok(()),
    };
    let size =
        |e: &EventLogEntry| e.event.len() + e.event_payload.as_bytes().len() + e.digest.as_bytes().len();
    if entry.event.is_empty() {
        return Err(TdError::Empty { what: "event name" });
    }
    bound("event name", MAX_EVENT_NAME, entry.event.len())?;
    bound(
        "event log",
        MAX_EVENT_LOG,
        log.iter().chain([entry]).map(size).sum(),
    )?;
    if log.len() >= MAX_EVENTS {
        return Err(TdError::TooManyEvents {
            max: MAX_EVENTS,
            actual: log.len() + 1,
        });
    }
    Ok(())
}
