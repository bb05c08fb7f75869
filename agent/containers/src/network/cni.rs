//! CNI plugins, run as the specification (1.0) says: configuration on standard input, the rest in the environment, a result
//! or an error object on standard output. An answer of another form is refused.

use std::ffi::OsStr;
use std::iter;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::NetworkError;
use super::link;
use super::program::{run, words};
use super::subnet::Subnet;

const VERSION: &str = "1.0.0";

/// One interface of one container: what it takes to make it, and to take it away again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attachment {
    /// Network of the compose file.
    pub(crate) network: String,
    pub(crate) container: String,
    /// Interface in the container.
    pub(crate) interface: String,
    pub(crate) bridge: String,
    pub(crate) subnet: Subnet,
    pub(crate) address: Option<Ipv4Addr>,
    /// Whether packets for elsewhere leave through this interface.
    pub(crate) default_route: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) ports: Vec<PublishedPort>,
}

impl Attachment {
    /// Hardware address, the same at each start: neighbours remember for up to a minute which one an address has.
    fn mac(&self) -> String {
        let digest = Sha256::digest(format!("{}\n{}", self.bridge, self.container).as_bytes());
        let bytes = digest.iter().take(5).map(|byte| format!("{byte:02x}"));
        // 02: for one machine, locally administered (IEEE 802, 8.2).
        iter::once("02".to_owned())
            .chain(bytes)
            .collect::<Vec<_>>()
            .join(":")
    }
}

/// A port of the host that leads to one of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    /// Address on the host; all of them when `None`.
    pub host_ip: Option<Ipv4Addr>,
    /// Port on the host.
    pub host: u16,
    /// Port in the container.
    pub container: u16,
    /// Whether it is UDP, not TCP.
    pub udp: bool,
}

/// Runs plugins.
#[derive(Clone, Debug)]
pub(crate) struct Plugins {
    folder: PathBuf,
    /// Folder with the leases of `host-local`.
    leases: PathBuf,
}

#[derive(Deserialize)]
struct CniResult {
    #[serde(default)]
    ips: Vec<CniIp>,
}

#[derive(Deserialize)]
struct CniIp {
    address: String,
}

#[derive(Deserialize)]
struct CniError {
    code: u32,
    msg: String,
    #[serde(default)]
    details: String,
}

impl Plugins {
    pub(crate) fn new(folder: PathBuf, leases: PathBuf) -> Self {
        Self { folder, leases }
    }

    /// Adds the interface to a network namespace; gives its address.
    pub(crate) async fn add(&self, attachment: &Attachment, netns: &Path) -> Result<Ipv4Addr, NetworkError> {
        link::remove_without_address(&attachment.bridge).map_err(NetworkError::io(&attachment.bridge))?;
        let bridge = self.bridge_config(attachment);
        let result = self
            .run("bridge", "ADD", attachment, Some(netns), &bridge)
            .await?;
        let address = address_of(&result)?;
        if !attachment.ports.is_empty() {
            let mut portmap = portmap_config(attachment);
            if let Some(object) = portmap.as_object_mut() {
                object.insert("prevResult".to_owned(), result);
            }
            self.run("portmap", "ADD", attachment, Some(netns), &portmap)
                .await?;
        }
        Ok(address)
    }

    /// Takes the interface away. The namespace may be gone already, and nothing of it need be there.
    pub(crate) async fn delete(
        &self,
        attachment: &Attachment,
        netns: Option<&Path>,
    ) -> Result<(), NetworkError> {
        if !attachment.ports.is_empty() {
            self.run("portmap", "DEL", attachment, netns, &portmap_config(attachment))
                .await?;
        }
        self.run(
            "bridge",
            "DEL",
            attachment,
            netns,
            &self.bridge_config(attachment),
        )
        .await?;
        Ok(())
    }

    fn bridge_config(&self, attachment: &Attachment) -> Value {
        let routes = if attachment.default_route {
            json!([{ "dst": "0.0.0.0/0" }])
        } else {
            json!([])
        };
        json!({
            "cniVersion": VERSION,
            "name": attachment.bridge,
            "type": "bridge",
            "bridge": attachment.bridge,
            "isGateway": true,
            "isDefaultGateway": false,
            "ipMasq": false,
            "hairpinMode": true,
            "mtu": attachment.mtu.unwrap_or(0),
            "ipam": {
                "type": "host-local",
                "dataDir": self.leases,
                "ranges": [[{
                    "subnet": attachment.subnet.to_string(),
                    "rangeStart": attachment.subnet.host(2),
                    "gateway": attachment.subnet.gateway(),
                }]],
                "routes": routes,
            },
        })
    }

    async fn run(
        &self,
        plugin: &str,
        command: &str,
        attachment: &Attachment,
        netns: Option<&Path>,
        config: &Value,
    ) -> Result<Value, NetworkError> {
        let program = self.folder.join(plugin);
        let mut args = format!("IgnoreUnknown=1;MAC={}", attachment.mac());
        if let Some(address) = attachment.address {
            args.push_str(&format!(";IP={address}"));
        }
        let environment = [
            ("CNI_COMMAND", OsStr::new(command)),
            ("CNI_CONTAINERID", OsStr::new(&attachment.container)),
            ("CNI_NETNS", netns.map_or(OsStr::new(""), Path::as_os_str)),
            ("CNI_IFNAME", OsStr::new(&attachment.interface)),
            ("CNI_PATH", self.folder.as_os_str()),
            ("CNI_ARGS", OsStr::new(&args)),
        ];
        let answer = run(&program, &[], &environment, config.to_string().as_bytes()).await?;
        if !answer.success {
            let message = match serde_json::from_slice::<CniError>(&answer.stdout) {
                Ok(error) => {
                    words(format!("{} {} (code {})", error.msg, error.details, error.code).as_bytes())
                }
                Err(_) => words(&[answer.stdout, b" ".to_vec(), answer.stderr].concat()),
            };
            return Err(NetworkError::Program {
                program: format!("{plugin} {command}"),
                message,
            });
        }
        if command == "DEL" {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.stdout).map_err(|_| NetworkError::Answer {
            program: plugin.to_owned(),
            expected: "a JSON object",
            got: words(&answer.stdout),
        })
    }
}

fn portmap_config(attachment: &Attachment) -> Value {
    let ports: Vec<Value> = attachment
        .ports
        .iter()
        .map(|port| {
            json!({
                "hostPort": port.host,
                "containerPort": port.container,
                "protocol": if port.udp { "udp" } else { "tcp" },
                "hostIP": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            })
        })
        .collect();
    json!({
        "cniVersion": VERSION,
        "name": attachment.bridge,
        "type": "portmap",
        "snat": true,
        "runtimeConfig": { "portMappings": ports },
    })
}

fn address_of(result: &Value) -> Result<Ipv4Addr, NetworkError> {
    let parsed = CniResult::deserialize(result).ok();
    let address = parsed.and_then(|result| {
        let text = result.ips.into_iter().next()?.address;
        text.split('/').next()?.parse().ok()
    });
    address.ok_or_else(|| NetworkError::Answer {
        program: "bridge".to_owned(),
        expected: "a result with an IPv4 address",
        got: words(result.to_string().as_bytes()),
    })
}
