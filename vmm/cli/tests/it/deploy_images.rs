//! Images of a deployed app: tags that become digests, a registry that asks for a password, one that is gone.

use super::{Down, fails, json, kedge};
use container_lab::{Image, Layer, PASSWORD, Registry, RegistryOptions, USER};
use serde_json::Value;
use std::{fs, io::Write, path::Path, process::Stdio};

struct Scene {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = RegistryOptions {
            auth: true,
            port: None,
        };
        let registry = runtime
            .block_on(Registry::start(&folder.path().join("registry"), options))
            .unwrap();
        Self {
            folder,
            runtime,
            registry,
        }
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("s")
    }

    /// Pushes an image under `team/web:1`; its digest.
    fn push(&self, mark: &str) -> String {
        let image = Image::busybox()
            .unwrap()
            .layer(Layer::new().file("mark", mark, 0o644))
            .build(&self.folder.path().join(mark))
            .unwrap();
        self.runtime
            .block_on(image.push(&self.registry, "team/web", "1"))
            .unwrap();
        image.digest
    }

    fn name(&self) -> String {
        format!("{}/team/web", self.registry.address())
    }

    /// A compose file whose only image is this.
    fn compose(&self, image: &str) -> String {
        let file = self.folder.path().join("docker-compose.yml");
        let text = format!(
            "services:\n  web:\n    # not touched: image: x\n    image: {image} # nor is this\n    command: [\"sleep\", \"1000\"]\n    \
             stop_grace_period: 100ms\n"
        );
        fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn auth(&self, password: &str) -> String {
        let document = serde_json::json!({ "auths": {
            self.registry.address(): { "username": USER, "password": password },
            "elsewhere.example": { "username": "other", "password": "not-for-this-app" },
        }});
        let file = self.folder.path().join("config.json");
        fs::write(&file, document.to_string()).unwrap();
        file.display().to_string()
    }
}

fn image_of(state: &Path) -> String {
    let inspect = json(state, &["inspect", "web"]);
    inspect["containers"][0]["image"].as_str().unwrap().to_owned()
}

/// Files below a folder and processes whose argument or environment has these words.
fn who_has(words: &str, folder: &Path) -> Vec<String> {
    let listed = std::process::Command::new("grep")
        .args(["-rlaF", "--exclude-dir=run", "--exclude-dir=proc", "--", words])
        .arg(folder)
        .output()
        .unwrap();
    let mut found: Vec<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let text = fs::read(process.path().join(file)).unwrap_or_default();
            if String::from_utf8_lossy(&text).contains(words) {
                found.push(process.path().join(file).display().to_string());
            }
        }
    }
    found
}

