//! What the measured document requires of the machine, before anything is measured or asked. What cannot be met here is refused,
//! never passed over.

use crate::{HostDocument, Machine, Platform, StageError, keys, measure};
use app_manifest::{AppCompose, Requirements, Rollback};
use guest_files::BootMode;
use semver::{Version, VersionReq};

const ADVICE: &str =
    "run the app where its requirements hold, or change them; either is another compose hash";

/// Checks the machine against the document.
pub(crate) fn check(document: &HostDocument, machine: &Machine) -> Result<String, StageError> {
    let all = each(document, machine);
    if all.is_empty() {
        return Ok("none stated".to_owned());
    }
    for (_, result) in all {
        result?;
    }
    Ok("met".to_owned())
}

/// Every requirement that is stated, with what was found.
pub(crate) fn each(document: &HostDocument, machine: &Machine) -> Found {
    let mut all = Vec::new();
    if machine.platform == Platform::Tdx && keys::mode(document) != BootMode::None {
        // G4: the host reads and changes a plain folder, and with it what an app under real keys runs on.
        let found = match machine.encrypted {
            true => Ok("an encrypted disk".to_owned()),
            false => Err(StageError::refused(
                "storage: expected an encrypted disk, since this is real TDX and the app has lasting keys; got a plain folder of the host (check G4)",
                "start setup with --data-disk, or use key_provider \"none\", whose folder ends with the boot",
            )),
        };
        all.push(("storage", found));
    }
    if let Some(requirements) = &document.manifest.compose().requirements {
        stated(document, requirements, machine, &mut all);
    }
    promised(document.manifest.compose(), &mut all);
    all
}

type Found = Vec<(&'static str, Result<String, StageError>)>;

/// What stands in `requirements`.
fn stated(document: &HostDocument, requirements: &Requirements, machine: &Machine, all: &mut Found) {
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
        all.push(("requirements.rollback", rollback(document, machine)));
    }
    for (name, asked) in [
        ("requirements.health_check", requirements.health_check),
        (
            "requirements.health_status_file",
            requirements.health_status_file.is_some(),
        ),
    ] {
        if asked {
            all.push((name, Err(unbuilt(name, "nobody who reads an app's health"))));
        }
    }
}

/// Keys beside `requirements` that promise the owner something: refused where nothing here keeps the promise. What dstack's own tools
/// write without meaning it (`secure_time: false`, `swap_size: 0`, `gateway_enabled`) is met by doing nothing.
fn promised(compose: &AppCompose, all: &mut Found) {
    let asked = [
        (
            "secure_time",
            compose.secure_time == Some(true),
            "no source of time outside the host",
        ),
        ("swap_size", compose.swap_size > 0, "no encrypted swap"),
        (
            "port_policy.restrict_mode",
            compose.port_policy.restrict_mode,
            "no gateway, and nothing else that would keep to it",
        ),
    ];
    for (name, asked, why) in asked {
        if asked {
            // G12: an owner who reads that his document was accepted takes what it states for granted.
            all.push((name, Err(unbuilt(name, why))));
        }
    }
    if compose.behind_gateway() {
        let found = "no gateway is built: the app is reachable by its published ports alone";
        all.push(("gateway_enabled", Ok(found.to_owned())));
    }
    if compose.storage_fs.is_some() {
        let found = "passed over: the plain folder lies on a file system of the host's choice";
        all.push(("storage_fs", Ok(found.to_owned())));
    }
}

fn unbuilt(name: &str, why: &str) -> StageError {
    StageError::refused(
        format!("{name}: expected it not stated, since there is {why} here (check G12); got it stated"),
        ADVICE,
    )
}

/// Whether the measured document has set-backs of the disk detected.
pub(crate) fn detects_rollback(document: &HostDocument) -> bool {
    let requirements = document.manifest.compose().requirements.as_ref();
    requirements.and_then(|requirements| requirements.rollback) == Some(Rollback::Detect)
}

fn rollback(document: &HostDocument, machine: &Machine) -> Result<String, StageError> {
    // G4: the host can set back a folder, and a disk with its generation; only who keeps the number elsewhere sees it.
    let lacking = if !machine.encrypted {
        "a plain folder"
    } else if keys::mode(document) != BootMode::Kms {
        "a disk, and no KMS"
    } else if measure::instance_id(document).is_none() {
        "an app without instance ids, whose disks nobody can tell apart"
    } else {
        return Ok("the KMS keeps the disk's generation".to_owned());
    };
    Err(unmet(
        "rollback",
        "a generation that is kept outside of the disk, by a KMS",
        lacking,
    ))
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
