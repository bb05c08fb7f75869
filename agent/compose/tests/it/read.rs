//! What a whole file becomes.

use crate::support::{read, service};
use compose_file::*;
use std::{net::Ipv4Addr, time::Duration};

const SHOP: &str = r#"
version: "3.9"
name: shop
x-common: &common
  restart: unless-stopped
  logging: { driver: json-file, options: { max-size: 10m, max-file: "3" } }
services:
  db:
    <<: *common
    image: postgres:16@sha256:0000000000000000000000000000000000000000000000000000000000000001
    environment:
      POSTGRES_PASSWORD_FILE: /run/secrets/pw
      N: 5
      B: true
      KEEP:
    volumes: [data:/var/lib/postgresql/data]
    secrets: [pw]
    healthcheck:
      test: ["CMD-SHELL", "pg_isready -U $${USER}"]
      interval: 1m30s
      retries: 5
  web:
    <<: *common
    image: ghcr.io/shop/web:1.2
    command: nginx -g 'daemon off;'
    ports: ["127.0.0.1:${PORT}:80", "9000-9001:9000-9001/udp"]
    depends_on:
      db: { condition: service_healthy }
    environment: ["A=1", "B=x=y", PORT, NONE]
    networks: { front: { aliases: [www] }, default: }
networks:
  front: { ipam: { config: [{ subnet: 172.30.0.0/24 }] } }
volumes: { data: }
secrets: { pw: { environment: DB_PW } }
"#;

#[test]
fn a_whole_file() {
    let project = read(SHOP).unwrap();
    assert_eq!(project.name.as_ref().unwrap().as_str(), "shop");
    let db = &project.services["db"];
    assert_eq!(db.image.registry(), "docker.io");
    assert_eq!(db.image.repository(), "library/postgres");
    assert_eq!(db.image.tag(), Some("16"));
    assert_eq!(db.restart.when, RestartWhen::UnlessStopped);
    assert_eq!(db.logging.max_size, Some(ByteSize(10 << 20)));
    assert_eq!(db.environment["N"].as_deref(), Some("5"));
    assert_eq!(db.environment["B"].as_deref(), Some("true"));
    assert_eq!(db.environment["KEEP"], None);
    let HealthPolicy::Check(check) = &db.healthcheck else {
        panic!()
    };
    assert_eq!(check.interval, Duration::from_secs(90));
    assert_eq!(check.retries, 5);
    assert!(check.test == Some(HealthTest::Shell("pg_isready -U ${USER}".to_owned())));
    assert_eq!(db.secrets[0].target, "/run/secrets/pw");
    assert_eq!(project.secrets["pw"], FileSource::Environment("DB_PW".to_owned()));

    let web = &project.services["web"];
    assert_eq!(web.command.as_ref().unwrap(), &["nginx", "-g", "daemon off;"]);
    let ports: Vec<(Option<Ipv4Addr>, u16, u16, Protocol)> = web
        .ports
        .iter()
        .map(|p| (p.host_ip, p.host, p.container, p.protocol))
        .collect();
    assert_eq!(
        ports,
        [
            (Some(Ipv4Addr::LOCALHOST), 8080, 80, Protocol::Tcp),
            (None, 9000, 9000, Protocol::Udp),
            (None, 9001, 9001, Protocol::Udp)
        ]
    );
    assert_eq!(web.environment["B"].as_deref(), Some("x=y"));
    assert_eq!(web.environment["PORT"].as_deref(), Some("8080"));
    assert_eq!(web.environment["NONE"], None);
    assert_eq!(web.networks["front"].aliases[0].as_str(), "www");
    let networks: Vec<&str> = project.networks.keys().map(NetworkName::as_str).collect();
    assert_eq!(networks, ["default", "front"]);
    let order: Vec<&str> = project
        .start_order()
        .into_iter()
        .map(ServiceName::as_str)
        .collect();
    assert_eq!(order, ["db", "web"]);
}

#[test]
fn a_service_with_nothing_is_the_default() {
    let mut expected = Service::new("busybox".parse().unwrap());
    expected
        .networks
        .insert("default".parse().unwrap(), NetworkAttachment::default());
    assert!(service("") == expected);
}
