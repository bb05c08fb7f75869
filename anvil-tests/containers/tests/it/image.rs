//! The same description gives the same bytes.

use container_lab::{Image, Layer, MediaTypes};

#[test]
fn the_same_description_gives_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let image = || {
        Image::busybox()
            .unwrap()
            .layer(Layer::new().file("a", "b", 0o644))
            .entrypoint(&["/bin/sh"])
    };
    let one = image().build(&dir.path().join("1")).unwrap();
    let two = image().build(&dir.path().join("2")).unwrap();
    assert_eq!((&one.digest, &one.layers), (&two.digest, &two.layers));
    let other = image().cmd(&["x"]).build(&dir.path().join("3")).unwrap();
    assert_eq!(one.layers, other.layers);
    assert_ne!(one.digest, other.digest);
    let docker = image()
        .media_types(MediaTypes::Docker)
        .build(&dir.path().join("4"))
        .unwrap();
    assert_ne!(one.digest, docker.digest);
    assert_eq!(
        docker.media_type,
        "application/vnd.docker.distribution.manifest.v2+json"
    );
}
