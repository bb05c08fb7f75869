//! Every check and its outcome, for a reader who wants to see more than the first refusal. It decides nothing: keys are
//! released on a [`VerifiedBoot`](crate::VerifiedBoot) alone.

use crate::{
    AttestationError, BootClaim, Collateral, TrustRoots, UnixTime, VerifiedTd, body,
    boot::{self, Named},
    events::BootEvents,
    quote::Quote,
    td::Registers,
    verify_td,
};
use serde::Serialize;

/// Outcome of one numbered check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Q1 to Q8, B1 to B6.
    pub id: &'static str,
    /// False also when the check could not be reached.
    pub ok: bool,
    /// What the check wants.
    pub expected: String,
    /// What it got.
    pub actual: String,
}

/// The checks of a quote, and those of a boot.
const QUOTE_CHECKS: [(&str, &str); 7] = [
    ("Q1", "signature chain to an allowed root"),
    ("Q2", "nothing revoked, everything in its validity period"),
    ("Q3", "TCB info and QE identity signed, current, new enough"),
    ("Q4", "TD attributes, XFAM and TDX module as required"),
    ("Q5", "TCB level met, not revoked"),
    ("Q6", "TDX quote, version 4 or 5"),
    ("Q8", "lengths within bounds"),
];
const BOOT_CHECKS: [(&str, &str); 7] = [
    ("Q7", "report data of this request"),
    ("B1", "event log replays to RTMR3"),
    ("B2", "boot events once each, in order, right lengths"),
    ("B3", "image proof leads to an OS image hash"),
    ("B4", "MRCONFIGID binds the compose hash"),
    ("B5", "boot in the phase asked for"),
    ("B6", "instance id follows from its seed"),
];

/// Runs every check that can be run and lists all of them, ordered by number. Without `claim` only those of the quote.
pub fn verify_report(
    quote: &[u8],
    collateral: &Collateral,
    now: UnixTime,
    roots: &TrustRoots,
    claim: Option<&BootClaim<'_>>,
) -> Vec<CheckResult> {
    let mut list = List::new(claim.is_some());
    let parsed = match Quote::parse(quote) {
        Ok(parsed) => parsed,
        Err(error) => {
            list.fail(&error);
            return list.finish();
        }
    };
    list.pass("Q6", format_args!("version {}", parsed.header.version));
    list.pass("Q8", format_args!("{} bytes", quote.len()));
    match body::check(&parsed) {
        Ok(()) => list.pass(
            "Q4",
            format_args!("attributes {}", hex::encode(parsed.td.td_attributes)),
        ),
        Err(error) => list.fail(&error),
    }
    match verify_td(quote, collateral, now, roots) {
        Ok(td) => list.pass_td(&td),
        Err(error) => list.fail(&error),
    }
    if let Some(claim) = claim {
        list.boot(&Registers::of(&parsed), claim);
    }
    list.finish()
}

struct List(Vec<CheckResult>);

impl List {
    fn new(boot: bool) -> Self {
        let boot = if boot { &BOOT_CHECKS[..] } else { &[] };
        let mut all: Vec<_> = QUOTE_CHECKS
            .iter()
            .chain(boot)
            .map(|(id, expected)| CheckResult {
                id,
                ok: false,
                expected: (*expected).to_owned(),
                actual: "not reached".to_owned(),
            })
            .collect();
        // Q before B, then by number.
        all.sort_by_key(|check| (check.id.starts_with('B'), check.id));
        Self(all)
    }

    fn set(&mut self, id: &str, set: impl FnOnce(&mut CheckResult)) {
        if let Some(check) = self.0.iter_mut().find(|check| check.id == id) {
            set(check);
        }
    }

    fn pass(&mut self, id: &str, actual: impl std::fmt::Display) {
        self.set(id, |check| {
            check.ok = true;
            check.actual = actual.to_string();
        });
    }

    fn fail(&mut self, error: &AttestationError) {
        self.set(error.check(), |check| {
            check.ok = false;
            check.expected = error.expected();
            check.actual = error.actual();
        });
    }

    fn outcome<T>(
        &mut self,
        id: &str,
        result: Result<T, AttestationError>,
        actual: impl std::fmt::Display,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.pass(id, actual);
                Some(value)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn pass_td(&mut self, td: &VerifiedTd) {
        self.pass("Q1", format_args!("root {}", td.attestation_root()));
        self.pass("Q2", format_args!("valid until {}", td.certified_until()));
        self.pass(
            "Q3",
            format_args!("evaluation number {}", td.tcb_evaluation_data_number()),
        );
        self.pass(
            "Q5",
            format_args!("{} [{}]", td.tcb_status(), td.advisory_ids().join(" ")),
        );
    }

    fn boot(&mut self, registers: &Registers, claim: &BootClaim<'_>) {
        self.outcome(
            "Q7",
            boot::check_report_data(registers, claim),
            registers.report_data,
        );
        let [.., rtmr3] = registers.rtmr;
        self.outcome("B1", boot::check_event_log(registers, claim), rtmr3);
        let parsed = BootEvents::parse(claim.event_log).and_then(|e| Named::of(&e).map(|named| (e, named)));
        let count = format!("{} events", claim.event_log.len());
        let Some((events, named)) = self.outcome("B2", parsed, count) else {
            return;
        };
        match boot::check_image(registers, &events, claim) {
            Ok(hash) => self.pass("B3", hash),
            Err(error) => self.fail(&error),
        }
        self.outcome(
            "B4",
            boot::check_config_id(registers, &named.compose_hash, claim),
            registers.mr_config_id,
        );
        self.outcome(
            "B5",
            boot::check_phase(&events, claim),
            format_args!("{:?}", claim.phase),
        );
        let id = events
            .instance_id
            .map_or_else(|| "none".to_owned(), |id| id.to_string());
        self.outcome("B6", boot::check_instance(&events, &named.app_id, claim), id);
    }

    fn finish(self) -> Vec<CheckResult> {
        self.0
    }
}
