//! The project's networks over time: made when first needed, joined and left by containers, removed with the project. What a
//! container holds is on file before it is made, so that it can be taken away after a crash at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cni::{Attachment, Plugins, PublishedPort};
use super::dns::{Client, DnsServer, Zone};
use super::subnet::{Subnet, choose, default_interface, routes};
use super::{NetworkError, firewall, link};
use crate::config::RuntimeConfig;
use crate::files;

const ROUTES: &str = "/proc/net/route";

/// A network of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkWish {
    pub(crate) name: String,
    /// No way out, no published ports.
    pub(crate) internal: bool,
    /// A subnet the project insists on.
    pub(crate) subnet: Option<Subnet>,
}

/// A container's place on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct JoinWish {
    pub(crate) network: String,
    pub(crate) address: Option<Ipv4Addr>,
    /// Names others on the network find it under.
    pub(crate) names: BTreeSet<String>,
}

/// Everything a container asks of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Wishes {
    /// Networks, the one with the default route first.
    pub(crate) joins: Vec<JoinWish>,
    pub(crate) ports: Vec<PublishedPort>,
    /// Resolvers of its own.
    pub(crate) upstreams: Vec<IpAddr>,
}

/// A container's interface, made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joined {
    pub(crate) attachment: Attachment,
    /// `None` until the plugin answered.
    pub(crate) address: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkState {
    bridge: String,
    subnet: Subnet,
}

#[derive(Clone, Debug)]
struct Network {
    bridge: String,
    subnet: Subnet,
    internal: bool,
}

/// Networks of one project.
#[derive(Debug)]
pub(crate) struct Networks {
    plugins: Plugins,
    dns: DnsServer,
    states: PathBuf,
    joined: PathBuf,
    mtu: Option<u32>,
    networks: BTreeMap<String, Network>,
    live: Mutex<BTreeMap<String, (Wishes, Vec<Joined>)>>,
    /// Addresses containers had last, by container and network.
    had: Mutex<BTreeMap<(String, String), Ipv4Addr>>,
}

impl Networks {
    /// Chooses addresses for the networks named and sets their rules. Bridges are made when the first container joins.
    pub(crate) async fn open(config: &RuntimeConfig, wishes: &[NetworkWish]) -> Result<Self, NetworkError> {
        let text = std::fs::read_to_string(ROUTES).map_err(NetworkError::io(ROUTES))?;
        let mtu = default_interface(&text).and_then(link::mtu);
        let states = config.data.join("networks");
        let mut taken = routes(&text);
        let mut networks = BTreeMap::new();
        for wish in wishes {
            let state = state_of(config, &states, wish, &taken)?;
            taken.push(state.subnet);
            firewall::set(&state.bridge, state.subnet, wish.internal).await?;
            let NetworkState { bridge, subnet } = state;
            networks.insert(
                wish.name.clone(),
                Network {
                    bridge,
                    subnet,
                    internal: wish.internal,
                },
            );
        }
        let this = Self {
            plugins: Plugins::new(config.cni_bin.clone(), config.run.join("leases")),
            dns: DnsServer::new(config.resolv_conf.clone()),
            states,
            joined: config.run.join("joined"),
            mtu,
            networks,
            live: Mutex::default(),
            had: Mutex::default(),
        };
        Ok(this)
    }

    /// The resolver a container on these networks uses.
    pub(crate) fn resolver(&self, wishes: &Wishes) -> Option<Ipv4Addr> {
        let first = wishes.joins.first()?;
        self.networks
            .get(&first.network)
            .map(|network| network.subnet.gateway())
    }

