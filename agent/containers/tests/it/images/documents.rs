//! Manifests and indexes over their bounds, and the platform that is chosen.

use container_lab::image::push_manifest;
use container_lab::{Image, Layer, OciLayout};
use container_runtime::images::ImageError;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Scene, marked};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn entry(media_type: &str, bytes: &[u8], platform: Option<(&str, &str)>) -> serde_json::Value {
    let mut entry = json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()});
    if let Some((os, architecture)) = platform {
        entry["platform"] = json!({"os": os, "architecture": architecture});
    }
    entry
}

fn index(entries: &[serde_json::Value]) -> Vec<u8> {
    serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})).unwrap()
}

fn manifest(built: &OciLayout) -> Vec<u8> {
    built.blob(&built.digest).unwrap()
}

async fn push_index(scene: &Scene, tag: &str, bytes: &[u8]) {
    push_manifest(&scene.registry, "app", tag, INDEX, bytes.to_vec())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_gives_this_platform_and_is_kept_whole() {
    let mut scene = Scene::new().await;
    let right = marked("amd64").build(&scene.folder("1")).unwrap();
    let wrong = marked("arm64").build(&scene.folder("2")).unwrap();
    for image in [&right, &wrong] {
        image
            .push(&scene.registry, "app", &image.digest.replace(':', "-"))
            .await
            .unwrap();
    }
    let all = index(&[
        entry(wrong.media_type, &manifest(&wrong), Some(("linux", "arm64"))),
        entry(right.media_type, &manifest(&right), Some(("linux", "amd64"))),
        entry(wrong.media_type, &manifest(&wrong), Some(("unknown", "unknown"))),
    ]);
    push_index(&scene, "multi", &all).await;
    let pinned = scene.name(&format!("app@{}", digest(&all)));
    let ready = scene.ensure(&pinned).await.unwrap();
    assert_eq!(ready.digest.to_string(), digest(&all));
    assert_eq!(scene.run(&ready, "cat /mark").await, "amd64");
    scene.collect().await;
    scene.registry.stop();
    scene.ensure(&pinned).await.unwrap();
    scene.registry.start_again().await.unwrap();

    let foreign = index(&[entry(
        wrong.media_type,
        &manifest(&wrong),
        Some(("linux", "arm64")),
    )]);
    push_index(&scene, "foreign", &foreign).await;
    let refused = scene.ensure(&scene.name("app:foreign")).await.unwrap_err();
    assert!(matches!(refused, ImageError::Malformed { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_of_indexes_end_somewhere() {
    let scene = Scene::new().await;
    let built = marked("deep").build(&scene.folder("i")).unwrap();
    built.push(&scene.registry, "app", "0").await.unwrap();
    let mut inner = (built.media_type, manifest(&built));
    for depth in 1..=3 {
        let outer = index(&[entry(inner.0, &inner.1, Some(("linux", "amd64")))]);
        push_index(&scene, &depth.to_string(), &outer).await;
        inner = (INDEX, outer);
    }
    let ready = scene.ensure(&scene.name("app:2")).await.unwrap();
    assert_eq!(scene.run(&ready, "cat /mark").await, "deep");
    let refused = scene.ensure(&scene.name("app:3")).await.unwrap_err();
    assert!(
        matches!(refused, ImageError::TooLarge { limit: 2, .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_documents_many_layers_and_many_bytes_are_refused() {
    let mut scene = Scene::new().await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    let pinned = built.push(&scene.registry, "app", "1").await.unwrap();
    // The registry itself serves no larger manifest.
    let path = scene.registry.blob_path(&built.config).unwrap();
    let small = std::fs::read(&path).unwrap();
    let mut huge = small.clone();
    huge.resize(5 << 20, b' ');
    std::fs::write(&path, &huge).unwrap();
    let refused = scene.ensure(&pinned).await.unwrap_err();
    assert!(matches!(refused, ImageError::TooLarge { .. }), "{refused}");
    std::fs::write(&path, &small).unwrap();

    let generous = scene.config.limits;
    scene.config.limits.layers = 1;
    let refused = scene.ensure(&pinned).await.unwrap_err();
    assert!(
        matches!(refused, ImageError::TooLarge { limit: 1, got: 2, .. }),
        "{refused}"
    );
    scene.config.limits = generous;
    scene.config.limits.compressed = 1000;
    let refused = scene.ensure(&pinned).await.unwrap_err();
    assert!(
        matches!(refused, ImageError::TooLarge { limit: 1000, .. }),
        "{refused}"
    );
    assert_eq!(scene.asked(&built.layers[0], 200), 0, "no layer is asked for");
    scene.config.limits = generous;
    scene.ensure(&pinned).await.unwrap();

    let mut many = Image::empty();
    for number in 0..127 {
        many = many.layer(Layer::new().file(&format!("f{number}"), "", 0o644));
    }
    let built = many.build(&scene.folder("many")).unwrap();
    let pinned = built.push(&scene.registry, "many", "1").await.unwrap();
    assert_eq!(scene.ensure(&pinned).await.unwrap().config.layers.len(), 127);
}
