//! Tests of the simulated platform, judged by a verifier it shares no code with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod boot;
mod command;
mod faults;
mod pcs;
mod quotes;
mod server;

use dcap_qvl::{
    QuoteCollateralV3,
    verify::{QuoteVerifier, VerifiedReport},
};
use kms_types::{Mrtd, OsMeasurement, ReportData, Rtmr, UnixTime};
use soft_td::{PlatformConfig, PlatformSeed, SoftPlatform, TdConfig};
use td_quote::Td;

/// 2026-11-22.
const NOW: UnixTime = UnixTime(1_795_356_000);

fn platform() -> SoftPlatform {
    SoftPlatform::new(PlatformSeed::public("test"), PlatformConfig::default()).unwrap()
}

fn measurement() -> OsMeasurement {
    OsMeasurement {
        mrtd: Mrtd::new([0xa0; 48]),
        rtmr0: Rtmr::new([0xa1; 48]),
        rtmr1: Rtmr::new([0xa2; 48]),
        rtmr2: Rtmr::new([0xa3; 48]),
    }
}

fn quote(platform: &SoftPlatform, config: TdConfig) -> Vec<u8> {
    platform.launch(config).quote(&ReportData::new([7; 64])).unwrap()
}

fn collateral(platform: &SoftPlatform) -> QuoteCollateralV3 {
    serde_json::from_slice(&platform.collateral(NOW).unwrap().to_json().unwrap()).unwrap()
}

/// What the verifier says under the platform's own root: the report, or its whole chain of complaints.
fn verify(
    platform: &SoftPlatform,
    quote: &[u8],
    collateral: &QuoteCollateralV3,
) -> Result<VerifiedReport, String> {
    QuoteVerifier::new(platform.root_certificate().to_vec())
        .verify(quote, collateral, NOW.0)
        .map_err(|error| format!("{error:#}"))
}
