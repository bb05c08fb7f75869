//! `event-log --ccel`: what firmware and kernel measured, the registers that leads to, and whether the TD's are those.
//! A log alone proves nothing: the host can write any.

use crate::{
    cli::{EventLog, KERNEL_CCEL},
    exit::{Failure, Outcome},
    input,
    table::table,
};
use attestation::describe;
use kms_types::{ReportData, Rtmr};
use serde_json::{Map, Value, json};
use std::path::Path;
use td_measure::{CCEL_TABLE_LEN, CcEvent, CcLog, CcType, CcelTable, MAX_CCEL};
use td_quote::TdError;

/// The ACPI table that belongs to [`KERNEL_CCEL`].
const KERNEL_TABLE: &str = "/sys/firmware/acpi/tables/CCEL";
const NAMES: [&str; 3] = ["rtmr0", "rtmr1", "rtmr2"];

/// Registers to compare with, and whose they are; or why there are none.
enum Compared {
    With(&'static str, [Rtmr; 3]),
    Not(String),
}

pub(super) fn show(path: &Path, arguments: &EventLog) -> Result<Outcome, Failure> {
    let kernels = path == Path::new(KERNEL_CCEL);
    let table = match arguments.ccel_table.as_deref() {
        Some(table) => Some(read_table(table)?),
        None if kernels => Some(read_table(Path::new(KERNEL_TABLE))?),
        None => None,
    };
    let bytes = match input::read(path, MAX_CCEL) {
        Err(_) if kernels && !path.exists() => return Err(no_log(path)),
        other => other?,
    };
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if let Some(table) = table.filter(|table| table.log_length < length) {
        return Err(Failure::usage(format_args!(
            "{}: expected at most {} bytes, as the table says, got {length}",
            path.display(),
            table.log_length
        )));
    }
    let log =
        CcLog::parse(&bytes).map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?;
    let compared = registers(arguments, kernels)?;
    Ok(outcome(&log, &compared))
}

fn no_log(path: &Path) -> Failure {
    Failure::no_answer(format_args!(
        "{}: expected the log of the firmware, got no such file",
        path.display()
    ))
    .advise("only a confidential VM has one, and root reads it; for a log from elsewhere give --ccel FILE")
}

/// The table must be there and of TDX: other machines number their registers otherwise.
fn read_table(path: &Path) -> Result<CcelTable, Failure> {
    if path == Path::new(KERNEL_TABLE) && !path.exists() {
        return Err(no_log(path));
    }
    let table = CcelTable::parse(&input::read(path, CCEL_TABLE_LEN)?)
        .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?;
    match table.cc_type {
        CcType::Tdx => Ok(table),
        other => Err(Failure::refused(format_args!(
            "{}: expected a log of TDX, got one of {other:?}",
            path.display()
        ))
        .advise("read the log on the machine that wrote it, with that platform's tools")),
    }
}

/// The registers the log is held against: of the quote that is named, else of the TD. A log of elsewhere is not held against
/// this machine unless the TD is named.
fn registers(arguments: &EventLog, kernels: bool) -> Result<Compared, Failure> {
    if let Some(path) = &arguments.quote {
        let claimed = describe(&input::read_quote(path)?.quote).map_err(Failure::usage)?;
        let os = claimed.os;
        return Ok(Compared::With("quote", [os.rtmr0, os.rtmr1, os.rtmr2]));
    }
    let Some(spec) = arguments.td.as_deref().or(kernels.then_some("tsm")) else {
        return Ok(Compared::Not("neither --quote nor --td was given".to_owned()));
    };
    match td_registers(spec) {
        Ok(registers) => Ok(Compared::With("TD", registers)),
        // Nobody named this TD: a kernel that shows a log and no registers is still worth a look at the log.
        Err(error) if arguments.td.is_none() => Ok(Compared::Not(format!("{error}; {}", error.advice()))),
        Err(error) => Err(error.into()),
    }
}

fn td_registers(spec: &str) -> Result<[Rtmr; 3], TdError> {
    let td = td_quote::open(spec)?;
    let os = match td.registers() {
        Err(TdError::Unsupported { .. }) => {
            let quote = td.quote(&ReportData::ZERO)?;
            describe(&quote)
                .map_err(|error| TdError::Protocol {
                    expected: "a quote",
                    actual: error.to_string(),
                })?
                .os
        }
        registers => registers?.os,
    };
    Ok([os.rtmr0, os.rtmr1, os.rtmr2])
}

/// One register, replayed and, where there is something to compare with, actual.
struct Register {
    name: &'static str,
    replayed: Rtmr,
    events: usize,
    actual: Option<Rtmr>,
}

impl Register {
    fn matches(&self) -> Option<bool> {
        self.actual.map(|actual| actual == self.replayed)
    }

