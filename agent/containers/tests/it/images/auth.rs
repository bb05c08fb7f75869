//! Passwords and tokens: asked for, given, wrong, and not given to strangers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use container_lab::{PASSWORD, RegistryOptions, USER};
use container_runtime::images::{Credentials, ImageError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Scene, marked};

fn login(host: &str, password: &str) -> Credentials {
    let auth = STANDARD.encode(format!("{USER}:{password}"));
    Credentials::parse(format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#).as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_pulls_and_others_are_denied() {
    let options = RegistryOptions {
        auth: true,
        port: None,
    };
    let mut scene = Scene::with(options, None).await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    let pinned = built.push(&scene.registry, "app", "1").await.unwrap();
    let host = scene.registry.address();
    for credentials in [
        Credentials::default(),
        login(&host, "wrong"),
        login("other.example", PASSWORD),
    ] {
        scene.config.credentials = credentials;
        let denied = scene.ensure(&pinned).await.unwrap_err();
        assert!(
            matches!(denied, ImageError::Denied { status: 401, .. }),
            "{denied}"
        );
        assert!(!format!("{denied:?} {:?}", scene.config).contains("wrong"));
    }
    scene.config.credentials = login(&host, PASSWORD);
    scene.ensure(&pinned).await.unwrap();
}

/// A registry's front that wants tokens of its own service, then sends the client on to the registry.
async fn gate(target: String, password: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let here = address.clone();
    let basic = format!("basic {}", STANDARD.encode(format!("{USER}:{password}"))).to_lowercase();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match client.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let lower = text.to_lowercase();
            let answer = if path.starts_with("/token?service=lab&scope=repository%3Aapp%3Apull") {
                match lower.contains(&basic) {
                    true => "200 OK\r\ncontent-length: 20\r\n\r\n{\"token\":\"good-one\"}".to_owned(),
                    false => "401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(),
                }
            } else if lower.contains("authorization: bearer good-one") {
                format!(
                    "307 Temporary Redirect\r\nlocation: http://{target}{path}\r\ncontent-length: 0\r\n\r\n"
                )
            } else {
                format!(
                    "401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://{here}/token\",service=\"lab\"\r\ncontent-length: 0\r\n\r\n"
                )
            };
            let text = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            let _ = client.write_all(format!("HTTP/1.1 {text}").as_bytes()).await;
            let _ = client.shutdown().await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_service_is_asked_and_a_redirect_followed() {
    let mut scene = Scene::new().await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    built.push(&scene.registry, "app", "1").await.unwrap();
    let gate = gate(scene.registry.address(), PASSWORD).await;
    let pinned = format!("{gate}/app@{}", built.digest);
    scene.config.credentials = login(&gate, "wrong");
    let denied = scene.ensure(&pinned).await.unwrap_err();
    assert!(
        matches!(denied, ImageError::Denied { status: 401, .. }),
        "{denied}"
    );
    scene.config.credentials = login(&gate, PASSWORD);
    scene.ensure(&pinned).await.unwrap();
}
