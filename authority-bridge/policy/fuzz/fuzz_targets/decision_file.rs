//! Any file: read or refused, written again as it was read, and checked without harm. What holds has a verdict the executed
//! contract gave.
#![no_main]

use authority_policy::{Anchor, DecisionEvidence, Expected};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(evidence) = DecisionEvidence::from_json(bytes) else {
        return;
    };
    let written = evidence.to_json().expect("what was read can be written");
    assert_eq!(DecisionEvidence::from_json(&written).as_ref(), Ok(&evidence));
    let report = evidence.check(&Expected::default());
    assert_eq!(report.checks.iter().all(|check| check.ok), report.outcome.is_ok());
    if let Ok(verified) = report.outcome {
        assert_eq!(
            (&verified.verdict, verified.anchor),
            (&evidence.verdict, Anchor::Nothing)
        );
        let given = Expected {
            headers: vec![evidence.head.hash],
            ..Expected::default()
        };
        assert!(
            evidence
                .check(&given)
                .outcome
                .is_ok_and(|verified| verified.anchor == Anchor::Head)
        );
    }
});
