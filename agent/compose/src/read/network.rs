//! Networks: of the project, of a service, `network_mode`, `extra_hosts`, `dns`. Refuses other drivers than bridges, undeclared names,
//! addresses outside their subnet, subnets that overlap.

use super::{cursor::Cursor, fields::Fields, process::labels, process::pairs, project::Declared};
use crate::{
    error::ProblemKind,
    keys,
    model::{ExtraHost, HostAddress, Ipam, Network, NetworkAttachment, NetworkMode, Subnet},
    names::{HostName, NetworkName, ServiceName},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

pub(crate) fn network(cursor: Cursor<'_>) -> Option<Network> {
    if cursor.is_null() {
        return Some(Network::default());
    }
    let fields = Fields::open(cursor, keys::NETWORK)?;
    if let Some(driver) = fields.take("driver") {
        driver.choice(&[("bridge", ()), ("default", ())]);
    }
    let network = Network {
        name: fields.take("name").and_then(|name| name.parse()),
        internal: fields.flag("internal").unwrap_or(false),
        ipam: fields.take("ipam").and_then(ipam),
        labels: fields
            .take("labels")
            .and_then(|list| labels(&list))
            .unwrap_or_default(),
    };
    fields.finish();
    Some(network)
}

fn ipam(cursor: Cursor<'_>) -> Option<Ipam> {
    let fields = Fields::open(cursor, keys::IPAM)?;
    if let Some(driver) = fields.take("driver") {
        driver.choice(&[("default", ())]);
    }
    let config = fields.take("config").and_then(|config| {
        let items = config.list()?;
        if items.len() > 1 {
            config.report(
                ProblemKind::Value,
                "one subnet",
                items.len().to_string(),
                "keep the IPv4 one",
            );
        }
        ipam_config(items.into_iter().next()?)
    });
    fields.finish();
    config
}

fn ipam_config(cursor: Cursor<'_>) -> Option<Ipam> {
    let fields = Fields::open(cursor, keys::IPAM_CONFIG)?;
    let subnet: Option<Subnet> = fields.require("subnet", "").and_then(|subnet| subnet.parse());
    let gateway = fields.take("gateway").and_then(|gateway| {
        let address = ipv4(&gateway)?;
        if subnet.is_some_and(|subnet| subnet.first() != address) {
            gateway.clash(
                "the first address of the subnet",
                "leave it out, and choose the subnet so",
            );
        }
        Some(address)
    });
    fields.finish();
    Some(Ipam {
        subnet: subnet?,
        gateway,
    })
}

fn ipv4(cursor: &Cursor<'_>) -> Option<Ipv4Addr> {
    let address = cursor.words("an IPv4 address")?.parse().ok();
    if address.is_none() {
        cursor.wrong("an IPv4 address", "networks carry IPv4");
    }
    address
}

/// Networks of a service with the place of each.
pub(crate) type Attachments<'r> = Vec<(NetworkName, NetworkAttachment, Cursor<'r>)>;

pub(crate) fn attachments<'r>(cursor: &Cursor<'r>, declared: &Declared) -> Option<Attachments<'r>> {
    let mut attachments: Attachments<'r> = Vec::new();
    if cursor.is_map() {
        for (name, at) in cursor.named::<NetworkName>()? {
            let network = declared.networks.get(&name);
            let attachment = match at.is_null() {
                true => Some(NetworkAttachment::default()),
                false => attachment(at.clone(), network),
            };
            attachments.push((name, attachment.unwrap_or_default(), at));
        }
    } else {
        for at in cursor.list()? {
            let Some(name) = at.parse::<NetworkName>() else {
                continue;
            };
            if attachments.iter().any(|(known, _, _)| *known == name) {
                let actual = format!("{} again", at.shown());
                at.report(ProblemKind::Duplicate, "each network once", actual, "remove one");
                continue;
            }
            attachments.push((name, NetworkAttachment::default(), at));
        }
    }
    for (name, _, at) in &attachments {
        if name.as_str() != "default" && !declared.networks.contains_key(name) {
            let expected = "a network declared under the top-level `networks`";
            at.report(ProblemKind::Reference, expected, at.label(), "declare it there");
        }
    }
    Some(attachments)
}

