//! `tdxctl seal` and `unseal` as programs, with keys that a real node releases because a contract on a chain allows it.

use crate::scene::{COMPOSE, Scene};
use anvil_tests::{AppSpec, binaries::own};
use authority_contracts::abi::AppAuthority;
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
    fn of(scene: &Scene, spec: &AppSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("td.sock");
        let server = serve(scene.network.launch(spec).unwrap(), &socket).unwrap();
        let node = scene.network.node().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let identity = put("identity.json", &serde_json::to_vec(node.identity()).unwrap());
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

#[tokio::test]
async fn what_an_app_seals_it_alone_opens_and_only_while_it_is_allowed() {
    let scene = Scene::new().await;
    let first = Guest::of(&scene, &scene.spec());
    let second = Guest::of(&scene, &AppSpec::new(scene.app, COMPOSE, "second"));
    let app = scene.network.create_app_for(COMPOSE).await.unwrap();
    scene.finalize().await;
    let other = Guest::of(&scene, &AppSpec::new(app, COMPOSE, "first"));

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

    // An epoch the node has no root of: the node says so.
    let mut young = to_app.clone();
    young[23..27].copy_from_slice(&7u32.to_be_bytes());
    let (code, _, words) = first.run(&open, &first.put(&young)).await;
    assert_eq!(code, 1, "{words}");

    let hash = scene.spec().boot.compose_hash;
    let hash = crate::scene::b256(hash.to_bytes());
    scene
        .manage(AppAuthority::removeComposeHashCall { composeHash: hash })
        .await;
    scene.finalize().await;
    let (code, text, words) = first.run(&open, &first.put(&to_app)).await;
    assert_eq!((code, text.len()), (1, 0), "{words}");
}
