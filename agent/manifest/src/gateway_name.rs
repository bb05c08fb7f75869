//! Names under a gateway's domain, as dstack: `<id>[-<port>][s|g].<base domain>`; and the text of an address record, `<id>:<port>`.
//!
//! Refuses `sg`, ports with leading zeros or out of range, ids of another length, and names with more or fewer labels.
//! Letters are taken in either case, as DNS does, and written in lower case.

use kms_types::{AppId, InstanceId};
use std::{fmt, num::NonZeroU16, str::FromStr};

/// Bytes of a base domain: the longest label before it and the dot fit into the 253 of a DNS name.
pub const MAX_BASE_DOMAIN: usize = 253 - MAX_LABEL - 1;
/// Hex digits, dash, port, mode.
const MAX_LABEL: usize = 2 * AppId::LEN + 1 + 5 + 1;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayNameError {
    /// No domain name.
    #[error(
        "base domain: expected labels of a-z, 0-9 and `-` in at most {MAX_BASE_DOMAIN} bytes, got {actual} bytes of something else"
    )]
    BaseDomain {
        /// Bytes that came.
        actual: usize,
    },
    /// Not one label before the base domain.
    #[error("gateway name: expected one label before .{base}, got another name")]
    OtherDomain {
        /// The base domain.
        base: BaseDomain,
    },
    /// The label does not begin with an id.
    #[error("gateway name: expected 40 hex digits first, got something else")]
    Id,
    /// No port.
    #[error("gateway name: expected a port from 1 to 65535 without leading zeros, got something else")]
    Port,
    /// Passthrough and termination at once.
    #[error("gateway name: expected `s` or `g`, got both")]
    BothModes,
    /// Something after id and port.
    #[error("gateway name: expected nothing, `s` or `g` at the end of the label, got something else")]
    Mode,
}

/// A domain, in lower case, without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseDomain(String);

impl BaseDomain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BaseDomain {
    type Err = GatewayNameError;
    fn from_str(text: &str) -> Result<Self, GatewayNameError> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > MAX_BASE_DOMAIN || !text.split('.').all(label) {
            return Err(GatewayNameError::BaseDomain { actual: text.len() });
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for BaseDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 20 bytes that are an app's or an instance's id: the name does not say which, so the gateway looks for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameId([u8; AppId::LEN]);

impl NameId {
    /// Read as an app's id.
    pub fn as_app(&self) -> AppId {
        AppId::new(self.0)
    }
    /// Read as an instance's id.
    pub fn as_instance(&self) -> InstanceId {
        InstanceId::new(self.0)
    }

    /// The id at the beginning, and what follows it.
    fn split(text: &str) -> Result<(Self, &str), GatewayNameError> {
        let (digits, rest) = text
            .split_at_checked(2 * AppId::LEN)
            .ok_or(GatewayNameError::Id)?;
        let mut id = [0; AppId::LEN];
        hex::decode_to_slice(digits, &mut id).map_err(|_| GatewayNameError::Id)?;
        Ok((Self(id), rest))
    }
}

impl From<AppId> for NameId {
    fn from(id: AppId) -> Self {
        Self(id.to_bytes())
    }
}

impl From<InstanceId> for NameId {
    fn from(id: InstanceId) -> Self {
        Self(id.to_bytes())
    }
}

impl fmt::Display for NameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What the gateway does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortMode {
    /// Ends TLS and forwards what is inside.
    Terminate,
    /// `s`: forwards TLS as it is.
    Passthrough,
    /// `g`: ends TLS and speaks HTTP/2.
    Http2,
}

/// A name under a gateway's domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayName {
    /// Whom it leads to.
    pub id: NameId,
    /// The port as written; ask [`GatewayName::target_port`].
    pub port: Option<NonZeroU16>,
    /// What the gateway does.
    pub mode: PortMode,
    /// The gateway's domain.
    pub base: BaseDomain,
}

impl GatewayName {
    /// Reads a name under a base domain.
    ///
    /// # Errors
    /// When it is another domain's, or its label has another form.
    pub fn parse(name: &str, base: &BaseDomain) -> Result<Self, GatewayNameError> {
        let other = || GatewayNameError::OtherDomain { base: base.clone() };
        let (label, domain) = name.split_once('.').ok_or_else(other)?;
        if !domain.eq_ignore_ascii_case(&base.0) {
            return Err(other());
        }
        let (id, rest) = NameId::split(label)?;
        let (port, suffix) = match rest.strip_prefix('-') {
            None => (None, rest),
            Some(rest) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (port, suffix) = rest.split_at_checked(digits).ok_or(GatewayNameError::Port)?;
                (Some(parse_port(port)?), suffix)
            }
        };
        let mode = match suffix.to_ascii_lowercase().as_str() {
            "" => PortMode::Terminate,
            "s" => PortMode::Passthrough,
            "g" => PortMode::Http2,
            "sg" | "gs" => return Err(GatewayNameError::BothModes),
            _ => return Err(GatewayNameError::Mode),
        };
        Ok(Self {
            id,
            port,
            mode,
            base: base.clone(),
        })
    }

    /// The port inside the VM: as written, else 443 with passthrough and 80 without.
    pub fn target_port(&self) -> u16 {
        match (self.port, self.mode) {
            (Some(port), _) => port.get(),
            (None, PortMode::Passthrough) => 443,
            (None, PortMode::Terminate | PortMode::Http2) => 80,
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if let Some(port) = self.port {
            write!(f, "-{port}")?;
        }
        let mode = match self.mode {
            PortMode::Terminate => "",
            PortMode::Passthrough => "s",
            PortMode::Http2 => "g",
        };
        write!(f, "{mode}.{}", self.base)
    }
}

/// One form for every port: what is compared as text elsewhere is compared rightly.
fn parse_port(text: &str) -> Result<NonZeroU16, GatewayNameError> {
    if text.len() > 5 || text.starts_with(['0', '+']) {
        return Err(GatewayNameError::Port);
    }
    text.parse().map_err(|_| GatewayNameError::Port)
}

/// Text of the record `_dstack-app-address.<name>` of a domain that is not the gateway's: `<id>:<port>`, always passthrough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppAddress {
    /// Whom it leads to.
    pub id: NameId,
    /// The port inside the VM.
    pub port: NonZeroU16,
}

impl FromStr for AppAddress {
    type Err = GatewayNameError;
    fn from_str(text: &str) -> Result<Self, GatewayNameError> {
        let (id, rest) = NameId::split(text)?;
        let port = parse_port(rest.strip_prefix(':').ok_or(GatewayNameError::Port)?)?;
        Ok(Self { id, port })
    }
}

impl fmt::Display for AppAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.port)
    }
}
