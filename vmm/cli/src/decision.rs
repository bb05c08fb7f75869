//! `kedge verify decision`: checks a decision's evidence with nothing but the file and what is given beside it. Asks nobody.

use crate::{
    cli::DecisionFile,
    exit::Verdict as Ended,
    output::{key, line, print_rows},
};
use anyhow::Result;
use authority_policy::{
    Check, DecisionEvidence, Expected, Facts, HardforkRule, MAX_FILE, Report, Subject, Verdict,
};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde_json::{Value, json};
use std::{
    io::{self, Read},
    path::Path,
};

/// Checks a file.
///
/// # Errors
/// [`Ended`] unless the decision holds.
pub(crate) fn run(asked: &DecisionFile, as_json: bool) -> Result<()> {
    let name = asked.file.display();
    let bytes = read(&asked.file).map_err(|error| Ended::Unreadable(format!("{name}: {error}")))?;
    let evidence =
        DecisionEvidence::from_json(&bytes).map_err(|error| Ended::Malformed(format!("{name}: {error}")))?;
    let expected = Expected {
        headers: asked.header.iter().map(|hash| hash.to_bytes().into()).collect(),
        chain_id: asked.chain_id.map(kms_types::ChainId),
        contract: asked.contract,
        // The file must not choose the rules it is checked by.
        hardfork: Some(asked.hardfork.rule()),
        gas_limit: Some(asked.gas_limit),
    };
    let report = evidence.check(&expected);
    if as_json {
        line(machine(&evidence, &report));
    } else {
        people(&evidence, &report);
    }
    match report.outcome {
        Ok(_) => Ok(()),
        Err(_) => Err(Ended::Said(tdxctl::exit::REFUSED).into()),
    }
}

/// No more than a file may have, and one byte that tells that it has more.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = MAX_FILE as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// What the file says of itself.
fn claims(evidence: &DecisionEvidence) -> Vec<(&'static str, Value)> {
    let subject = match evidence.subject {
        Subject::App => "keys of an app",
        Subject::Kms => "a KMS node",
    };
    let said = match &evidence.verdict {
        Verdict::Allowed => "allowed".to_owned(),
        Verdict::Denied { reason } => format!("denied: {}", printable(reason)),
    };
    let hardfork = match evidence.rules.hardfork {
        HardforkRule::HeaderShape => "by the shape of the header".to_owned(),
        HardforkRule::Fixed(fork) => format!("{fork:?}"),
    };
    let (head, finalized) = (&evidence.head, &evidence.finalized);
    vec![
        ("decision", json!(said)),
        ("decided by", json!(evidence.decided_by.as_str())),
        ("subject", json!(subject)),
        ("chain id", json!(evidence.rules.chain_id)),
        ("contract", json!(evidence.contract)),
        (
            "head",
            json!({ "number": head.fields.number, "hash": head.hash, "timestamp": head.fields.timestamp }),
        ),
        (
            "finalized",
            json!({ "number": finalized.fields.number, "hash": finalized.hash, "timestamp": finalized.fields.timestamp }),
        ),
        ("record hash", json!(evidence.record_hash)),
        ("hardfork", json!(hardfork)),
        ("gas limit", json!(evidence.rules.gas_limit)),
    ]
}

fn facts(evidence: &DecisionEvidence) -> Value {
    match &evidence.facts {
        Facts::Record(record) => json!(record),
        Facts::Info(info) => json!(info),
    }
}

fn machine(evidence: &DecisionEvidence, report: &Report) -> Value {
    let check = |check: &Check| json!({ "check": check.name, "ok": check.ok, "expected": check.expected, "actual": check.actual });
    let mut out = serde_json::Map::new();
    out.insert("ok".to_owned(), report.outcome.is_ok().into());
    if let Err(mismatch) = &report.outcome {
        out.insert("exit_code".to_owned(), tdxctl::exit::REFUSED.into());
        out.insert("error".to_owned(), mismatch.to_string().into());
    }
    for (name, value) in claims(evidence) {
        out.insert(key(name), value);
    }
    out.insert("facts".to_owned(), facts(evidence));
    out.insert("checks".to_owned(), report.checks.iter().map(check).collect());
    let open = report.outcome.as_ref().map(|verified| verified.open());
    out.insert("left_to_you".to_owned(), open.unwrap_or_default().into());
    Value::Object(out)
}

fn people(evidence: &DecisionEvidence, report: &Report) {
    line("The file says");
    print_rows(&claims(evidence));
    line("  about");
    let mut rows = Vec::new();
    let facts = facts(evidence);
    flatten(&facts, &mut rows);
    print_rows(&rows);
    line("");
    checks(&report.checks);
    line("");
    match &report.outcome {
        Ok(verified) => {
            line("The decision holds: it follows from the contract's state under these headers.");
            line("The file cannot show, so it is for you to check:");
            for open in verified.open() {
                line(format_args!("  - {open}"));
            }
        }
        Err(mismatch) => line(format_args!("REFUSED: {}", printable(&mismatch.to_string()))),
    }
}

fn flatten<'a>(value: &'a Value, rows: &mut Vec<(&'a str, Value)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => flatten(value, rows),
            Value::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| Value::String(printable(item.as_str().unwrap_or_default())));
                rows.push((name, items.collect()));
            }
            value => rows.push((name, value.clone())),
        }
    }
}

fn checks(checks: &[Check]) {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["check", "", "expected", "actual"]);
    for check in checks {
        let word = if check.ok { "ok" } else { "FAILED" };
        table.add_row([
            check.name,
            word,
            &printable(&check.expected),
            &printable(&check.actual),
        ]);
    }
    for row in table.to_string().lines() {
        line(row.trim_end());
    }
}

/// Text of the file, without what steers a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
