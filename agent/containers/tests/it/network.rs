//! Networks: names, published ports, isolation, modes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use compose_file::{Network, NetworkAttachment, NetworkMode, PortMapping, Protocol, Service};
use container_lab::free_port;
use container_runtime::{FailureKind, RuntimeError};

use crate::lab::{LIMIT, Scene, exited, lines, one, project, service};

fn publish(service: &mut Service, host: u16, container: u16) {
    service.ports.push(PortMapping {
        host_ip: None,
        host,
        container,
        protocol: Protocol::Tcp,
    });
}

fn http(script: &str) -> Service {
    service(&format!(
        "mkdir -p /www; {script} > /www/index.html; exec httpd -f -p 80 -h /www"
    ))
}

fn get(address: Ipv4Addr, port: u16) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = TcpStream::connect((address, port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        match answer {
            Ok(text) if !text.is_empty() => return text,
            other => assert!(Instant::now() < deadline, "{address}:{port}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_ports_are_reached_from_loopback_and_the_container_itself() {
    let scene = Scene::new().await;
    let port = free_port().unwrap();
    let mut web = http("echo hello from web");
    publish(&mut web, port, 80);
    let running = scene.up(&project([("web", web.clone())])).await.unwrap();
    assert!(get(Ipv4Addr::LOCALHOST, port).contains("hello from web"));
    let address = *running.containers()[0].addresses.get("default").unwrap();
    assert!(get(address, 80).contains("hello from web"));

    let other = Scene::new().await;
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let mut unlucky = http("true");
    publish(&mut unlucky, taken.local_addr().unwrap().port(), 80);
    let error = other.up(&project([("unlucky", unlucky)])).await.unwrap_err();
    let RuntimeError::Container(failure) = error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(&failure.how, FailureKind::NotStarted { reason } if reason.contains("cannot be published"))
    );
    other.down().await;
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_find_each_other_by_name_and_alias_on_shared_networks_only() {
    let scene = Scene::new().await;
    let mut db = http("echo rows");
    db.networks.clear();
    db.networks.insert(
        "back".parse().unwrap(),
        NetworkAttachment {
            aliases: vec!["store".parse().unwrap()],
            ipv4: None,
        },
    );
    let mut web = service(
        "address() { nslookup -type=a $1 | awk '/^Address: / {print $2}'; }; \
         page() { printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $(address $1) 80 2> /dev/null | tail -n 1; }; \
         until [ \"$(page db)\" = rows ]; do sleep 0.05; done; \
         for name in db store lab-db-1; do page $name; done; \
         nslookup nobody; ip route; cat /etc/resolv.conf; ip -o addr",
    );
    web.networks
        .insert("back".parse().unwrap(), NetworkAttachment::default());
    let mut stranger = service(
        "nslookup -type=a db | grep -q NXDOMAIN && echo unknown; ping -c 1 -W 1 $DB_ADDRESS > /dev/null || echo unreachable",
    );
    let mut all = project([("db", db), ("web", web)]);
    all.networks.insert(
        "back".parse().unwrap(),
        Network {
            internal: true,
            ..Network::default()
        },
    );
    let running = scene.up(&all).await.unwrap();
    assert_eq!(exited(&running, "web").await.exit_code, Some(0));
    let seen = lines(&running, "web").await;
    assert_eq!(seen[..3], ["rows", "rows", "rows"], "{seen:#?}");
    let text = seen.join("\n");
    assert!(
        text.contains("NXDOMAIN") && text.contains("default via"),
        "{text}"
    );
    assert_eq!(text.matches("nameserver").count(), 1, "{text}");

    let address = one(&running.containers(), "db")
        .addresses
        .get("back")
        .unwrap()
        .to_string();
    stranger
        .environment
        .insert("DB_ADDRESS".to_owned(), Some(address));
    drop(running);
    all.services.insert("stranger".parse().unwrap(), stranger);
    let running = scene.up(&all).await.unwrap();
    exited(&running, "stranger").await;
    assert_eq!(
        lines(&running, "stranger")
            .await
            .iter()
            .filter(|line| line.starts_with("un"))
            .count(),
        2
    );
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn network_modes_share_or_do_without() {
    let scene = Scene::new().await;
    let script = "ip -o addr | grep -v inet6 | awk '{print $2}' | sort | tr '\\n' ' '; echo";
    let mut alone = service(script);
    let mut host = service(
        "test -d /sys/class/net && ip -o link | wc -l; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 127.0.0.1 $PORT | tail -n 1",
    );
    let mut beside = service(
        "for a in 127.0.0.1 $(nslookup -type=a web | awk '/^Address: / {print $2}'); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $a 80 | tail -n 1; done; ip -o addr | grep eth0",
    );
    for one in [&mut alone, &mut host, &mut beside] {
        one.networks.clear();
    }
    alone.network_mode = NetworkMode::None;
    host.network_mode = NetworkMode::Host;
    beside.network_mode = NetworkMode::Service("web".parse().unwrap());
    let port = free_port().unwrap();
    host.environment.insert("PORT".to_owned(), Some(port.to_string()));
    let mut web = http("echo web");
    publish(&mut web, port, 80);
    for one in [&mut host, &mut beside] {
        one.depends_on.insert("web".parse().unwrap(), Default::default());
        one.command = Some(vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            format!("sleep 0.5; {}", one.command.as_ref().unwrap()[2]),
        ]);
    }
    let all = project([("alone", alone), ("beside", beside), ("host", host), ("web", web)]);
    let running = scene.up(&all).await.unwrap();
    for service in ["alone", "beside", "host"] {
        exited(&running, service).await;
    }
    assert_eq!(lines(&running, "alone").await, ["lo "]);
    let beside = lines(&running, "beside").await;
    assert_eq!(beside[..2], ["web", "web"], "{beside:?}");
    assert_eq!(lines(&running, "host").await.last().unwrap(), "web");
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}

fn ip(words: &str) {
    let done = Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Another machine beside this one: a network namespace, with this machine as its router.
struct Neighbour(String);

impl Neighbour {
    fn new() -> Self {
        let name = format!("kdn{}", std::process::id());
        let neighbour = Self(name.clone());
        let net = 200 + std::process::id() % 50;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
        ip(&format!("addr add 198.18.{net}.1/30 dev {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} addr add 198.18.{net}.2/30 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} route add default via 198.18.{net}.1"));
        neighbour
    }

    /// What an HTTP server answers it, empty when nothing comes.
    fn get(&self, address: &str, port: u16) -> String {
        let script = format!(
            "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox timeout 3 busybox nc -w 2 {address} {port}"
        );
        let done = Command::new("ip")
            .args(["netns", "exec", &self.0, "sh", "-c", &script])
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn gateway(&self) -> String {
        format!("198.18.{}.1", 200 + std::process::id() % 50)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.0]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g15_a_neighbour_reaches_published_ports_and_nothing_else() {
    let scene = Scene::new().await;
    let neighbour = Neighbour::new();
    let (open, local) = (free_port().unwrap(), free_port().unwrap());
    let mut web = http("echo published");
    publish(&mut web, open, 80);
    let mut inner = http("echo for loopback");
    inner.ports.push(PortMapping {
        host_ip: Some(Ipv4Addr::LOCALHOST),
        host: local,
        container: 80,
        protocol: Protocol::Tcp,
    });
    let hidden = http("echo hidden");
    let running = scene
        .up(&project([("web", web), ("inner", inner), ("hidden", hidden)]))
        .await
        .unwrap();
    assert!(get(Ipv4Addr::LOCALHOST, open).contains("published"));
    assert!(get(Ipv4Addr::LOCALHOST, local).contains("for loopback"));
    // The neighbour's packets come this way at all.
    assert!(neighbour.get(&neighbour.gateway(), open).contains("published"));
    for service in ["web", "inner", "hidden"] {
        let address = *one(&running.containers(), service)
            .addresses
            .get("default")
            .unwrap();
        assert!(get(address, 80).contains("200 OK"), "{service} serves");
        assert_eq!(neighbour.get(&address.to_string(), 80), "", "{service}");
    }
    assert_eq!(neighbour.get(&neighbour.gateway(), local), "");
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g15_an_internal_network_reaches_nothing_of_the_guest_but_its_resolver() {
    let scene = Scene::new().await;
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"reached\n"));
        }
    });
    let script = format!(
        "gateway=$(awk '/^nameserver/ {{print $2}}' /etc/resolv.conf); nc -w 2 $gateway {port} < /dev/null; \
         nslookup -type=a $HOSTNAME > /dev/null && echo resolver; nslookup -type=a leak.example.com | grep -o NXDOMAIN"
    );
    let mut inside = service(&script);
    inside.hostname = Some("inside".parse().unwrap());
    let mut all = project([("inside", inside.clone()), ("outside", inside)]);
    all.networks.insert(
        "shut".parse().unwrap(),
        Network {
            internal: true,
            ..Network::default()
        },
    );
    let shut = all.services.get_mut("inside").unwrap();
    shut.networks.clear();
    shut.networks
        .insert("shut".parse().unwrap(), NetworkAttachment::default());
    let running = scene.up(&all).await.unwrap();
    exited(&running, "inside").await;
    exited(&running, "outside").await;
    let seen = lines(&running, "inside").await;
    assert!(!seen.contains(&"reached".to_owned()), "{seen:?}");
    assert!(seen.contains(&"NXDOMAIN".to_owned()), "{seen:?}");
    let open = lines(&running, "outside").await;
    assert!(open.contains(&"reached".to_owned()), "{open:?}");
    drop(running);
    scene.down().await;
}
