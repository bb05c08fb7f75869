//! How containers reach each other and the outside.

use crate::{names::HostName, names::NameError, names::ServiceName};
use serde::{Serialize, Serializer};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// An entry of the project's `networks`: a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// `name`: used as it stands instead of project and key.
    pub name: Option<HostName>,
    /// Whether it has no way out.
    pub internal: bool,
    /// Its addresses; absent: the runtime chooses.
    pub ipam: Option<Ipam>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ipam {
    /// The subnet, /8 to /30.
    pub subnet: Subnet,
    /// The bridge's address, which is the subnet's first; absent: not written.
    pub gateway: Option<Ipv4Addr>,
}

/// An IPv4 network in CIDR form without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The network address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Bits of the network part.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The first address a host may have: the bridge's.
    pub fn first(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) | 1)
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Whether `address` is one a host in it may have.
    pub fn has_host(&self, address: Ipv4Addr) -> bool {
        let bits = u32::from(address);
        let host = bits & !self.mask();
        bits & self.mask() == u32::from(self.address) && host != 0 && host != !self.mask()
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mask = self.mask() & other.mask();
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }
}

impl FromStr for Subnet {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = || {
            NameError::new(
                "an IPv4 subnet /8 to /30 without host bits, such as 172.28.0.0/24",
                text,
            )
        };
        let (address, prefix) = text.split_once('/').ok_or_else(fail)?;
        let subnet = Self {
            address: address.parse().map_err(|_| fail())?,
            prefix: prefix.parse().map_err(|_| fail())?,
        };
        let sound = (8..=30).contains(&subnet.prefix) && u32::from(subnet.address) & !subnet.mask() == 0;
        if sound { Ok(subnet) } else { Err(fail()) }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a service's network is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The bridges in `Service::networks`.
    #[default]
    Bridges,
    /// Loopback only.
    None,
    /// The guest's own network.
    Host,
    /// The network of another service's container.
    Service(ServiceName),
}

/// A service on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetworkAttachment {
    /// Names beside the service's own.
    pub aliases: Vec<HostName>,
    /// A fixed address inside the network's subnet.
    pub ipv4: Option<Ipv4Addr>,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortMapping {
    /// Address to listen on; absent: all.
    pub host_ip: Option<Ipv4Addr>,
    /// Port outside.
    pub host: u16,
    /// Port inside.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A port other services may use; all may, so it says something to people only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ExposedPort {
    /// Port inside.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// Protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A line for the container's `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtraHost {
    /// The name.
    pub name: HostName,
    /// Its address.
    pub address: HostAddress,
}

/// Address of an extra host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostAddress {
    /// As written.
    Ip(IpAddr),
    /// `host-gateway`: the guest as seen from the container.
    Gateway,
}
