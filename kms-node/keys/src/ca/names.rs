//! Names that certificates carry: an app's subtree, an instance in it, a node.

use super::CaError;
use kms_types::{AppId, InstanceId};
use rcgen::SanType;
use rustls_pki_types::DnsName;
use std::net::IpAddr;

/// Name every KMS node's certificate carries. The domain is reserved for private use, so no public CA certifies it.
pub const KMS_SERVER_NAME: &str = "kms.kedge.internal";
/// Names of one certificate.
pub const MAX_NAMES: usize = 16;

/// Subtree of an app: `<AppId>.kedge.internal`. Its CA is constrained to it.
pub fn app_domain(app: &AppId) -> String {
    format!("{}.kedge.internal", app.to_plain_hex())
}

/// Name of an instance: `<InstanceId>.<AppId>.kedge.internal`.
pub fn instance_domain(app: &AppId, instance: &InstanceId) -> String {
    format!("{}.{}", instance.to_plain_hex(), app_domain(app))
}

fn is_dns(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    DnsName::try_from(host).is_ok() && !name.ends_with('.') && !name.bytes().any(|b| b.is_ascii_uppercase())
}

/// A DNS name inside `domain` (a wildcard may stand for its first label).
pub(super) fn dns_within(name: &str, domain: &str) -> Result<SanType, CaError> {
    let inside = name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !inside || !is_dns(name) {
        return Err(CaError::Name {
            place: format!(" in {domain}"),
            actual: name.to_owned(),
        });
    }
    dns(name)
}

/// A DNS name or an address.
pub(super) fn host(name: &str) -> Result<SanType, CaError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => dns(name),
    }
}

fn dns(name: &str) -> Result<SanType, CaError> {
    let refused = || CaError::Name {
        place: String::new(),
        actual: name.to_owned(),
    };
    if !is_dns(name) {
        return Err(refused());
    }
    name.try_into().map(SanType::DnsName).map_err(|_| refused())
}

/// Refuses none and too many.
pub(super) fn bounded(count: usize) -> Result<(), CaError> {
    if (1..=MAX_NAMES).contains(&count) {
        Ok(())
    } else {
        Err(CaError::NameCount { actual: count })
    }
}
