//! By tag and by digest, once and again, with the registry there and gone.

use std::time::Duration;

use container_lab::{Healthcheck, Image, Layer, MediaTypes};
use container_runtime::images::{ImageError, ImageEvent, PullPolicy, RegistryConfig};

use super::{NAMESPACE, Scene, marked};

fn described() -> Image {
    let health = Healthcheck {
        test: vec!["CMD".into(), "true".into()],
        interval: Duration::from_secs(3),
        retries: 2,
        ..Healthcheck::default()
    };
    Image::busybox()
        .unwrap()
        .layer(
            Layer::new()
                .dir("data", 0o755)
                .file("data/gone", "x", 0o644)
                .file("data/kept", "kept", 0o644),
        )
        .layer(
            Layer::new()
                .whiteout("data/gone")
                .file("data/mine", "x", 0o600)
                .owned_by(1000),
        )
        .entrypoint(&["/bin/sh", "-c"])
        .cmd(&["true"])
        .env(&["PATH=/bin", "A=b=c"])
        .user("app")
        .workdir("/data")
        .volumes(&["/data/v"])
        .expose(&["80/tcp"])
        .stop_signal("SIGINT")
        .healthcheck(&health)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tag_and_by_digest_then_without_a_registry() {
    let mut scene = Scene::new().await;
    let built = described().build(&scene.folder("i")).unwrap();
    let pinned = built.push(&scene.registry, "team/app", "1").await.unwrap();

    let tagged = scene.ensure(&scene.name("team/app:1")).await.unwrap();
    assert_eq!(tagged.digest.to_string(), built.digest);
    let config = &tagged.config;
    assert_eq!(
        (config.entrypoint.as_slice(), config.command.as_slice()),
        (&["/bin/sh".to_owned(), "-c".into()][..], &["true".to_owned()][..])
    );
    assert_eq!(config.environment["A"], "b=c");
    assert_eq!(
        (config.user.as_str(), config.working_dir.as_str()),
        ("app", "/data")
    );
    assert_eq!(
        (config.volumes[0].as_str(), config.exposed_ports[0].as_str()),
        ("/data/v", "80/tcp")
    );
    assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
    let health = config.health.as_ref().unwrap();
    assert_eq!(
        (health.interval, health.timeout, health.retries),
        (Some(Duration::from_secs(3)), None, Some(2))
    );
    assert!(
        scene
            .events
            .lock()
            .unwrap()
            .contains(&ImageEvent::Unpacking { layer: 3, layers: 3 })
    );

    // The same content under a pinned name needs the registry no more, nor does the tag a second time.
    scene.registry.stop();
    let again = scene.ensure(&pinned).await.unwrap();
    assert_eq!((again.digest, again.chain_id), (tagged.digest, tagged.chain_id));
    scene.ensure(&scene.name("team/app:1")).await.unwrap();
    scene.collect().await;
    scene.ensure(&pinned).await.unwrap();
    scene.containerd.restart().await.unwrap();
    let kept = scene.ensure(&pinned).await.unwrap();
    let list = scene
        .containerd
        .ctr(NAMESPACE, &["snapshots", "ls"])
        .await
        .unwrap();
    assert!(list.contains(&kept.chain_id.to_string()), "{list}");
    let leases = scene
        .containerd
        .ctr(NAMESPACE, &["leases", "ls", "-q"])
        .await
        .unwrap();
    assert_eq!(leases.trim(), "", "a pull that ended well holds nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_runs_and_survives_garbage_collection() {
    let scene = Scene::new().await;
    let image = Image::busybox()
        .unwrap()
        .layer(
            Layer::new()
                .dir("data", 0o755)
                .file("data/gone", "x", 0o644)
                .file("data/kept", "kept", 0o644),
        )
        .layer(
            Layer::new()
                .whiteout("data/gone")
                .file("data/mine", "x", 0o600)
                .owned_by(1000),
        )
        .media_types(MediaTypes::Docker);
    let built = image.build(&scene.folder("i")).unwrap();
    let pinned = built.push(&scene.registry, "app", "1").await.unwrap();
    let ready = scene.ensure(&pinned).await.unwrap();
    scene.collect().await;
    let said = scene.run(&ready, "ls /data; stat -c %u /data/mine").await;
    assert_eq!(said, "kept\nmine\n1000\n");
    // Nothing was fetched twice, and nothing that the image does not have.
    assert_eq!(scene.asked("/blobs/", 200), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_tag_is_refused_unless_allowed() {
    let scene = Scene::new().await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    let pinned = built.push(&scene.registry, "app", "1").await.unwrap();
    let strict = RegistryConfig::default();
    for reference in ["app:1", "app"] {
        let refused = scene
            .ensure_with(&scene.name(reference), &strict)
            .await
            .unwrap_err();
        assert!(matches!(refused, ImageError::NotPinned { .. }), "{refused}");
    }
    assert_eq!(
        scene.asked("/v2/", 200),
        0,
        "a refused reference is not asked for"
    );
    scene.ensure_with(&pinned, &strict).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_tag_is_seen_only_when_asked_for() {
    let mut scene = Scene::new().await;
    let one = marked("one").build(&scene.folder("1")).unwrap();
    let two = marked("two").build(&scene.folder("2")).unwrap();
    let pinned = one.push(&scene.registry, "app", "1").await.unwrap();
    let with_tag = pinned.replace('@', ":1@");
    let name = scene.name("app:1");
    assert_eq!(scene.ensure(&name).await.unwrap().digest.to_string(), one.digest);
    two.push(&scene.registry, "app", "1").await.unwrap();
    assert_eq!(scene.ensure(&name).await.unwrap().digest.to_string(), one.digest);
    scene.config.policy = PullPolicy::Always;
    let moved = scene.ensure(&name).await.unwrap();
    assert_eq!(moved.digest.to_string(), two.digest);
    assert_eq!(scene.run(&moved, "cat /mark").await, "two");
    // A digest beside the tag is what counts.
    let old = scene.ensure(&with_tag).await.unwrap();
    assert_eq!(old.digest.to_string(), one.digest);
    assert_eq!(scene.run(&old, "cat /mark").await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pulls_at_once_fetch_each_layer_once() {
    let scene = Scene::new().await;
    let built = Image::busybox()
        .unwrap()
        .layer(Layer::new().file("noise", super::noise(1, 6 << 20), 0o644))
        .build(&scene.folder("i"))
        .unwrap();
    let pinned = built.push(&scene.registry, "app", "1").await.unwrap();
    let tagged = scene.name("app:1");
    let (one, two, three) = tokio::join!(
        scene.ensure(&pinned),
        scene.ensure(&pinned),
        scene.ensure(&tagged)
    );
    let chain = one.unwrap().chain_id;
    assert_eq!((two.unwrap().chain_id, three.unwrap().chain_id), (chain, chain));
    for layer in &built.layers {
        assert_eq!(scene.asked(layer, 200), 1, "{layer}");
    }
    scene.collect().await;
    scene.ensure(&pinned).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_image_needs_no_registry() {
    let mut scene = Scene::new().await;
    let built = marked("1").build(&scene.folder("i")).unwrap();
    scene.store().await;
    built
        .import(&scene.containerd, NAMESPACE, "lab.example/app:1")
        .await
        .unwrap();
    scene.registry.stop();
    let pinned = scene.name(&format!("app@{}", built.digest));
    let ready = scene.ensure(&pinned).await.unwrap();
    assert_eq!(scene.run(&ready, "cat /mark").await, "1");
    let other = scene.name(&format!("app@sha256:{}", "0".repeat(64)));
    let gone = scene.ensure(&other).await.unwrap_err();
    assert!(matches!(gone, ImageError::Unreachable { .. }), "{gone}");
}
