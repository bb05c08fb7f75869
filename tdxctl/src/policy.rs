//! A policy file, and what it says of evidence whose checks were run. A list that is absent asks nothing; an empty list allows
//! nothing; an unknown field is refused. Facts that were not verified satisfy no rule.

use attestation::{BootEvents, CheckResult, VerifiedTd, mr_aggregated};
use kms_types::{
    AppId, AttestationRoot, ComposeHash, DeviceId, Fmspc, MrAggregated, MrSeam, OsImageHash, OsMeasurement,
    TcbStatus,
};
use serde::Deserialize;
use std::fmt::Display;

/// Longest policy file.
pub(crate) const MAX_POLICY: usize = 1024 * 1024;

/// What is acceptable.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policy {
    pub(crate) attestation_roots: Option<Vec<AttestationRoot>>,
    pub(crate) min_tcb_evaluation_data_number: Option<u32>,
    tcb_statuses: Option<Vec<TcbStatus>>,
    allowed_advisories: Option<Vec<String>>,
    denied_advisories: Option<Vec<String>>,
    min_tdx_module_svn: Option<u8>,
    mr_seams: Option<Vec<MrSeam>>,
    fmspcs: Option<Vec<Fmspc>>,
    device_ids: Option<Vec<DeviceId>>,
    measurements: Option<Vec<OsMeasurement>>,
    mr_aggregated: Option<Vec<MrAggregated>>,
    os_image_hashes: Option<Vec<OsImageHash>>,
    app_ids: Option<Vec<AppId>>,
    compose_hashes: Option<Vec<ComposeHash>>,
}

/// What was verified; parts that were not are absent.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) td: Option<VerifiedTd>,
    pub(crate) events: Option<BootEvents>,
    pub(crate) os_image_hash: Option<OsImageHash>,
}

impl Policy {
    /// Reads TOML, or JSON when it starts with a brace.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            toml::from_str(text).map_err(|error| error.to_string())
        }
    }

    /// One row for every rule the file has.
    pub(crate) fn check(&self, facts: &Facts) -> Vec<CheckResult> {
        let td = facts.td.as_ref();
        let events = facts.events.as_ref();
        let aggregated = |td: &VerifiedTd| {
            let [.., rtmr3] = td.rtmrs();
            let ids = (td.mr_config_id(), td.mr_owner(), td.mr_owner_config());
            mr_aggregated(&td.os_measurement(), rtmr3, &ids.0, &ids.1, &ids.2)
        };
        let mut rows = Rows::default();
        rows.one_of(
            "policy.tcb_statuses",
            &self.tcb_statuses,
            td.map(VerifiedTd::tcb_status),
        );
        rows.advisories(self, td);
        rows.at_least(
            "policy.min_tdx_module_svn",
            self.min_tdx_module_svn,
            td.map(VerifiedTd::tdx_module_svn),
        );
        rows.one_of("policy.mr_seams", &self.mr_seams, td.map(VerifiedTd::mr_seam));
        rows.one_of("policy.fmspcs", &self.fmspcs, td.map(VerifiedTd::fmspc));
        rows.one_of(
            "policy.device_ids",
            &self.device_ids,
            td.map(VerifiedTd::device_id),
        );
        let leaves = self
            .measurements
            .as_ref()
            .map(|list| list.iter().map(leaf).collect());
        rows.one_of(
            "policy.measurements",
            &leaves,
            td.map(|td| leaf(&td.os_measurement())),
        );
        rows.one_of("policy.mr_aggregated", &self.mr_aggregated, td.map(aggregated));
        rows.one_of(
            "policy.os_image_hashes",
            &self.os_image_hashes,
            facts.os_image_hash,
        );
        rows.one_of("policy.app_ids", &self.app_ids, events.and_then(|e| e.app_id));
        rows.one_of(
            "policy.compose_hashes",
            &self.compose_hashes,
            events.and_then(|e| e.compose_hash),
        );
        rows.0
    }
}

/// The four registers in one text.
fn leaf(os: &OsMeasurement) -> String {
    [
        os.mrtd.to_string(),
        os.rtmr0.to_string(),
        os.rtmr1.to_string(),
        os.rtmr2.to_string(),
    ]
    .join(" ")
}

#[derive(Default)]
struct Rows(Vec<CheckResult>);

impl Rows {
    fn push(&mut self, id: &'static str, ok: bool, expected: String, actual: Option<String>) {
        self.0.push(CheckResult {
            id,
            ok,
            expected,
            actual: actual.unwrap_or_else(|| "not verified".to_owned()),
        });
    }

    fn one_of<T: PartialEq + Display>(
        &mut self,
        id: &'static str,
        allowed: &Option<Vec<T>>,
        actual: Option<T>,
    ) {
        let Some(allowed) = allowed else { return };
        let ok = actual.as_ref().is_some_and(|actual| allowed.contains(actual));
        self.push(
            id,
            ok,
            words("one of", allowed),
            actual.map(|actual| actual.to_string()),
        );
    }

    fn at_least<T: PartialOrd + Display>(&mut self, id: &'static str, least: Option<T>, actual: Option<T>) {
        let Some(least) = least else { return };
        let ok = actual.as_ref().is_some_and(|actual| *actual >= least);
        self.push(
            id,
            ok,
            format!("at least {least}"),
            actual.map(|actual| actual.to_string()),
        );
    }

    fn advisories(&mut self, policy: &Policy, td: Option<&VerifiedTd>) {
        let actual = td.map(VerifiedTd::advisory_ids);
        let shown = actual.map(|ids| words("", ids));
        if let Some(allowed) = &policy.allowed_advisories {
            let ok = actual.is_some_and(|ids| ids.iter().all(|id| allowed.contains(id)));
            self.push(
                "policy.allowed_advisories",
                ok,
                words("only", allowed),
                shown.clone(),
            );
        }
        if let Some(denied) = &policy.denied_advisories {
            let ok = actual.is_some_and(|ids| !ids.iter().any(|id| denied.contains(id)));
            self.push("policy.denied_advisories", ok, words("none of", denied), shown);
        }
    }
}

fn words<T: Display>(lead: &str, list: &[T]) -> String {
    let list: Vec<_> = list.iter().map(ToString::to_string).collect();
    format!("{lead} [{}]", list.join(" ")).trim_start().to_owned()
}
