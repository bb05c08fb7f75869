//! Files of the host a container sees: hosts, resolver, host name, secrets. Made anew for every start, on the run folder.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::blueprint::{Blueprint, Connection, MountPlan};
use crate::config::RuntimeConfig;
use crate::error::RuntimeError;
use crate::files;
use crate::network::Networks;
use crate::network::manager::Joined;
use crate::spec::SiteFile;

const MAX_HOST_FILE: u64 = 1024 * 1024;

/// Folder of one container's files.
pub(super) fn folder(config: &RuntimeConfig, id: &str) -> PathBuf {
    config.run.join("containers").join(id)
}

/// Writes the files; gives what to mount where.
pub(super) fn write(
    config: &RuntimeConfig,
    blueprint: &Blueprint,
    networks: &Networks,
) -> Result<Vec<SiteFile>, RuntimeError> {
    let folder = folder(config, &blueprint.id);
    files::remove_folder(&folder).map_err(RuntimeError::io(&folder, "removing old files"))?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(RuntimeError::io(&folder, "making a folder"))?;
    let texts = [
        ("hosts", hosts(blueprint, networks, &[])),
        ("hostname", format!("{}\n", blueprint.hostname)),
        ("resolv.conf", resolver(config, blueprint, networks)?),
    ];
    let mut all = Vec::new();
    for (name, text) in texts {
        let source = folder.join(name);
        create(&source, text.as_bytes(), 0o644).map_err(RuntimeError::io(&source, "writing"))?;
        all.push(SiteFile {
            source,
            target: format!("/etc/{name}"),
            // G14: they lie in the guest's memory, which a container that writes to them without end would fill.
            read_only: true,
        });
    }
    for plan in &blueprint.mounts {
        let MountPlan::File {
            name,
            target,
            content,
            uid,
            gid,
            mode,
        } = plan
        else {
            continue;
        };
        let source = folder.join(name);
        let failed = |error| RuntimeError::io(&source, "writing a secret or config")(error);
        create(&source, &content.0, *mode).map_err(failed)?;
        std::os::unix::fs::chown(&source, Some(*uid), Some(*gid)).map_err(failed)?;
        all.push(SiteFile {
            source,
            target: target.clone(),
            read_only: true,
        });
    }
    Ok(all)
}

/// Adds a container's own addresses to its hosts file, in place: the file is mounted already.
pub(super) fn write_addresses(
    config: &RuntimeConfig,
    blueprint: &Blueprint,
    networks: &Networks,
    joined: &[Joined],
) -> Result<(), RuntimeError> {
    let path = folder(config, &blueprint.id).join("hosts");
    std::fs::write(&path, hosts(blueprint, networks, joined)).map_err(RuntimeError::io(&path, "writing"))
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    // The container's user reads it; the folder above is closed to others on the host.
    file.set_permissions(PermissionsExt::from_mode(mode))
}

fn hosts(blueprint: &Blueprint, networks: &Networks, joined: &[Joined]) -> String {
    let (mut text, gateway) = match &blueprint.connection {
        Connection::Host => {
            let bytes = files::read_bounded(Path::new("/etc/hosts"), MAX_HOST_FILE).unwrap_or_default();
            (
                String::from_utf8_lossy(&bytes).into_owned(),
                Some(Ipv4Addr::LOCALHOST),
            )
        }
        _ => {
            let text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
            (text, own_resolver(blueprint, networks))
        }
    };
    for (name, address) in &blueprint.extra_hosts {
        if let Some(address) = address.or(gateway.map(IpAddr::V4)) {
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    for address in joined.iter().filter_map(|one| one.address) {
        let _ = match &blueprint.domainname {
            Some(domain) => writeln!(text, "{address}\t{0}.{domain} {0}", blueprint.hostname),
            None => writeln!(text, "{address}\t{}", blueprint.hostname),
        };
    }
    text
}

/// The project's resolver, which is also the gateway, as this container reaches it.
fn own_resolver(blueprint: &Blueprint, networks: &Networks) -> Option<Ipv4Addr> {
    match &blueprint.connection {
        Connection::Bridges(wishes) => networks.resolver(wishes),
        Connection::Of(other) => networks.resolver_of(other),
        Connection::Alone | Connection::Host => None,
    }
}

fn resolver(
    config: &RuntimeConfig,
    blueprint: &Blueprint,
    networks: &Networks,
) -> Result<String, RuntimeError> {
    let mut text = String::new();
    let own = own_resolver(blueprint, networks);
    if let Some(resolver) = own {
        let _ = writeln!(text, "nameserver {resolver}");
    } else if !blueprint.dns.is_empty() {
        for server in &blueprint.dns {
            let _ = writeln!(text, "nameserver {server}");
        }
    } else if matches!(blueprint.connection, Connection::Host) {
        let path = &config.resolv_conf;
        let bytes = files::read_bounded(
            &path.canonicalize().unwrap_or_else(|_| path.clone()),
            MAX_HOST_FILE,
        );
        return match bytes {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(text),
            Err(error) => Err(RuntimeError::io(path, "reading")(error)),
        };
    }
    if !blueprint.dns_search.is_empty() {
        let _ = writeln!(text, "search {}", blueprint.dns_search.join(" "));
    }
    if own.is_some() {
        text.push_str("options ndots:0\n");
    }
    Ok(text)
}
