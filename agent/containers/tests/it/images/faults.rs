//! Registries that lie, stop in the middle or go away.

use container_lab::{Image, Layer, Proxy, Registry, RegistryOptions};
use container_runtime::images::ImageError;

use super::{Scene, marked, noise};

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_another_image_for_a_digest_is_left_for_the_registry() {
    let mut scene = Scene::new().await;
    let mirror = Registry::start(&scene.folder("m"), RegistryOptions::default())
        .await
        .unwrap();
    let wanted = marked("wanted").build(&scene.folder("1")).unwrap();
    let other = marked("other!").build(&scene.folder("2")).unwrap();
    let pinned = wanted.push(&scene.registry, "app", "1").await.unwrap();
    wanted.push(&mirror, "app", "1").await.unwrap();
    let swap = |digest: &str, bytes: &[u8]| std::fs::write(mirror.blob_path(digest).unwrap(), bytes).unwrap();
    swap(&wanted.digest, &other.blob(&other.digest).unwrap());
    scene.config.mirrors.insert(
        scene.registry.address(),
        vec![format!("http://{}", mirror.address())],
    );

    let mut alone = scene.config.clone();
    alone.mirrors_only = true;
    let refused = scene.ensure_with(&pinned, &alone).await.unwrap_err();
    match &refused {
        ImageError::DigestMismatch { expected, got, .. } => {
            assert_eq!((expected, got), (&wanted.digest, &other.digest));
        }
        other => panic!("{other}"),
    }
    assert_eq!(scene.records().await.trim(), "");

    // The manifest is right now and a layer is not.
    swap(&wanted.digest, &wanted.blob(&wanted.digest).unwrap());
    let layer = wanted.layers.last().unwrap();
    let mut bytes = wanted.blob(layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    swap(layer, &bytes);
    let refused = scene.ensure_with(&pinned, &alone).await.unwrap_err();
    assert!(
        matches!(&refused, ImageError::DigestMismatch { expected, .. } if expected == layer),
        "{refused}"
    );

    let ready = scene.ensure(&pinned).await.unwrap();
    assert_eq!(scene.run(&ready, "cat /mark").await, "wanted");
    let failures = scene.source_failures();
    assert!(
        failures
            .iter()
            .any(|text| text.contains(&mirror.address()) && text.contains(layer)),
        "{failures:?}"
    );
    // What the mirror had right was taken from it.
    assert_eq!(scene.asked(&wanted.layers[0], 200), 0);
    assert_eq!(scene.asked(layer, 200), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_not_believed_about_a_tag() {
    let mut scene = Scene::new().await;
    let mirror = Registry::start(&scene.folder("m"), RegistryOptions::default())
        .await
        .unwrap();
    let ours = marked("ours").build(&scene.folder("1")).unwrap();
    let theirs = marked("theirs").build(&scene.folder("2")).unwrap();
    ours.push(&scene.registry, "app", "1").await.unwrap();
    theirs.push(&mirror, "app", "1").await.unwrap();
    let url = format!("http://{}", mirror.address());
    scene.config.mirrors.insert(scene.registry.address(), vec![url]);
    let name = scene.name("app:1");
    assert_eq!(scene.ensure(&name).await.unwrap().digest.to_string(), ours.digest);
    scene.config.mirrors_answer_tags = true;
    scene.config.policy = container_runtime::images::PullPolicy::Always;
    assert_eq!(
        scene.ensure(&name).await.unwrap().digest.to_string(),
        theirs.digest
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_cut_in_the_middle_goes_on_where_it_stopped() {
    let mut scene = Scene::new().await;
    let built = Image::empty()
        .layer(Layer::new().file("noise", noise(7, 8 << 20), 0o644))
        .build(&scene.folder("i"))
        .unwrap();
    built.push(&scene.registry, "app", "1").await.unwrap();
    let proxy = Proxy::start(&scene.registry.address()).await.unwrap();
    let pinned = format!("{}/app@{}", proxy.address(), built.digest);
    proxy.allow(5 << 20);
    let cut = scene.ensure(&pinned).await.unwrap_err();
    assert!(matches!(cut, ImageError::Unreachable { .. }), "{cut}");
    assert_eq!(scene.records().await.trim(), "");

    scene.registry.stop();
    scene.registry.start_again().await.unwrap();
    proxy.allow(u64::MAX);
    scene.collect().await;
    scene.ensure(&pinned).await.unwrap();
    // Whatever was asked for again was asked for from where it stopped.
    assert_eq!(scene.asked(&built.layers[0], 200), 1);
    assert!(scene.asked(&built.layers[0], 206) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_layer_is_not_an_image() {
    let scene = Scene::new().await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    let pinned = built.push(&scene.registry, "app", "1").await.unwrap();
    let path = scene.registry.blob_path(&built.layers[0]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let short = scene.ensure(&pinned).await.unwrap_err();
    assert!(matches!(&short, ImageError::Unreachable { .. }), "{short}");
    assert_eq!(scene.records().await.trim(), "");
    // Longer than its manifest says is refused as well.
    std::fs::write(&path, [whole.as_slice(), b"more"].concat()).unwrap();
    let long = scene.ensure(&pinned).await.unwrap_err();
    assert!(
        matches!(&long, ImageError::DigestMismatch { expected, .. } if *expected == built.layers[0]),
        "{long}"
    );
    std::fs::write(&path, &whole).unwrap();
    scene.ensure(&pinned).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn not_there_and_not_reachable_are_different() {
    let mut scene = Scene::new().await;
    let missing = scene.ensure(&scene.name("no/such:1")).await.unwrap_err();
    assert!(
        matches!(missing, ImageError::NotFound { .. }) && !missing.is_transient(),
        "{missing}"
    );
    scene.registry.stop();
    let gone = scene.ensure(&scene.name("no/such:1")).await.unwrap_err();
    assert!(
        matches!(gone, ImageError::Unreachable { .. }) && gone.is_transient(),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_unpacks_to_other_bytes_is_refused() {
    let scene = Scene::new().await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    built.push(&scene.registry, "app", "1").await.unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&built.blob(&built.config).unwrap()).unwrap();
    let claimed = format!("sha256:{}", "1".repeat(64));
    config["rootfs"]["diff_ids"][1] = claimed.clone().into();
    let config = serde_json::to_vec(&config).unwrap();
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&built.blob(&built.digest).unwrap()).unwrap();
    let digest = super::documents::digest(&config);
    manifest["config"]["digest"] = digest.clone().into();
    manifest["config"]["size"] = config.len().into();
    container_lab::image::push_blob(&scene.registry, "app", &digest, config)
        .await
        .unwrap();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    container_lab::image::push_manifest(&scene.registry, "app", "2", built.media_type, bytes)
        .await
        .unwrap();
    let refused = scene.ensure(&scene.name("app:2")).await.unwrap_err();
    assert!(
        matches!(&refused, ImageError::DigestMismatch { expected, .. } if *expected == claimed),
        "{refused}"
    );
    assert_eq!(scene.records().await.trim(), "");
}
