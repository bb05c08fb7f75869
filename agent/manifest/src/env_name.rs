//! Names an app's environment may have: `[A-Za-z_][A-Za-z0-9_]*`, at most 255 bytes, and none of those that steer a loader or a tool.
//!
//! Values come from whoever holds the app's env public key (v1: anyone), so a name must not turn a value into code, into another
//! search path, or into an order to the tools that start the app. An app that needs one of them writes it into its compose file, where
//! the hash shows it. Proxy settings (`HTTP_PROXY` and the like) are allowed: the host is the network already, and what is fetched is
//! checked by TLS or digest. Comparison is by exact case, as loaders and shells compare.

use serde::{Deserialize, Deserializer, de::Error};
use std::{borrow::Borrow, borrow::Cow, fmt, str::FromStr};

/// Bytes of a name.
pub const MAX_ENV_NAME: usize = 255;

/// Beginnings that are refused, with what they steer.
const PREFIXES: [(&str, &str); 17] = [
    ("LD_", "the dynamic loader"),
    ("GLIBC_", "the C library"),
    ("BASH_", "the shell"),
    ("DOCKER_", "the container tools"),
    ("CONTAINERD_", "the container tools"),
    ("COMPOSE_", "the container tools"),
    ("BUILDKIT_", "the container tools"),
    ("BUILDX_", "the container tools"),
    ("NERDCTL_", "the container tools"),
    ("CNI_", "the container tools"),
    ("SYSTEMD_", "the service manager"),
    ("LISTEN_", "the service manager"),
    ("GIT_", "git"),
    ("XDG_", "where tools find their configuration"),
    ("OPENSSL_", "the TLS library"),
    ("SSL_CERT_", "the TLS library"),
    ("DYLD_", "the dynamic loader"),
];

/// Whole names that are refused, with what they steer.
const NAMES: [(&str, &[&str]); 6] = [
    (
        "the shell",
        &[
            "PATH",
            "ENV",
            "SHELL",
            "SHELLOPTS",
            "BASHOPTS",
            "PS0",
            "PS1",
            "PS2",
            "PS4",
            "IFS",
            "CDPATH",
            "GLOBIGNORE",
            "PROMPT_COMMAND",
            "FPATH",
            "ZDOTDIR",
            "POSIXLY_CORRECT",
        ],
    ),
    (
        "the C library",
        &[
            "GCONV_PATH",
            "LOCPATH",
            "NLSPATH",
            "HOSTALIASES",
            "RES_OPTIONS",
            "RESOLV_HOST_CONF",
            "LOCALDOMAIN",
            "TZDIR",
        ],
    ),
    (
        "where tools find their configuration",
        &["HOME", "TMPDIR", "EDITOR", "VISUAL", "PAGER"],
    ),
    ("the service manager", &["NOTIFY_SOCKET"]),
    ("the TLS library", &["SSLKEYLOGFILE", "GODEBUG"]),
    (
        "which code an interpreter loads",
        &[
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONSTARTUP",
            "PYTHONINSPECT",
            "PERL5LIB",
            "PERLLIB",
            "PERL5OPT",
            "PERL5DB",
            "RUBYLIB",
            "RUBYOPT",
            "NODE_OPTIONS",
            "NODE_PATH",
            "JAVA_TOOL_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "_JAVA_OPTIONS",
            "LUA_PATH",
            "LUA_CPATH",
            "LUA_INIT",
        ],
    ),
];

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvNameError {
    /// Empty, or above the bound.
    #[error("environment name: expected 1 to {MAX_ENV_NAME} bytes, got {actual} (check G5)")]
    Length {
        /// What came.
        actual: usize,
    },
    /// Another character.
    #[error(
        "environment name: expected letters, digits and `_`, no digit first, got byte {byte:#04x} at {at} (check G5)"
    )]
    Character {
        /// Where, from 0.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// It steers a loader or a tool.
    #[error(
        "environment name {name}: expected one that steers no tool, got one that steers {steers} (check G5)"
    )]
    Steering {
        /// The name.
        name: String,
        /// What it steers.
        steers: &'static str,
    },
}

/// A name that passed check G5.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvName(String);

impl EnvName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = EnvNameError;

    fn from_str(name: &str) -> Result<Self, EnvNameError> {
        if name.is_empty() || name.len() > MAX_ENV_NAME {
            return Err(EnvNameError::Length { actual: name.len() });
        }
        let fits = |at: usize, b: u8| b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit());
        if let Some((at, byte)) = name.bytes().enumerate().find(|(at, b)| !fits(*at, *b)) {
            return Err(EnvNameError::Character { at, byte });
        }
        // G5: a value is not to become code, a search path or an order to the tools that start the app.
        if let Some(steers) = steered(name) {
            return Err(EnvNameError::Steering {
                name: name.to_owned(),
                steers,
            });
        }
        Ok(Self(name.to_owned()))
    }
}

fn steered(name: &str) -> Option<&'static str> {
    let by_prefix = PREFIXES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, steers)| *steers);
    by_prefix.or_else(|| {
        NAMES
            .iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(steers, _)| *steers)
    })
}

impl Borrow<str> for EnvName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EnvName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