#[test]
fn g6_a_tag_becomes_the_digest_its_registry_names_and_is_said() {
    let mut scene = Scene::new();
    let state = scene.state();
    let _down = Down(&state);
    json(&state, &["dev", "up"]);
    let first = scene.push("one");
    let file = scene.compose(&format!("{}:1", scene.name()));
    fn arguments<'a>(file: &'a str, extra: &[&'a str]) -> Vec<&'a str> {
        [&["deploy", file, "--name", "web"], extra].concat()
    }

    // Nobody, and somebody else.
    assert!(fails(&state, &arguments(&file, &[]), 3).contains("401"));
    let wrong = scene.auth("wrong-horse");
    let refused = fails(&state, &arguments(&file, &["--registry-auth", &wrong]), 3);
    assert!(
        refused.contains("401") && !refused.contains("wrong-horse"),
        "{refused}"
    );
    assert_eq!(
        json(&state, &["ps"])["instances"],
        Value::Array(vec![]),
        "nothing was made for it"
    );

    // The right one, through standard input; what happens is told.
    let right = scene.auth(PASSWORD);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kedge"));
    command
        .arg("--state")
        .arg(&state)
        .args(arguments(&file, &["--registry-auth", "-"]));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&fs::read(&right).unwrap())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (said, progress) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{progress}");
    assert!(said.contains(&format!("{}:1 is {first}", scene.name())), "{said}");
    assert!(progress.contains("layer"), "a pull is shown: {progress}");
    assert_eq!(image_of(&state), format!("{}:1@{first}", scene.name()));
    let host: Value =
        serde_json::from_slice(&fs::read(state.join("instances/web/host.json")).unwrap()).unwrap();
    let measured = host["app_compose"].as_str().unwrap();
    assert!(
        measured.contains("KEDGE_REGISTRY_AUTH") && measured.contains(&first),
        "{measured}"
    );
    assert!(measured.contains("not touched: image: x") && measured.contains("# nor is this"));
    for words in [PASSWORD, "not-for-this-app"] {
        assert_eq!(who_has(words, &state), Vec::<String>::new(), "{words}");
    }

    // The tag moves: another document, which is said again. With dstack's names this time.
    let second = scene.push("two");
    let env = scene.folder.path().join("secrets.env");
    let registry = scene.registry.address();
    fs::write(&env, format!("DSTACK_DOCKER_USERNAME={USER}\nDSTACK_DOCKER_PASSWORD={PASSWORD}\nDSTACK_DOCKER_REGISTRY={registry}\n")).unwrap();
    let moved = json(&state, &arguments(&file, &["--env-file", env.to_str().unwrap()]));
    assert_eq!(image_of(&state), format!("{}:1@{second}", scene.name()));
    assert_eq!(moved["ok"], true);
    assert_eq!(who_has(PASSWORD, &state), Vec::<String>::new());

    // Gone: what is here starts; what is not is "could not ask", with the registry's name.
    scene.registry.stop();
    json(&state, &["start", "web"]);
    let gone = fails(&state, &arguments(&file, &["--registry-auth", &right]), 4);
    assert!(
        gone.contains(&scene.registry.address()) && gone.contains("what to do"),
        "{gone}"
    );
    let elsewhere = scene.compose(&format!("{}@sha256:{}", scene.name(), "0".repeat(64)));
    let gone = fails(
        &state,
        &["deploy", &elsewhere, "--name", "web", "--timeout", "8"],
        4,
    );
    assert!(gone.contains(&scene.registry.address()), "{gone}");
    json(&state, &["rm", "web", "--yes"]);
}

#[test]
fn a_tag_is_found_in_an_archive_and_a_line_that_cannot_be_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("s");
    let _down = Down(&state);
    json(&state, &["dev", "up"]);
    let image = Image::busybox()
        .unwrap()
        .build(&folder.path().join("image"))
        .unwrap();
    let archive = folder.path().join("image.tar");
    image.archive(&archive, "lab.local/web:1").unwrap();
    let file = folder.path().join("docker-compose.yml");
    let deploy = [
        "deploy",
        file.to_str().unwrap(),
        "--name",
        "web",
        "--image-archive",
        archive.to_str().unwrap(),
    ];
    fs::write(
        &file,
        "services: {web: {image: lab.local/web:1, command: [sleep, '1000']}}\n",
    )
    .unwrap();
    let refused = fails(&state, &deploy, 3);
    assert!(
        refused.contains(&format!("lab.local/web:1@{}", image.digest)),
        "{refused}"
    );
    fs::write(
        &file,
        "services:\n  web:\n    image: 'lab.local/web:1'\n    command: [sleep, '1000']\n    stop_grace_period: 100ms\n",
    )
    .unwrap();
    json(&state, &deploy);
    assert_eq!(image_of(&state), format!("lab.local/web:1@{}", image.digest));
    // Left as it is when that is asked for, and everyone can see it.
    json(&state, &[deploy.as_slice(), &["--allow-mutable-images"]].concat());
    assert_eq!(image_of(&state), "lab.local/web:1");
    let output = kedge(&state, &["rm", "web", "--yes"]);
    assert!(output.status.success());
}
