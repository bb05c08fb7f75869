//! Packet rules of one network, as chains of its own, set in one transaction: traffic stays inside an internal network, two
//! networks do not meet, what leaves is masqueraded, containers reach their resolver. Setting them again changes nothing.

use std::path::Path;

use super::NetworkError;
use super::program::{run, words};
use super::subnet::Subnet;

/// Every bridge of this runtime begins so; a rule can name them all.
pub(crate) const BRIDGE_PREFIX: &str = "kdg";

/// Where chains hang: table, built-in chain, prefix of ours.
const HOOKS: [(&str, &str, &str); 3] = [
    ("filter", "FORWARD", "KDGF-"),
    ("filter", "INPUT", "KDGI-"),
    ("nat", "POSTROUTING", "KDGN-"),
];

/// Sets the rules of a network.
pub(crate) async fn set(bridge: &str, subnet: Subnet, internal: bool) -> Result<(), NetworkError> {
    restore(&rules(bridge, subnet, internal)).await?;
    for (table, hook, prefix) in HOOKS {
        let chain = format!("{prefix}{}", tag(bridge));
        if !iptables(&["-t", table, "-C", hook, "-j", &chain]).await?.0 {
            let (done, message) = iptables(&["-t", table, "-I", hook, "1", "-j", &chain]).await?;
            if !done {
                return Err(NetworkError::Program {
                    program: "iptables -I".to_owned(),
                    message,
                });
            }
        }
    }
    Ok(())
}

/// Takes the rules of a network away; what is not there is fine.
pub(crate) async fn clear(bridge: &str) -> Result<(), NetworkError> {
    for (table, hook, prefix) in HOOKS {
        let chain = format!("{prefix}{}", tag(bridge));
        while iptables(&["-t", table, "-D", hook, "-j", &chain]).await?.0 {}
        for command in ["-F", "-X"] {
            iptables(&["-t", table, command, &chain]).await?;
        }
    }
    Ok(())
}

fn tag(bridge: &str) -> &str {
    bridge.strip_prefix(BRIDGE_PREFIX).unwrap_or(bridge)
}

fn rules(bridge: &str, subnet: Subnet, internal: bool) -> String {
    let tag = tag(bridge);
    let mut lines = vec![
        "*filter".to_owned(),
        format!(":KDGF-{tag} - [0:0]"),
        format!(":KDGI-{tag} - [0:0]"),
    ];
    let mut forward = |rule: String| lines.push(format!("-A KDGF-{tag} {rule}"));
    forward(format!("-i {bridge} -o {bridge} -j ACCEPT"));
    if internal {
        // A container with NET_ADMIN could give itself a route out.
        forward(format!("-i {bridge} -j DROP"));
        forward(format!("-o {bridge} -j DROP"));
    } else {
        forward(format!(
            "-i {bridge} -o {BRIDGE_PREFIX}+ -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        ));
        forward(format!(
            "-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
        ));
        // G15: the guest forwards, so whoever routes to the network would reach every port, published or not.
        forward(format!("-o {bridge} -j DROP"));
        forward(format!("-i {bridge} ! -o {BRIDGE_PREFIX}+ -j ACCEPT"));
    }
    for protocol in ["udp", "tcp"] {
        lines.push(format!(
            "-A KDGI-{tag} -i {bridge} -d {} -p {protocol} --dport 53 -j ACCEPT",
            subnet.gateway()
        ));
    }
    if internal {
        // G15: the gateway is the guest itself, with whatever listens there.
        for rule in ["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-j DROP"] {
            lines.push(format!("-A KDGI-{tag} -i {bridge} {rule}"));
        }
    }
    lines.extend([
        "COMMIT".to_owned(),
        "*nat".to_owned(),
        format!(":KDGN-{tag} - [0:0]"),
    ]);
    if !internal {
        lines.push(format!("-A KDGN-{tag} -s {subnet} ! -o {bridge} -j MASQUERADE"));
    }
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

async fn restore(rules: &str) -> Result<(), NetworkError> {
    let program = Path::new("iptables-restore");
    let answer = run(program, &["--noflush", "-w", "20"], &[], rules.as_bytes()).await?;
    if answer.success {
        return Ok(());
    }
    Err(NetworkError::Program {
        program: "iptables-restore".to_owned(),
        message: words(&answer.stderr),
    })
}

async fn iptables(args: &[&str]) -> Result<(bool, String), NetworkError> {
    let args: Vec<&str> = ["-w", "20"].iter().chain(args).copied().collect();
    let answer = run(Path::new("iptables"), &args, &[], &[]).await?;
    Ok((answer.success, words(&answer.stderr)))
}