    /// The resolver a running container uses.
    pub(crate) fn resolver_of(&self, container: &str) -> Option<Ipv4Addr> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(container).and_then(|(wishes, _)| self.resolver(wishes))
    }

    /// Addresses of a running container, by network.
    pub(crate) fn addresses(&self, container: &str) -> BTreeMap<String, Ipv4Addr> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = live
            .get(container)
            .map(|(_, joined)| joined.as_slice())
            .unwrap_or_default();
        joined
            .iter()
            .filter_map(|one| Some((one.attachment.network.clone(), one.address?)))
            .collect()
    }

    /// Gives a container its interfaces.
    pub(crate) async fn join(
        &self,
        container: &str,
        wishes: &Wishes,
        netns: &Path,
    ) -> Result<Vec<Joined>, NetworkError> {
        for port in &wishes.ports {
            check_free(port)?;
        }
        let mut joined = self.intended(container, wishes)?;
        self.save(container, &joined)?;
        for index in 0..joined.len() {
            let Some(one) = joined.get_mut(index) else { break };
            one.address = Some(self.add(&one.attachment, netns).await?);
            let gateway = one.attachment.subnet.gateway();
            self.dns
                .listen(gateway)
                .await
                .map_err(|source| NetworkError::NotRun {
                    program: format!("the resolver on {gateway}:53"),
                    source,
                })?;
        }
        self.save(container, &joined)?;
        self.publish(container, Some((wishes.clone(), joined.clone())));
        Ok(joined)
    }

    /// Makes an interface, with the address the container had before if it can still be had: whoever is just connecting to a
    /// service that is started again would otherwise wait for an address nobody answers at, for up to a minute.
    async fn add(&self, attachment: &Attachment, netns: &Path) -> Result<Ipv4Addr, NetworkError> {
        let key = (attachment.container.clone(), attachment.network.clone());
        let had = |address| {
            let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
            match address {
                Some(address) => had.insert(key.clone(), address),
                None => had.get(&key).copied(),
            }
        };
        let before = had(None).filter(|address| attachment.subnet.contains(*address));
        let address = match before {
            Some(_) if attachment.address.is_none() => {
                let again = Attachment {
                    address: before,
                    ..attachment.clone()
                };
                match self.plugins.add(&again, netns).await {
                    Ok(address) => address,
                    Err(error) => {
                        tracing::debug!(container = attachment.container, %error, "another address");
                        self.plugins.delete(&again, Some(netns)).await?;
                        self.plugins.add(attachment, netns).await?
                    }
                }
            }
            _ => self.plugins.add(attachment, netns).await?,
        };
        had(Some(address));
        Ok(address)
    }

    /// Takes over a running container's interfaces from its file.
    pub(crate) async fn adopt(&self, container: &str, wishes: &Wishes) -> Result<Vec<Joined>, NetworkError> {
        let joined = self.load(container)?;
        for one in &joined {
            // The bridge is there as long as the container is; a resolver that cannot listen is retried by its next start.
            if let Err(error) = self.dns.listen(one.attachment.subnet.gateway()).await {
                tracing::warn!(network = one.attachment.network, %error, "the resolver cannot listen");
            }
        }
        self.publish(container, Some((wishes.clone(), joined.clone())));
        Ok(joined)
    }

    /// Takes a container's interfaces away, as far as they are there.
    pub(crate) async fn leave(&self, container: &str, netns: Option<&Path>) -> Result<(), NetworkError> {
        self.publish(container, None);
        for one in self.load(container)? {
            self.plugins.delete(&one.attachment, netns).await?;
        }
        files::remove(&self.file(container)).map_err(NetworkError::io(self.file(container)))
    }

    /// Removes every network this project ever had here.
    pub(crate) async fn remove_all(&self) -> Result<(), NetworkError> {
        let entries = match std::fs::read_dir(&self.states) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(NetworkError::io(&self.states)(error)),
        };
        for entry in entries {
            let path = entry.map_err(NetworkError::io(&self.states))?.path();
            if let Some(state) = files::read_json::<NetworkState>(&path).map_err(NetworkError::io(&path))? {
                firewall::clear(&state.bridge).await?;
                link::remove(&state.bridge).map_err(NetworkError::io(&path))?;
            }
            files::remove(&path).map_err(NetworkError::io(&path))?;
        }
        Ok(())
    }

    fn intended(&self, container: &str, wishes: &Wishes) -> Result<Vec<Joined>, NetworkError> {
        let mut ports = Some(wishes.ports.clone());
        let mut default_route = true;
        let mut joined = Vec::new();
        for (index, join) in wishes.joins.iter().enumerate() {
            let network = self
                .networks
                .get(&join.network)
                .ok_or_else(|| NetworkError::Malformed {
                    what: format!("network of {container}"),
                    expected: "a network of the project",
                    got: join.network.clone(),
                })?;
            if let Some(address) = join.address.filter(|address| !network.subnet.contains(*address)) {
                return Err(NetworkError::Malformed {
                    what: format!("address of {container} on {}", join.network),
                    expected: "an address of the network's subnet",
                    got: format!("{address}, subnet {}", network.subnet),
                });
            }
            let open = !network.internal;
            let attachment = Attachment {
                network: join.network.clone(),
                container: container.to_owned(),
                interface: format!("eth{index}"),
                bridge: network.bridge.clone(),
                subnet: network.subnet,
                address: join.address,
                default_route: open && default_route,
                mtu: self.mtu,
                ports: if open {
                    ports.take().unwrap_or_default()
                } else {
                    Vec::new()
                },
            };
            default_route &= !open;
            joined.push(Joined {
                attachment,
                address: None,
            });
        }
        Ok(joined)
    }

    fn publish(&self, container: &str, entry: Option<(Wishes, Vec<Joined>)>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        match entry {
            Some(entry) => live.insert(container.to_owned(), entry),
            None => live.remove(container),
        };
        self.dns.set(zone_of(&live));
    }

    fn file(&self, container: &str) -> PathBuf {
        self.joined.join(format!("{container}.json"))
    }

    fn load(&self, container: &str) -> Result<Vec<Joined>, NetworkError> {
        let path = self.file(container);
        Ok(files::read_json(&path)
            .map_err(NetworkError::io(&path))?
            .unwrap_or_default())
    }

    fn save(&self, container: &str, joined: &[Joined]) -> Result<(), NetworkError> {
        let path = self.file(container);
        files::write_json(&path, &joined).map_err(NetworkError::io(&path))
    }
}

