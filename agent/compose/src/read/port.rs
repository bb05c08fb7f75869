//! `ports` and `expose`, short and long. Ranges are written out. Refuses random outside ports (nothing outside could know them),
//! ranges of different length, IPv6 addresses and more than `MAX_PORTS` ports.

use super::{cursor::Cursor, fields::Fields};
use crate::{
    error::ProblemKind,
    keys,
    model::{ExposedPort, PortMapping, Protocol},
};
use std::{net::Ipv4Addr, ops::RangeInclusive};

/// Ports one service may publish, ranges written out.
pub const MAX_PORTS: usize = 256;

const SHORT: &str =
    "[ip:]outside:inside[/tcp|udp], each a port from 1 to 65535 or a range of the same length";
const RANDOM: &str =
    "name the outside port, such as 8080:80: a random one could not be reached from outside the guest";

type Range = RangeInclusive<u16>;

fn port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn range(text: &str) -> Option<Range> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = port(from)?..=port(to)?;
    (!range.is_empty() && range.len() <= MAX_PORTS).then_some(range)
}

fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

pub(crate) fn ports<'r>(cursor: &Cursor<'r>) -> Option<Vec<(PortMapping, Cursor<'r>)>> {
    let mut ports: Vec<(PortMapping, Cursor<'r>)> = Vec::new();
    for item in cursor.list()? {
        let more = if item.is_map() { long(&item) } else { short(&item) };
        ports.extend(more.into_iter().flatten().map(|mapping| (mapping, item.clone())));
    }
    if ports.len() > MAX_PORTS {
        let expected = format!("at most {MAX_PORTS} ports, ranges written out");
        cursor.report(ProblemKind::Bound, &expected, ports.len().to_string(), "");
        ports.truncate(MAX_PORTS);
    }
    Some(ports)
}

fn mappings(
    host_ip: Option<Ipv4Addr>,
    host: Range,
    container: Range,
    protocol: Protocol,
) -> Option<Vec<PortMapping>> {
    let pairs = (host.len() == container.len()).then(|| host.zip(container))?;
    let mapping = |(host, container)| PortMapping {
        host_ip,
        host,
        container,
        protocol,
    };
    Some(pairs.map(mapping).collect())
}

fn short(cursor: &Cursor<'_>) -> Option<Vec<PortMapping>> {
    let text = cursor.words(SHORT)?;
    let (addresses, name) = text.rsplit_once('/').unwrap_or((&text, "tcp"));
    let parts: Vec<&str> = addresses.split(':').collect();
    let (ip, host, container) = match *parts.as_slice() {
        [container] if range(container).is_some() => {
            cursor.wrong(SHORT, RANDOM);
            return None;
        }
        [host, container] => (None, host, container),
        [_, "", _] => {
            cursor.wrong(SHORT, RANDOM);
            return None;
        }
        [ip, host, container] => (Some(ip), host, container),
        _ => {
            cursor.wrong(
                SHORT,
                if addresses.contains('[') {
                    "networks carry IPv4"
                } else {
                    ""
                },
            );
            return None;
        }
    };
    let read = || {
        let ip = match ip {
            Some(ip) => Some(ip.parse().ok()?),
            None => None,
        };
        mappings(ip, range(host)?, range(container)?, protocol(name)?)
    };
    let ports = read();
    if ports.is_none() {
        cursor.wrong(SHORT, "");
    }
    ports
}

fn long(cursor: &Cursor<'_>) -> Option<Vec<PortMapping>> {
    let fields = Fields::open(cursor.clone(), keys::PORT)?;
    let one = "a port from 1 to 65535, or a range such as 8000-8010";
    let read = |key, advice| {
        fields.require(key, advice).and_then(|value| {
            let range = range(&value.words(one)?);
            if range.is_none() {
                value.wrong(one, "");
            }
            range
        })
    };
    let (container, host) = (read("target", ""), read("published", RANDOM));
    let ip = fields.take("host_ip").map(|value| {
        let ip = value.words("an IPv4 address")?.parse::<Ipv4Addr>().ok();
        if ip.is_none() {
            value.wrong("an IPv4 address", "networks carry IPv4");
        }
        ip
    });
    let choices = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let protocol = fields
        .take("protocol")
        .map_or(Some(Protocol::Tcp), |value| value.choice(&choices));
    if let Some(mode) = fields.take("mode") {
        mode.choice(&[("host", ()), ("ingress", ())]);
    }
    if let Some(name) = fields.take("name") {
        name.text("a name");
    }
    fields.finish();
    let host_ip = match ip {
        Some(ip) => Some(ip?),
        None => None,
    };
    let ports = mappings(host_ip, host?, container?, protocol?);
    if ports.is_none() {
        cursor.wrong("ranges of the same length in `target` and `published`", "");
    }
    ports
}

pub(crate) fn expose(cursor: &Cursor<'_>) -> Option<Vec<ExposedPort>> {
    let expected = "a port from 1 to 65535 or a range, with or without /tcp or /udp";
    let mut ports = Vec::new();
    for item in cursor.list()? {
        let Some(text) = item.words(expected) else {
            continue;
        };
        let (numbers, name) = text.split_once('/').unwrap_or((&text, "tcp"));
        match (range(numbers), protocol(name)) {
            (Some(range), Some(protocol)) => {
                ports.extend(range.map(|port| ExposedPort { port, protocol }));
            }
            _ => item.wrong(expected, ""),
        }
    }
    Some(ports)
}
