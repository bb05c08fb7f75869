//! Real quotes and collateral, from the `sample/` folder of the dcap-qvl package wherever cargo unpacked it.

use attestation::{Collateral, TrustRoots};
use kms_types::{AttestationRoot, UnixTime};
use std::{path::PathBuf, sync::LazyLock};

/// SHA-256 of the SubjectPublicKeyInfo of the Intel SGX Root CA. Test data: the crate itself knows no root.
pub(crate) const INTEL_ROOT: &str = "0xa0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e";

/// A real quote with the collateral of its time.
pub(crate) struct Sample {
    pub(crate) quote: Vec<u8>,
    pub(crate) collateral: Collateral,
    pub(crate) collateral_json: Vec<u8>,
    pub(crate) now: UnixTime,
}

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .other_options(["--filter-platform", "host-tuple"].map(str::to_owned).to_vec())
        .exec()
        .unwrap();
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "dcap-qvl")
        .unwrap();
    package.manifest_path.parent().unwrap().join("sample").into()
});

pub(crate) fn file(name: &str) -> Vec<u8> {
    std::fs::read(FOLDER.join(name)).unwrap()
}

fn sample(name: &str, now: u64) -> Sample {
    let collateral_json = file(&format!("{name}_collateral.json"));
    Sample {
        quote: file(name),
        collateral: Collateral::from_json(&collateral_json).unwrap(),
        collateral_json,
        now: UnixTime(now),
    }
}

/// Version 4, TD 1.0 body.
pub(crate) static V4: LazyLock<Sample> = LazyLock::new(|| sample("tdx_quote", 1_750_400_000));
/// Version 5, extended TD 1.5 body.
pub(crate) static V5: LazyLock<Sample> = LazyLock::new(|| sample("tdx_quote_td15ex", 1_792_300_000));
/// Version 5, TD 1.5 body, on a platform that meets no TCB level.
pub(crate) static V5_NO_LEVEL: LazyLock<Sample> =
    LazyLock::new(|| sample("tdx_quote_outdated", 1_771_500_000));

pub(crate) fn intel() -> TrustRoots {
    TrustRoots::new([INTEL_ROOT.parse::<AttestationRoot>().unwrap()])
}
