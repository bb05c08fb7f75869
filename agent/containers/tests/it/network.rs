//! Networks: names, published ports, isolation, modes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use compose_file::{Network, NetworkAttachment, NetworkMode, PortMapping, Protocol, Service};
use container_runtime::{FailureKind, RuntimeError};

use crate::lab::{LIMIT, Scene, exited, lines, one, project, service};

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

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
    let port = free_port();
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
         until printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 $(address db) 80 > /dev/null 2>&1; do sleep 0.05; done; \
         for name in db store lab-db-1; do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $(address $name) 80 | tail -n 1; done; \
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
    let port = free_port();
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
