//! `quote`, `extend`, `event-log`: what a TD says and records about itself.

use super::ccel;
use crate::{
    cli::{EventLog, Extend, Quote},
    exit::{Failure, Outcome},
    table::table,
};
use kms_types::{EventLogEntry, MAX_EVENT_PAYLOAD};
use serde_json::json;
use td_quote::MAX_EVENT_NAME;

pub(crate) fn quote(arguments: &Quote) -> Result<Outcome, Failure> {
    let td = td_quote::open(&arguments.td.td)?;
    let quote = td.quote(&arguments.report_data)?;
    let text = match &arguments.out {
        None => hex::encode(&quote),
        Some(path) => {
            guest_files::write_private(path, &quote).map_err(|error| Failure::could_not_ask(&error))?;
            format!("{}: {} bytes", path.display(), quote.len())
        }
    };
    let event_log = td.event_log()?;
    Ok(Outcome {
        code: crate::exit::OK,
        json: json!({
            "ok": true,
            "quote": format!("0x{}", hex::encode(&quote)),
            "report_data": arguments.report_data,
            "event_log": event_log,
        }),
        text,
    })
}

pub(crate) fn extend(arguments: &Extend) -> Result<Outcome, Failure> {
    // A register cannot go back: nothing is recorded unless everything can be read.
    let events = arguments
        .events
        .iter()
        .map(|text| parse_event(text))
        .collect::<Result<Vec<_>, _>>()?;
    let td = td_quote::open(&arguments.td.td)?;
    let mut recorded = Vec::with_capacity(events.len());
    for (name, payload) in &events {
        recorded.push(td.extend(name, payload)?);
    }
    Ok(log_outcome("recorded", &recorded))
}

pub(crate) fn event_log(arguments: &EventLog) -> Result<Outcome, Failure> {
    if let Some(path) = &arguments.ccel {
        return ccel::show(path, arguments);
    }
    let td = arguments.td.as_deref().unwrap_or("tsm");
    let log = td_quote::open(td)?.event_log()?;
    Ok(log_outcome("event_log", &log))
}

fn log_outcome(name: &str, log: &[EventLogEntry]) -> Outcome {
    Outcome {
        code: crate::exit::OK,
        json: json!({ "ok": true, name: log }),
        text: table(
            ["register", "event", "payload", "digest"],
            log.iter().map(|entry| {
                [
                    format!("RTMR{}", entry.imr),
                    entry.event.clone(),
                    hex::encode(entry.event_payload.as_bytes()),
                    hex::encode(entry.digest.as_bytes()),
                ]
            }),
        ),
    }
}

fn parse_event(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let Some((name, payload)) = text.split_once('=') else {
        return Err(Failure::usage(format_args!(
            "event: expected NAME=PAYLOAD, got {text:?}"
        )));
    };
    let payload = match payload.strip_prefix("text:") {
        Some(text) => text.as_bytes().to_vec(),
        None => hex::decode(payload.strip_prefix("0x").unwrap_or(payload))
            .map_err(|error| Failure::usage(format_args!("event {name}: expected hex: {error}")))?,
    };
    if name.is_empty() || name.len() > MAX_EVENT_NAME || payload.len() > MAX_EVENT_PAYLOAD {
        return Err(Failure::usage(format_args!(
            "event {name:?}: expected a name of 1 to {MAX_EVENT_NAME} bytes and at most {MAX_EVENT_PAYLOAD} bytes of payload, got {} and {}",
            name.len(),
            payload.len()
        )));
    }
    Ok((name.to_owned(), payload))
}
