//! Blocks of addresses for networks: each takes a /24 of the pool that no route of the host covers. Where the search begins
//! depends on the network's name, so that two projects on one host rarely look at the same block.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::NetworkError;
use crate::config::SubnetPool;

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    pub(crate) fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        let mask = mask(prefix)?;
        Some(Self {
            base: u32::from(address) & mask,
            prefix,
        })
    }

    /// The address this many places after the first.
    pub(crate) fn host(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base.saturating_add(number))
    }

    /// The bridge's own address.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.host(1)
    }

    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        mask(self.prefix).is_some_and(|mask| u32::from(address) & mask == self.base)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let shorter = self.prefix.min(other.prefix);
        mask(shorter).is_some_and(|mask| self.base & mask == other.base & mask)
    }
}

fn mask(prefix: u8) -> Option<u32> {
    match prefix {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - u32::from(prefix))),
        _ => None,
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        let parsed =
            parts.and_then(|(address, prefix)| Self::new(address.parse().ok()?, prefix.parse().ok()?));
        parsed
            .filter(|subnet| subnet.prefix <= 30)
            .ok_or_else(|| NetworkError::Malformed {
                what: "subnet".to_owned(),
                expected: "an IPv4 network such as 10.5.0.0/24, /30 at the smallest",
                got: text.to_owned(),
            })
    }
}

impl Serialize for Subnet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Routes of `/proc/net/route`, the default route left out. Lines of another form are skipped.
pub(crate) fn routes(text: &str) -> Vec<Subnet> {
    let hex = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::from_be);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let destination = hex(fields.nth(1)?)?;
            let prefix = hex(fields.nth(5)?)?.leading_ones();
            let prefix = u8::try_from(prefix).ok().filter(|prefix| *prefix > 0)?;
            Subnet::new(Ipv4Addr::from(destination), prefix)
        })
        .collect()
}

/// Interface of the default route in `/proc/net/route`.
pub(crate) fn default_interface(text: &str) -> Option<&str> {
    text.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let interface = fields.next()?;
        (fields.next()? == "00000000" && fields.nth(5)? == "00000000").then_some(interface)
    })
}

/// A free /24 of the pool for a network.
pub(crate) fn choose(pool: &SubnetPool, seed: &str, taken: &[Subnet]) -> Result<Subnet, NetworkError> {
    let exhausted = || NetworkError::PoolExhausted {
        base: pool.base,
        prefix: pool.prefix,
        taken: taken.len(),
    };
    if !(8..=24).contains(&pool.prefix) {
        return Err(exhausted());
    }
    let base = Subnet::new(pool.base, pool.prefix).ok_or_else(exhausted)?;
    let blocks = 1_u32 << (24 - pool.prefix);
    let digest = Sha256::digest(seed.as_bytes());
    let first = digest
        .iter()
        .take(4)
        .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte))
        % blocks;
    (0..blocks)
        .filter_map(|step| Subnet::new(base.host(((first + step) % blocks) << 8), 24))
        .find(|candidate| !taken.iter().any(|other| other.overlaps(candidate)))
        .ok_or_else(exhausted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken line\n";

    #[test]
    fn routes_are_read() {
        let subnets: Vec<String> = routes(ROUTES).iter().map(Subnet::to_string).collect();
        assert_eq!(subnets, ["192.0.2.0/24"]);
        assert_eq!(default_interface(ROUTES), Some("eth0"));
    }

    #[test]
    fn a_block_in_use_is_passed_over() {
        let pool = SubnetPool {
            base: Ipv4Addr::new(10, 9, 0, 0),
            prefix: 22,
        };
        let mut taken = Vec::new();
        for _ in 0..4 {
            let one = choose(&pool, "web", &taken).unwrap();
            assert!(!taken.contains(&one) && one.to_string().starts_with("10.9."));
            taken.push(one);
        }
        assert!(matches!(
            choose(&pool, "web", &taken),
            Err(NetworkError::PoolExhausted { .. })
        ));
        let wide = [Subnet::new(Ipv4Addr::new(10, 0, 0, 0), 8).unwrap()];
        assert!(choose(&pool, "web", &wide).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_route_file_is_read(text in "(.{0,40}\n){0,5}") {
            let _ = routes(&text);
            let _ = default_interface(&text);
        }
    }
}