    fn json(&self) -> Value {
        json!({
            "replayed": self.replayed,
            "events": self.events,
            "actual": self.actual,
            "matches": self.matches(),
        })
    }

    fn row(&self) -> [String; 5] {
        let word = match self.matches() {
            None => "not compared",
            Some(true) => "matches",
            Some(false) => "DIFFERS",
        };
        [
            self.name.to_owned(),
            word.to_owned(),
            self.events.to_string(),
            self.replayed.to_string(),
            self.actual.map_or_else(String::new, |actual| actual.to_string()),
        ]
    }
}

fn outcome(log: &CcLog, compared: &Compared) -> Outcome {
    let [first, second, third, (_, of_the_app)] = log.replay();
    let (source, actual, why) = match compared {
        Compared::With(source, actual) => (Some(*source), actual.map(Some), None),
        Compared::Not(why) => (None, [None; 3], Some(why.as_str())),
    };
    let registers: Vec<Register> = NAMES
        .into_iter()
        .zip([first, second, third])
        .zip(actual)
        .map(|((name, (replayed, events)), actual)| Register {
            name,
            replayed,
            events,
            actual,
        })
        .collect();
    // Firmware has no business in the app's register: the app's log would no longer explain it.
    let ok = of_the_app == 0 && registers.iter().all(|register| register.matches() != Some(false));
    let json = json!({
        "ok": ok,
        "compared_with": source,
        "not_compared": why,
        "registers": registers
            .iter()
            .map(|register| (register.name.to_owned(), register.json()))
            .collect::<Map<_, _>>(),
        "rtmr3_events": of_the_app,
        "events": log.events.iter().map(event_json).collect::<Vec<_>>(),
    });
    let mut text = format!(
        "{}\n\n{}",
        table(
            ["register", "type", "digest", "of its data", "data"],
            log.events.iter().map(event_row)
        ),
        table(
            ["register", "", "events", "replayed", source.unwrap_or("-")],
            registers.iter().map(Register::row)
        ),
    );
    if let Some(why) = why {
        text.push_str(&format!("\nNot compared: {why}. A log alone proves nothing."));
    }
    if of_the_app > 0 {
        text.push_str(&format!(
            "\nRTMR3: expected no event of firmware or kernel, got {of_the_app}"
        ));
    }
    Outcome {
        code: crate::exit::of(ok),
        json,
        text,
    }
}

fn event_json(event: &CcEvent) -> Value {
    json!({
        "register": event.register.as_str(),
        "event_type": event.event_type,
        "type_name": event.type_name(),
        "digest": hex::encode(event.digest),
        "digest_is_of_data": event.digest_is_of_data(),
        "measured": event.is_measured(),
        "description": event.description(),
        "data": hex::encode(&event.data),
    })
}

fn event_row(event: &CcEvent) -> [String; 5] {
    let digest: String = hex::encode(event.digest).chars().take(16).collect();
    [
        event.register.as_str().to_owned(),
        event
            .type_name()
            .map_or_else(|| format!("{:#010x}", event.event_type), str::to_owned),
        if event.is_measured() {
            digest
        } else {
            "not measured".to_owned()
        },
        if event.digest_is_of_data() { "yes" } else { "no" }.to_owned(),
        event.description(),
    ]
}
