//! Names of a project's parts, each its own type, checked once. Refuses what could not be a DNS name, a file name or a label as it stands.

use serde::Serialize;
use std::{borrow::Borrow, fmt, str::FromStr};
use thiserror::Error;

/// Characters of a name.
pub const MAX_NAME: usize = 63;

/// A name that is not one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected {expected}, got `{actual}`")]
pub struct NameError {
    /// What a name of this kind is.
    pub expected: &'static str,
    /// What came, cut to a readable length.
    pub actual: String,
}

impl NameError {
    pub(crate) fn new(expected: &'static str, actual: &str) -> Self {
        Self {
            expected,
            actual: shorten(actual),
        }
    }
}

/// `text` in one line and at most 80 characters, for a message.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// Letters, digits, `.`, `_`, `-`, the first a letter or digit.
fn plain(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Lower case letters, digits, `_`, `-`, the first a letter or digit.
fn project(text: &str) -> bool {
    plain(text) && !text.contains(|c: char| c.is_ascii_uppercase() || c == '.')
}

/// One or more DNS labels; `_` is let through since services are called so.
fn host(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        })
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $check:path, $expected:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.to_owned())) } else { Err(NameError::new($expected, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// Top-level `name`.
    ProjectName: project, "a project name: 1–63 lower case letters, digits, `_`, `-`, the first a letter or digit";
    /// A key of `services`.
    ServiceName: plain, "a service name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// A key of `networks`.
    NetworkName: plain, "a network name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// A key of `volumes`.
    VolumeName: plain, "a volume name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// A key of `secrets`.
    SecretName: plain, "a secret name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// A key of `configs`.
    ConfigName: plain, "a config name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// A value of `container_name`.
    ContainerName: plain, "a container name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// One of a service's `profiles`.
    ProfileName: plain, "a profile name: 1–63 letters, digits, `.`, `_`, `-`, the first a letter or digit";
    /// A host name: `hostname`, `domainname`, network aliases, `extra_hosts`, `dns_search`.
    HostName: host, "a host name: DNS labels of 1–63 letters, digits, `-`, `_`, at most 253 characters";
}
