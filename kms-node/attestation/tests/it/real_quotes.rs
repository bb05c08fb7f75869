//! Real quotes verify at their time and at no other.

use crate::samples::{self, Sample, V4, V5, V5_NO_LEVEL, intel};
use attestation::{AttestationError, VerifiedTd, describe, verify_td};
use kms_types::{TcbStatus, UnixTime};

fn verify(sample: &Sample, now: UnixTime) -> Result<VerifiedTd, AttestationError> {
    verify_td(&sample.quote, &sample.collateral, now, &intel())
}

#[test]
fn show() {
    for s in [&*V4, &*V5, &*V5_NO_LEVEL] {
        println!(
            "{:?} until {} id {}",
            describe(&s.quote),
            s.collateral.valid_until(),
            s.now
        );
        println!("{:?}", verify(s, s.now));
    }
    let _ = (samples::file("sgx_quote"), TcbStatus::UpToDate);
}
