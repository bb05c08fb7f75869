//! The registry serves what was pushed, asks for the password when told to, and goes away and comes back.

use container_lab::{Image, Proxy, Registry, RegistryOptions, Request};
use reqwest::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn serves_what_was_pushed_and_keeps_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::start(&dir.path().join("r"), RegistryOptions::default())
        .await
        .unwrap();
    let image = Image::busybox().unwrap().build(&dir.path().join("i")).unwrap();
    let pinned = image.push(&registry, "team/app", "1").await.unwrap();
    assert_eq!(
        pinned,
        format!("{}/team/app@{}", registry.address(), image.digest)
    );
    let url = format!(
        "http://{}/v2/team/app/manifests/{}",
        registry.address(),
        image.digest
    );
    let manifest = || {
        reqwest::Client::new()
            .get(&url)
            .header("accept", image.media_type)
            .send()
    };
    assert_eq!(
        manifest().await.unwrap().bytes().await.unwrap(),
        image.blob(&image.digest).unwrap()
    );
    let last = registry.requests().unwrap().pop().unwrap();
    let path = format!("/v2/team/app/manifests/{}", image.digest);
    assert_eq!(
        last,
        Request {
            method: "GET".into(),
            path,
            status: 200
        }
    );
    assert!(registry.blob_path(&image.layers[0]).unwrap().exists());

    registry.stop();
    manifest().await.unwrap_err();
    registry.start_again().await.unwrap();
    assert_eq!(manifest().await.unwrap().status(), StatusCode::OK);

    let proxy = Proxy::start(&registry.address()).await.unwrap();
    let through = format!("http://{}/v2/team/app/blobs/{}", proxy.address(), image.layers[0]);
    proxy.allow(5000);
    let cut = reqwest::get(&through).await.unwrap().bytes().await;
    assert!(cut.is_err(), "the proxy cut nothing");
    proxy.allow(u64::MAX);
    assert_eq!(
        reqwest::get(&through).await.unwrap().bytes().await.unwrap(),
        image.blob(&image.layers[0]).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_for_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let options = RegistryOptions {
        auth: true,
        port: None,
    };
    let registry = Registry::start(&dir.path().join("r"), options).await.unwrap();
    let image = Image::busybox().unwrap().build(&dir.path().join("i")).unwrap();
    image.push(&registry, "app", "1").await.unwrap();
    let url = format!("http://{}/v2/app/manifests/1", registry.address());
    assert_eq!(
        reqwest::get(&url).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}