fn attachment(cursor: Cursor<'_>, network: Option<&Network>) -> Option<NetworkAttachment> {
    let fields = Fields::open(cursor, keys::ATTACHMENT)?;
    let aliases = fields.take("aliases").and_then(|list| super::limits::set(&list));
    let address = fields.take("ipv4_address").and_then(|at| {
        let address = ipv4(&at)?;
        let ipam = network.and_then(|network| network.ipam.as_ref());
        let inside = ipam.is_some_and(|ipam| ipam.subnet.has_host(address) && address != ipam.subnet.first());
        if !inside {
            at.clash(
                "an address inside the network's `ipam` subnet, other than its gateway",
                "give the network `ipam: { config: [{ subnet: … }] }`",
            );
        }
        Some(address)
    });
    fields.finish();
    Some(NetworkAttachment {
        aliases: aliases.unwrap_or_default(),
        ipv4: address,
    })
}

pub(crate) fn mode(cursor: &Cursor<'_>) -> Option<NetworkMode> {
    let expected = "none, host or service:<name>";
    let text = cursor.words(expected)?;
    match text.as_str() {
        "none" => return Some(NetworkMode::None),
        "host" => return Some(NetworkMode::Host),
        _ => {}
    }
    let service = text
        .strip_prefix("service:")
        .and_then(|name| name.parse::<ServiceName>().ok());
    if service.is_none() {
        cursor.wrong(expected, "leave it out to be on the project's networks");
    }
    service.map(NetworkMode::Service)
}

pub(crate) fn extra_hosts(cursor: &Cursor<'_>) -> Option<Vec<ExtraHost>> {
    let expected = "NAME=ADDRESS or NAME:ADDRESS with an IP address or host-gateway";
    let mut hosts = Vec::new();
    // A mapping may give one name several addresses.
    let entries = match cursor.is_map() {
        true => cursor
            .entries()?
            .into_iter()
            .flat_map(|(name, at)| {
                let values = at.list_or_text().unwrap_or_default();
                values.into_iter().map(move |value| {
                    let text = value.text(expected);
                    (name.to_owned(), text, value)
                })
            })
            .collect(),
        false => pairs_of_hosts(cursor)?,
    };
    for (name, address, at) in entries {
        let address = address.and_then(|address| match address.as_str() {
            "host-gateway" => Some(HostAddress::Gateway),
            text => {
                let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
                bare.unwrap_or(text).parse::<IpAddr>().ok().map(HostAddress::Ip)
            }
        });
        match (name.parse::<HostName>(), address) {
            (Ok(name), Some(address)) => hosts.push(ExtraHost { name, address }),
            _ => at.wrong(expected, ""),
        }
    }
    Some(hosts)
}

type HostEntries<'r> = Vec<(String, Option<String>, Cursor<'r>)>;

fn pairs_of_hosts<'r>(cursor: &Cursor<'r>) -> Option<HostEntries<'r>> {
    let pairs = pairs(cursor, &['=', ':'])?.into_iter();
    Some(pairs.map(|pair| (pair.key, pair.value, pair.cursor)).collect())
}

pub(crate) fn dns(cursor: &Cursor<'_>) -> Option<Vec<IpAddr>> {
    let mut servers = Vec::new();
    for item in cursor.list_or_text()? {
        match item.words("an IP address").map(|text| text.parse()) {
            Some(Ok(address)) => servers.push(address),
            Some(Err(_)) => item.wrong("an IP address", ""),
            None => {}
        }
    }
    if servers.len() > 3 {
        cursor.report(
            ProblemKind::Bound,
            "at most 3 name servers",
            servers.len().to_string(),
            "",
        );
    }
    Some(servers)
}

pub(crate) fn dns_search(cursor: &Cursor<'_>) -> Option<Vec<HostName>> {
    let items = cursor.list_or_text()?;
    Some(items.iter().filter_map(Cursor::parse).collect())
}

/// Networks that would be in each other's way.
pub(crate) fn check_networks(networks: &BTreeMap<NetworkName, Network>, cursor: &Cursor<'_>) {
    let mut earlier: Vec<(&NetworkName, &Network)> = Vec::new();
    for (name, network) in networks {
        for (other_name, other) in &earlier {
            let subnets = network.ipam.as_ref().zip(other.ipam.as_ref());
            if subnets.is_some_and(|(a, b)| a.subnet.overlaps(&b.subnet)) {
                cursor.report(
                    ProblemKind::Reference,
                    "subnets that do not overlap",
                    format!("those of `{other_name}` and `{name}`"),
                    "",
                );
            }
            if network.name.is_some() && network.name == other.name {
                let actual = format!("`{other_name}` and `{name}` with one");
                cursor.report(ProblemKind::Reference, "a `name` of its own for each", actual, "");
            }
        }
        earlier.push((name, network));
    }
}
