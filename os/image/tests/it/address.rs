//! The script of `os/files` that takes what DHCP says, run in a network of its own: which address the guest has after each event.

use crate::opened::os;
use std::process::Command;

/// The addresses, routes and resolver configuration after these steps, each a line of shell.
fn after(steps: &str) -> String {
    let script = os().join("files/root/usr/lib/kedge/dhcp");
    let all = format!(
        "set -e; mount -t tmpfs run /run; ip link add eth0 type veth peer name host0; ip link set host0 up; ip link set eth0 up\n\
         dhcp() {{ ip=$2 mask=24 router=10.0.2.2 dns='10.0.2.3 10.0.2.4' interface=eth0 /bin/busybox sh {} $1; }}\n{steps}\n\
         ip -4 -o address show dev eth0; ip -4 route; cat /run/resolv.conf",
        script.display()
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c", &all])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn a_lease_is_taken_renewed_moved_and_given_up() {
    let bound = "dhcp deconfig; dhcp bound 10.0.2.15";
    let said = after(bound);
    assert_eq!(said.matches("inet 10.0.2.15/24").count(), 1, "{said}");
    assert!(said.contains("default via 10.0.2.2 dev eth0"), "{said}");
    assert!(
        said.ends_with("nameserver 10.0.2.3\nnameserver 10.0.2.4\n"),
        "{said}"
    );

    // A route that goes with the address shows that a renewed lease left it alone.
    let kept = "ip route add 192.0.2.0/24 via 10.0.2.9 dev eth0";
    let said = after(&format!("{bound}; {kept}; dhcp renew 10.0.2.15"));
    assert!(said.contains("192.0.2.0/24 via 10.0.2.9"), "{said}");
    assert_eq!(said.matches("inet 10.0.2.15/24").count(), 1, "{said}");

    let said = after(&format!("{bound}; {kept}; dhcp renew 10.0.2.16"));
    assert!(
        said.contains("inet 10.0.2.16/24") && !said.contains("10.0.2.15"),
        "{said}"
    );
    assert!(said.contains("default via 10.0.2.2 dev eth0"), "{said}");

    let said = after(&format!("{bound}; dhcp leasefail; dhcp deconfig"));
    assert!(!said.contains("inet ") && !said.contains("default"), "{said}");
}
