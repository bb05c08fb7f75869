//! What the measured document requires of the machine, before anything is measured or asked. What cannot be met here is refused,
//! never passed over.

use crate::{HostDocument, Machine, StageError};
use app_manifest::{Requirements, Rollback};
use semver::{Version, VersionReq};

const ADVICE: &str =
    "run the app where its requirements hold, or change them; either is another compose hash";

/// Checks the machine against the document.
pub(crate) fn check(
    document: &HostDocument,
    machine: &Machine,
    encrypted: bool,
) -> Result<String, StageError> {
    let Some(requirements) = &document.manifest.compose().requirements else {
        return Ok("none stated".to_owned());
    };
    platform(requirements, machine)?;
    os_version(requirements, machine)?;
    if requirements.tdx_measure_acpi_tables == Some(false) {
        return Err(unmet(
            "tdx_measure_acpi_tables",
            "true: the catalogue measures them",
            "false",
        ));
    }
    if requirements
        .gpu_policy
        .as_ref()
        .is_some_and(|policy| policy.attest_gpu || policy.rego.is_some())
    {
        return Err(unmet("gpu_policy", "a GPU that can be attested", "none"));
    }
    // G4: a plain folder can be set back by the host, and nothing would show it.
    if requirements.rollback == Some(Rollback::Detect) && !encrypted {
        return Err(unmet(
            "rollback",
            "an encrypted disk with a generation",
            "a plain folder",
        ));
    }
    Ok("met".to_owned())
}

fn platform(requirements: &Requirements, machine: &Machine) -> Result<(), StageError> {
    let actual = machine.platform.as_str();
    match &requirements.platforms {
        Some(allowed) if !allowed.iter().any(|name| name == actual) => {
            Err(unmet("platforms", &allowed.join(", "), actual))
        }
        _ => Ok(()),
    }
}

fn os_version(requirements: &Requirements, machine: &Machine) -> Result<(), StageError> {
    let Some(wanted) = &requirements.os_version else {
        return Ok(());
    };
    let range = VersionReq::parse(wanted).map_err(|error| {
        StageError::malformed(
            format!(
                "requirements.os_version: expected a version range such as >=0.5.0, got {wanted:?}: {error}"
            ),
            ADVICE,
        )
    })?;
    let actual = machine.os_version.as_deref();
    match actual.and_then(|text| Version::parse(text).ok()) {
        Some(version) if range.matches(&version) => Ok(()),
        _ => Err(unmet("os_version", wanted, actual.unwrap_or("no OS image"))),
    }
}

fn unmet(what: &str, expected: &str, actual: &str) -> StageError {
    StageError::refused(
        format!("requirements.{what}: expected {expected}, got {actual}"),
        ADVICE,
    )
}
