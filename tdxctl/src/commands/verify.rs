//! `verify`: every check of a quote and of the boot behind it, from files. A check with nothing to compare with is named as not
//! checked; it never counts as passed. Several sources of roots leave only the roots that all of them name.

use crate::{
    case::Case,
    cli::Verify,
    exit::{Failure, Outcome},
    on_chain::OnChain,
    roots::INTEL_ROOT,
    table::{checks, list},
};
use attestation::{CheckResult, TrustRoots};
use kms_types::AttestationRoot;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) async fn verify(arguments: &Verify) -> Result<Outcome, Failure> {
    let case = Case::read(arguments)?;
    let chain = match (&arguments.chain.trusted_rpc, arguments.chain.authority) {
        (Some(url), Some(contract)) => Some(OnChain::ask(url, contract).await?),
        _ => None,
    };
    let trust = Trust::of(arguments, &case, chain.as_ref());
    let (mut rows, record) = case.check(&trust.roots);
    if let Some(chain) = &chain {
        rows.extend(chain.verdicts(record.as_ref()).await?);
    }
    Ok(outcome(&case, &rows, &trust))
}

/// Whom to believe, and who says so.
struct Trust {
    roots: TrustRoots,
    names: Vec<AttestationRoot>,
    source: String,
}

impl Trust {
    fn of(arguments: &Verify, case: &Case, chain: Option<&OnChain>) -> Self {
        let sources = [
            (
                "--root-hash",
                Some(arguments.root_hash.clone()).filter(|hashes| !hashes.is_empty()),
            ),
            ("policy", case.policy.attestation_roots.clone()),
            (
                "chain (unproven RPC answer)",
                chain.map(OnChain::attestation_roots),
            ),
        ];
        let mut named: Option<Vec<AttestationRoot>> = None;
        let mut words = Vec::new();
        for (word, roots) in sources {
            let Some(roots) = roots else { continue };
            words.push(word);
            named = Some(match named {
                None => roots,
                Some(so_far) => so_far.into_iter().filter(|root| roots.contains(root)).collect(),
            });
        }
        let names = named.unwrap_or_else(|| vec![INTEL_ROOT]);
        let floor = case
            .policy
            .min_tcb_evaluation_data_number
            .max(chain.map(OnChain::evaluation_floor))
            .unwrap_or(0);
        Self {
            roots: TrustRoots::new(names.iter().copied()).with_evaluation_floor(floor),
            source: if words.is_empty() {
                "Intel".to_owned()
            } else {
                words.join(" and ")
            },
            names,
        }
    }
}

fn outcome(case: &Case, rows: &[CheckResult], trust: &Trust) -> Outcome {
    let ok = !rows.is_empty() && rows.iter().all(|row| row.ok);
    let failed: Vec<_> = rows.iter().filter(|row| !row.ok).map(|row| row.id).collect();
    let not_checked = case.not_checked();
    let time = i64::try_from(case.now.0).ok();
    let time = time.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let time = time
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default();
    let roots: Vec<_> = trust.names.iter().map(ToString::to_string).collect();
    let verdict = if ok {
        format!("OK: {} checks hold", rows.len())
    } else {
        format!("FAILED: {}", failed.join(" "))
    };
    let mut facts = vec![
        ("time", time.clone()),
        ("roots", format!("{} (from {})", roots.join(" "), trust.source)),
    ];
    if !not_checked.is_empty() {
        facts.push((
            "not checked",
            format!("{} (nothing to compare with; see --help)", not_checked.join(" ")),
        ));
    }
    Outcome {
        code: crate::exit::of(ok),
        text: format!("{}\n\n{}\n\n{verdict}", checks(rows), list(facts)),
        json: json!({
            "ok": ok,
            "checks": rows,
            "not_checked": not_checked,
            "time": time,
            "roots": roots,
            "roots_from": trust.source,
            "quote": case.claims(),
        }),
    }
}
