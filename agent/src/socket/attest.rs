//! Quotes with the log that explains them, and the attestation document made of both.

use super::{
    AppState, SocketError, event_log,
    messages::{AttestResponse, GetQuoteResponse},
};
use kms_types::{EventLogEntry, ReportData};
use serde::Serialize;
use std::time::Instant;

/// Format of what `Attest` answers: a JSON object, whose `quote` and `event_log` `tdxctl verify` reads as they are.
pub const ATTESTATION_FORMAT: &str = "kedge/attestation/v1";

/// A quote and the log of the same moment.
pub(super) struct Quoted {
    pub(super) quote: Vec<u8>,
    pub(super) log: Vec<EventLogEntry>,
}

#[derive(Serialize)]
struct Attestation<'a> {
    format: &'static str,
    report_data: ReportData,
    quote: String,
    event_log: &'a [EventLogEntry],
    image_proof: String,
    vm_config: &'a str,
}

/// What a client asked to have in the report, padded with zeros on the right (as dstack).
pub(super) fn report_data(bytes: &[u8]) -> Result<ReportData, SocketError> {
    if bytes.len() > ReportData::LEN {
        return Err(SocketError::malformed(
            "report_data",
            "at most 64 bytes",
            format!("{} bytes", bytes.len()),
        ));
    }
    let mut padded = [0; ReportData::LEN];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    Ok(ReportData::new(padded))
}

/// A quote an app asks for, within its allowance.
pub(super) async fn quote(state: &AppState, report: ReportData) -> Result<Quoted, SocketError> {
    state.td.take_quote(Instant::now())?;
    state
        .td
        .run(move |td| {
            Ok(Quoted {
                quote: td.quote(&report)?,
                log: td.event_log()?,
            })
        })
        .await
}

/// `GetQuote`.
pub(super) async fn get_quote(state: &AppState, bytes: &[u8]) -> Result<GetQuoteResponse, SocketError> {
    let report = report_data(bytes)?;
    let quoted = quote(state, report).await?;
    Ok(GetQuoteResponse {
        quote: hex::encode(&quoted.quote),
        event_log: event_log::json(&quoted.log)?,
        report_data: report.to_plain_hex(),
        vm_config: state.facts.vm_config.clone(),
    })
}

/// `Attest`.
pub(super) async fn attest(state: &AppState, bytes: &[u8]) -> Result<AttestResponse, SocketError> {
    let text = document(state, report_data(bytes)?).await?;
    Ok(AttestResponse {
        attestation: hex::encode(text),
    })
}

/// A quote over `report` with everything needed to verify it, as JSON.
pub(super) async fn document(state: &AppState, report: ReportData) -> Result<Vec<u8>, SocketError> {
    let quoted = quote(state, report).await?;
    let document = Attestation {
        format: ATTESTATION_FORMAT,
        report_data: report,
        quote: format!("0x{}", hex::encode(&quoted.quote)),
        event_log: &quoted.log,
        image_proof: format!("0x{}", hex::encode(&state.facts.image_proof)),
        vm_config: &state.facts.vm_config,
    };
    serde_json::to_vec(&document).map_err(|error| SocketError::Internal {
        reason: error.to_string(),
    })
}
