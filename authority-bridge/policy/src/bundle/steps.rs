//! The steps of a check as they are told: one for each thing that held, and the one that did not.

use super::{Check, Mismatch, error::words};
use crate::Finality;

/// The steps that held.
pub(super) struct Steps(pub(super) Vec<Check>);

impl Steps {
    pub(super) fn ok(&mut self, name: &'static str, expected: impl ToString, actual: impl ToString) {
        self.0.push(Check {
            name,
            ok: true,
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
    }
    pub(super) fn same(&mut self, name: &'static str, value: impl ToString) {
        let value = value.to_string();
        self.ok(name, value.clone(), value);
    }
}

/// The step that did not.
pub(super) fn failed(mismatch: &Mismatch) -> Check {
    use Mismatch as M;
    let (name, expected, actual) = match mismatch {
        M::Chain { expected, actual } => ("chain id", expected.to_string(), actual.to_string()),
        M::Contract { expected, actual } => ("contract", expected.to_string(), actual.to_string()),
        M::Hardfork { expected, actual } => ("hardfork", format!("{expected:?}"), format!("{actual:?}")),
        M::GasLimit { expected, actual } => ("gas limit", expected.to_string(), actual.to_string()),
        M::Record { expected, actual } => ("record hash", expected.to_string(), actual.to_string()),
        M::HeaderHash {
            which,
            expected,
            actual,
        } => (hash_of(*which), expected.to_string(), actual.to_string()),
        M::Link {
            number,
            expected_number,
            expected,
            actual,
        } => (
            "links",
            format!("header {expected_number} with parent {expected}"),
            format!("header {number} with parent {actual}"),
        ),
        M::OtherHeader {
            given,
            head,
            finalized,
        } => (
            "header given",
            given.to_string(),
            format!("head {head}, finalized block {finalized}"),
        ),
        M::NotProven { at, missing } => (
            "state proofs",
            format!("everything read at the {at} block is proven"),
            missing.to_string(),
        ),
        M::NoAnswer { at, fault } => (
            execution_at(*at),
            "an answer of the contract".to_owned(),
            fault.to_string(),
        ),
        M::Surplus {
            expected_nodes,
            expected_codes,
            nodes,
            codes,
        } => (
            "state proofs",
            format!(
                "the {expected_nodes} nodes and {expected_codes} contracts this decision reads, sorted by hash"
            ),
            format!("{nodes} nodes and {codes} contracts, or others"),
        ),
        M::OtherVerdict { expected, actual } => ("decision", words(expected), words(actual)),
        M::OtherBlock { expected, actual } => (
            "decision",
            format!("by the {expected} block"),
            format!("by the {actual} block"),
        ),
    };
    Check {
        name,
        ok: false,
        expected,
        actual,
    }
}

pub(super) const fn hash_of(which: Finality) -> &'static str {
    match which {
        Finality::Head => "hash of head",
        Finality::Finalized => "hash of finalized",
    }
}

pub(super) const fn execution_at(which: Finality) -> &'static str {
    match which {
        Finality::Head => "execution at head",
        Finality::Finalized => "execution at finalized",
    }
}
