//! `tdxctl seal` and `unseal` as programs, with keys that a real node releases because a contract on a chain allows it.

use crate::scene::{COMPOSE, Scene, private_file, unlimited};
use anvil_tests::{AppSpec, NetworkOptions, NodeOptions, binaries::own};
use authority_contracts::abi::{AppAuthority, KmsAuthority};
use kms_keys::SealedFile;
use kms_types::KeyEpoch;
use soft_td::server::{TdServer, serve};
use std::{fs, path::Path};
use tempfile::TempDir;
use tokio::process::Command;

/// A booted guest at a socket, before its boot is complete, and what describes it.
struct Guest {
    // Dropped in this order: the server wakes itself through the socket in the folder.
    _server: TdServer,
    folder: TempDir,
    words: Vec<String>,
}

impl Guest {
    async fn of(scene: &Scene, spec: &AppSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("td.sock");
        let server = serve(scene.network.launch(spec).unwrap(), &socket).unwrap();
        let node = scene.network.node().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let identity = put(
            "identity.json",
            &serde_json::to_vec(&identity(scene).await).unwrap(),
        );
        let catalogue = put("catalogue.json", &scene.network.catalogue().to_json().unwrap());
        let seed = spec.boot.instance_seed.unwrap().to_string();
        let words = [
            "--td",
            &format!("socket:{}", socket.display()),
            "--kms",
            &node.url(),
            "--kms-identity-file",
            &identity,
            "--catalogue",
            &catalogue,
            "--instance-seed",
            &seed,
        ]
        .map(str::to_owned)
        .to_vec();
        Self {
            _server: server,
            folder,
            words,
        }
    }

    /// Runs one of the two; gives the exit code and what was written.
    async fn run(&self, command: &[&str], input: &Path) -> (i32, Vec<u8>, String) {
        let out = self.folder.path().join("out");
        let _ = fs::remove_file(&out);
        let output = Command::new(own("tdxctl").unwrap())
            .args(command)
            .args(&self.words)
            .arg("--in")
            .arg(input)
            .arg("--out")
            .arg(&out)
            .env_remove("KEDGE_TD")
            .output()
            .await
            .unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        (
            output.status.code().unwrap(),
            fs::read(&out).unwrap_or_default(),
            words,
        )
    }

    fn put(&self, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.folder.path().join("in");
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// The present epoch of the KMS, as its node lists it; under test both are trusted.
async fn identity(scene: &Scene) -> kms_wire::EpochIdentity {
    let answer = scene.client.get(scene.url("/v1/meta")).send().await.unwrap();
    let meta: kms_wire::Meta = answer.json().await.unwrap();
    meta.epochs
        .into_iter()
        .max_by_key(|epoch| epoch.key_epoch)
        .unwrap()
}

#[tokio::test]
async fn what_was_sealed_before_a_rotation_opens_until_its_epoch_is_ended() {
    let secrets = tempfile::tempdir().unwrap();
    let keyfile = secrets.path().join("wrapping.key");
    private_file(&keyfile, &[7; 32]);
    let node = unlimited(NodeOptions::default())
        .set("keys", "seal", "keyfile")
        .set("keys", "keyfile", keyfile.display().to_string());
    let mut scene = Scene::with(NetworkOptions {
        node: Some(node),
        ..NetworkOptions::on_demand()
    })
    .await;
    let first = identity(&scene).await;
    let guest = Guest::of(&scene, &scene.spec()).await;
    let (code, old, words) = guest
        .run(&["seal", "--instance"], &guest.put(b"from epoch 1"))
        .await;
    assert_eq!(code, 0, "{words}");

    scene.second_epoch(&keyfile).await;
    let guest = Guest::of(&scene, &scene.spec()).await;
    let (code, new, words) = guest
        .run(&["seal", "--instance"], &guest.put(b"from epoch 2"))
        .await;
    assert_eq!(code, 0, "{words}");
    assert_eq!(SealedFile::parse(&new).unwrap().key_epoch, KeyEpoch(2));
    assert_eq!(guest.run(&["unseal"], &guest.put(&new)).await.1, b"from epoch 2");

    let (code, _, words) = guest.run(&["unseal"], &guest.put(&old)).await;
    assert!(
        code == 64 && words.contains("identity document of epoch 1"),
        "{code} {words}"
    );
    let older = guest.folder.path().join("older.json");
    fs::write(&older, serde_json::to_vec(&first).unwrap()).unwrap();
    let open = ["unseal", "--epoch-identity-file", older.to_str().unwrap()];
    let (code, text, words) = guest.run(&open, &guest.put(&old)).await;
    assert_eq!((code, text.as_slice()), (0, &b"from epoch 1"[..]), "{words}");

    scene.govern(KmsAuthority::setMinKeyEpochCall { epoch: 2 }).await;
    scene.seen().await;
    let (code, text, words) = guest.run(&open, &guest.put(&old)).await;
    assert_eq!((code, text.len()), (1, 0), "{words}");
    assert!(words.contains("epoch"), "{words}");
    assert_eq!(guest.run(&["unseal"], &guest.put(&new)).await.0, 0);
}

#[tokio::test]
async fn what_an_app_seals_it_alone_opens_and_only_while_it_is_allowed() {
    let scene = Scene::new().await;
    let first = Guest::of(&scene, &scene.spec()).await;
    let second = Guest::of(&scene, &AppSpec::new(scene.app, COMPOSE, "second")).await;
    let app = scene.network.create_app_for(COMPOSE).await.unwrap();
    scene.finalize().await;
    let other = Guest::of(&scene, &AppSpec::new(app, COMPOSE, "first")).await;

    let (code, to_app, words) = first
        .run(&["seal", "--context", "db"], &first.put(b"of the app"))
        .await;
    assert_eq!(code, 0, "{words}");
    let (code, to_instance, words) = first
        .run(&["seal", "--instance"], &first.put(b"of one instance"))
        .await;
    assert_eq!(code, 0, "{words}");

    let open = ["unseal", "--context", "db"];
    assert_eq!(first.run(&open, &first.put(&to_app)).await.1, b"of the app");
    assert_eq!(second.run(&open, &second.put(&to_app)).await.1, b"of the app");
    assert_eq!(
        first.run(&["unseal"], &first.put(&to_instance)).await.1,
        b"of one instance"
    );
    let (code, _, words) = second.run(&["unseal"], &second.put(&to_instance)).await;
    assert!(code == 1 && words.contains("expected instance"), "{code} {words}");
    let (code, text, words) = other.run(&open, &other.put(&to_app)).await;
    assert!(code == 1 && words.contains("expected app"), "{code} {words}");
    assert!(text.is_empty());
    // The head names the other app now: its own keys are others.
    let mut moved = to_app.clone();
    moved[27..47].copy_from_slice(app.as_ref());
    let (code, _, words) = other.run(&open, &other.put(&moved)).await;
    assert!(
        code == 1 && words.contains("that this key sealed"),
        "{code} {words}"
    );

    let hash = scene.spec().boot.compose_hash;
    let hash = crate::scene::b256(hash.to_bytes());
    scene
        .manage(AppAuthority::removeComposeHashCall { composeHash: hash })
        .await;
    scene.finalize().await;
    let (code, text, words) = first.run(&open, &first.put(&to_app)).await;
    assert_eq!((code, text.len()), (1, 0), "{words}");
}
