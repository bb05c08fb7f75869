//! The whole file, with the questions the rest of the guest asks of it.

use super::{FileSource, Network, Service, Volume};
use crate::{
    image::ImageRef,
    names::{ConfigName, NetworkName, ProfileName, ProjectName, SecretName, ServiceName, VolumeName},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A checked compose file. Every name a service uses is a key here; dependencies have no cycle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Project {
    /// `name`.
    pub name: Option<ProjectName>,
    /// Services.
    pub services: BTreeMap<ServiceName, Service>,
    /// Networks, `default` among them when a service is on it.
    pub networks: BTreeMap<NetworkName, Network>,
    /// Named volumes.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Secrets.
    pub secrets: BTreeMap<SecretName, FileSource>,
    /// Configs.
    pub configs: BTreeMap<ConfigName, FileSource>,
    /// Variables that had no value and no default, and so stand for nothing, as in Compose. Worth a warning.
    pub unset_variables: BTreeSet<String>,
}

/// Names shown of variables without a value.
const SHOWN_VARIABLES: usize = 20;

impl Project {
    /// What to say of variables that stand for nothing: a typing mistake in a name looks exactly so.
    pub fn unset_warning(&self) -> Option<String> {
        let all = &self.unset_variables;
        if all.is_empty() {
            return None;
        }
        let shown: Vec<&str> = all.iter().take(SHOWN_VARIABLES).map(String::as_str).collect();
        let more = match all.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!(
            "variables: expected a value for each, got none for {}{more}, which stand for nothing: set them in the app's \
             environment, or write ${{NAME:-default}}",
            shown.join(", ")
        ))
    }

    /// Services whose image is not written out with its digest: what they run can change without the compose hash changing.
    pub fn mutable_images(&self) -> impl Iterator<Item = (&ServiceName, &ImageRef)> {
        // G6: a tag lets whoever holds the registry choose the code that gets the app's keys
        let services = self.services.iter();
        services
            .filter(|(_, service)| service.image.is_mutable() || service.image_from_environment)
            .map(|(name, service)| (name, &service.image))
    }

    /// Services that run when `profiles` are on: those without a profile and those with one of these.
    pub fn enabled<'a>(
        &'a self,
        profiles: &'a BTreeSet<ProfileName>,
    ) -> impl Iterator<Item = &'a ServiceName> {
        let services = self.services.iter().filter(|(_, service)| {
            service.profiles.is_empty() || service.profiles.iter().any(|p| profiles.contains(p))
        });
        services.map(|(name, _)| name)
    }

    /// All services, each after what it depends on; names decide among equals. Stopping goes the other way.
    pub fn start_order(&self) -> Vec<&ServiceName> {
        let mut order = Vec::with_capacity(self.services.len());
        let mut placed = BTreeSet::new();
        while order.len() < self.services.len() {
            let before = order.len();
            for (name, service) in &self.services {
                let mut known = service
                    .depends_on
                    .keys()
                    .filter(|d| self.services.contains_key(*d));
                if !placed.contains(name) && known.all(|dependency| placed.contains(dependency)) {
                    placed.insert(name);
                    order.push(name);
                }
            }
            // Only a project put together by hand has a cycle; its services come last instead of never.
            if order.len() == before {
                order.extend(self.services.keys().filter(|name| !placed.contains(name)));
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    fn warning(text: &str) -> Option<String> {
        let variables = |name: &str| (name == "SET").then(|| "1".to_owned());
        crate::parse(text.as_bytes(), &variables).unwrap().unset_warning()
    }

    #[test]
    fn a_variable_without_a_value_is_named_and_one_with_a_value_or_a_default_is_not() {
        let service = "services:\n  a:\n    image: busybox\n    command: ";
        assert_eq!(warning(&format!("{service}echo ${{SET}} ${{GONE:-x}}\n")), None);
        let text = warning(&format!("{service}echo ${{SET}} ${{TYPO}} $$ESCAPED\n")).unwrap();
        assert!(
            text.contains("for TYPO,") && !text.contains("SET,") && !text.contains("ESCAPED"),
            "{text}"
        );
        let many: String = (10..40).map(|n| format!(" ${{V{n}}}")).collect();
        let text = warning(&format!("{service}echo{many}\n")).unwrap();
        assert!(
            text.contains("V29 and 10 more") && !text.contains("V30"),
            "{text}"
        );
    }
}
