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
    let all = each(document, machine, encrypted);
    if all.is_empty() {
        return Ok("none stated".to_owned());
    }
    for (_, result) in all {
        result?;
    }
    Ok("met".to_owned())
}

/// Every requirement that is stated, with what was found.
pub(crate) fn each(
    document: &HostDocument,
    machine: &Machine,
    encrypted: bool,
) -> Vec<(&'static str, Result<String, StageError>)> {
    let Some(requirements) = &document.manifest.compose().requirements else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if requirements.platforms.is_some() {
        all.push(("requirements.platforms", platform(requirements, machine)));
    }
    if requirements.os_version.is_some() {
        all.push(("requirements.os_version", os_version(requirements, machine)));
    }
    if let Some(measured) = requirements.tdx_measure_acpi_tables {
        let name = "tdx_measure_acpi_tables";
        let found = match measured {
            true => Ok("the catalogue measures them".to_owned()),
            false => Err(unmet(name, "true: the catalogue measures them", "false")),
        };
        all.push(("requirements.tdx_measure_acpi_tables", found));
    }
    if let Some(policy) = &requirements.gpu_policy {
        let found = match policy.attest_gpu || policy.rego.is_some() {
            true => Err(unmet("gpu_policy", "a GPU that can be attested", "none")),
            false => Ok("asks for none".to_owned()),
        };
        all.push(("requirements.gpu_policy", found));
    }
    if requirements.rollback == Some(Rollback::Detect) {
        // G4: a plain folder can be set back by the host, and nothing would show it.
        let found = match encrypted {
            true => Ok("an encrypted disk with a generation".to_owned()),
            false => Err(unmet(
                "rollback",
                "an encrypted disk with a generation",
                "a plain folder",
            )),
        };
        all.push(("requirements.rollback", found));
    }
    all
}

fn platform(requirements: &Requirements, machine: &Machine) -> Result<String, StageError> {
    let actual = machine.platform.as_str();
    match &requirements.platforms {
        Some(allowed) if !allowed.iter().any(|name| name == actual) => {
            Err(unmet("platforms", &allowed.join(", "), actual))
        }
        _ => Ok(actual.to_owned()),
    }
}

fn os_version(requirements: &Requirements, machine: &Machine) -> Result<String, StageError> {
    let wanted = requirements.os_version.as_deref().unwrap_or_default();
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
        Some(version) if range.matches(&version) => Ok(version.to_string()),
        _ => Err(unmet("os_version", wanted, actual.unwrap_or("no OS image"))),
    }
}

fn unmet(what: &str, expected: &str, actual: &str) -> StageError {
    StageError::refused(
        format!("requirements.{what}: expected {expected}, got {actual}"),
        ADVICE,
    )
}