fn zone_of(live: &BTreeMap<String, (Wishes, Vec<Joined>)>) -> Zone {
    let mut zone = Zone::default();
    for (wishes, joined) in live.values() {
        let networks: BTreeSet<String> = joined.iter().map(|one| one.attachment.network.clone()).collect();
        for one in joined {
            let Some(address) = one.address else { continue };
            let client = Client {
                networks: networks.clone(),
                external: joined.iter().any(|one| one.attachment.default_route),
                upstreams: wishes.upstreams.clone(),
            };
            zone.clients.insert(address, client);
            let network = &one.attachment.network;
            let join = wishes.joins.iter().find(|join| join.network == *network);
            for name in join.iter().flat_map(|join| &join.names) {
                zone.add(network, name, address);
            }
        }
    }
    zone
}

fn state_of(
    config: &RuntimeConfig,
    states: &Path,
    wish: &NetworkWish,
    taken: &[Subnet],
) -> Result<NetworkState, NetworkError> {
    let path = states.join(format!("{}.json", wish.name));
    let seed = format!("{}\n{}\n{}", config.namespace, config.data.display(), wish.name);
    let digest = hex::encode(Sha256::digest(seed.as_bytes()));
    let bridge = format!(
        "{}{}",
        firewall::BRIDGE_PREFIX,
        digest.get(..10).unwrap_or_default()
    );
    let known: Option<NetworkState> = files::read_json(&path).map_err(NetworkError::io(&path))?;
    // The name goes into rules of root's: it is the one that follows from the project, whatever a file on the disk says.
    if let Some(known) = known.as_ref().filter(|known| known.bridge == bridge) {
        let wanted = wish.subnet.is_none_or(|subnet| subnet == known.subnet);
        // Our own bridge's route covers it when it is up; when it is not, another may have taken the block meanwhile.
        if wanted && (link::exists(&known.bridge) || !taken.contains(&known.subnet)) {
            return Ok(known.clone());
        }
    }
    let subnet = match wish.subnet {
        Some(subnet) => subnet,
        None => choose(&config.subnets, &seed, taken)?,
    };
    if known.is_some() {
        link::remove(&bridge).map_err(NetworkError::io(&path))?;
    }
    let state = NetworkState { bridge, subnet };
    files::write_json(&path, &state).map_err(NetworkError::io(&path))?;
    Ok(state)
}

fn check_free(port: &PublishedPort) -> Result<(), NetworkError> {
    let ip = IpAddr::V4(port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED));
    let address = SocketAddr::new(ip, port.host);
    let bound = match port.udp {
        true => std::net::UdpSocket::bind(address).map(drop),
        false => std::net::TcpListener::bind(address).map(drop),
    };
    let protocol = if port.udp { "udp" } else { "tcp" };
    bound.map_err(|source| NetworkError::PortTaken {
        ip,
        port: port.host,
        protocol,
        source,
    })
}
