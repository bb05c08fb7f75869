//! The second half of the demo: what an app's owner meets. A compose file becomes a running app, by the same commands anyone
//! would type, on a network of its own.

use super::{step, step::Shown, step::Story};
use anyhow::{Context, Result, bail};
use container_lab::Image;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

const NAME: &str = "hello";
const SECRET: &str = "a secret the host never saw";
/// Longest wait for a revoked app to be stopped.
const STOPPED: Duration = Duration::from_secs(60);

/// A network of its own, stopped and removed with this.
struct Stage {
    folder: tempfile::TempDir,
    port: u16,
    digest: String,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for words in [&["rm", NAME, "--yes"][..], &["dev", "down"]] {
            let _ = std::process::Command::new(std::env::current_exe().unwrap_or_default())
                .arg("--state")
                .arg(self.state())
                .args(words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

impl Stage {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kedge-").tempdir()?;
        let image = Image::busybox()?.build(&folder.path().join("image"))?;
        image.archive(&folder.path().join("image.tar"), "demo.local/hello:1")?;
        let stage = Self {
            port: container_lab::free_port()?,
            digest: image.digest.clone(),
            folder,
        };
        guest_files::write_private(&stage.file("app.env"), format!("GREETING={SECRET}\n").as_bytes())?;
        Ok(stage)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A web server that shows its secret, as an unmodified compose file.
    fn write_compose(&self, note: &str) -> Result<()> {
        let (digest, port) = (&self.digest, self.port);
        let text = format!(
            "services:\n  web:\n    image: demo.local/hello:1@{digest}\n    command: [\"sh\", \"-c\", \"mkdir -p /tmp/w; echo \\\"$$GREETING\\\" > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w\"]\n    environment:\n      GREETING: ${{GREETING}}\n      NOTE: {note}\n    ports: [\"127.0.0.1:{port}:80\"]\n    volumes: [\"/var/run/dstack.sock:/var/run/dstack.sock\"]\n    healthcheck:\n      test: [\"CMD\", \"test\", \"-f\", \"/tmp/w/index.html\"]\n      interval: 500ms\n"
        );
        Ok(std::fs::write(self.file("docker-compose.yml"), text)?)
    }

    /// Runs `kedge` and gives its JSON.
    async fn kedge(&self, words: &[&str]) -> Result<Value> {
        let output = tokio::process::Command::new(std::env::current_exe()?)
            .args(["--json", "--state"])
            .arg(self.state())
            .args(words)
            .stdin(Stdio::null())
            .output()
            .await?;
        let value: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "kedge {}: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        if !output.status.success() {
            bail!(
                "kedge {}: {}",
                words.join(" "),
                value.get("error").unwrap_or(&Value::Null)
            );
        }
        Ok(value)
    }

    async fn deploy(&self) -> Result<Value> {
        let path = |name: &str| self.file(name).display().to_string();
        let (file, env, image) = (path("docker-compose.yml"), path("app.env"), path("image.tar"));
        let words = [
            "deploy",
            &file,
            "--name",
            NAME,
            "--env-file",
            &env,
            "--image-archive",
            &image,
            "--grace",
            "0",
        ];
        self.kedge(&words).await
    }

    fn page(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        exchange(&mut stream, "GET / HTTP/1.0\r\n\r\n")
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    Ok(body.trim().to_owned())
}

/// What the app's own code would get from its socket, as a fingerprint.
fn key(socket: &Path) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let body = exchange(
        &mut stream,
        "GET /GetKey?path=demo HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n",
    )?;
    let answer: Value = serde_json::from_str(&body)?;
    let key = answer.get("key").and_then(Value::as_str).context("a key")?;
    Ok(super::fingerprint::short(
        &<sha2::Sha256 as sha2::Digest>::digest(key),
    ))
}

/// Plays the part of the app's owner.
///
/// # Errors
/// At the first step that did not do what it should.
pub(super) async fn play(story: &mut Story) -> Result<()> {
    let stage = Stage::new()?;
    let first = step(
        story,
        "deploy",
        "An app owner deploys a docker-compose file",
        deploy(&stage),
    )
    .await?;
    step(
        story,
        "update",
        "The owner changes it: the same app, the same keys",
        update(&stage, &first),
    )
    .await?;
    step(
        story,
        "stop",
        "The owner revokes it: the running app is stopped",
        revoked(&stage),
    )
    .await
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value
        .get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("no {name}"))
}

async fn deploy(stage: &Stage) -> Result<(String, Shown)> {
    stage.kedge(&["dev", "up"]).await?;
    stage.write_compose("first")?;
    let deployed = stage.deploy().await?;
    let page = stage.page()?;
    let key = key(Path::new(text(&deployed, "app_socket")?))?;
    let shown = Shown::default()
        .fact("app", text(&deployed, "app")?)
        .fact("compose hash", text(&deployed, "compose_hash")?)
        .fact("address", format!("http://127.0.0.1:{}", stage.port))
        .fact("it answers with", page.clone())
        .fact(
            "environment",
            "encrypted to the app's key, signed by its owner, opened inside",
        )
        .fact("key from its socket", key.clone())
        .fact(
            "seconds to healthy",
            deployed.get("seconds").cloned().unwrap_or_default(),
        )
        .must(page == SECRET, "the page shows the secret of the environment");
    Ok((key, shown))
}

async fn update(stage: &Stage, first: &str) -> Result<((), Shown)> {
    stage.write_compose("second")?;
    let deployed = stage.deploy().await?;
    let key = key(Path::new(text(&deployed, "app_socket")?))?;
    let shown = Shown::default()
        .fact("compose hash", text(&deployed, "compose_hash")?)
        .fact("key from its socket", key.clone())
        .must(key == first, "the key is that of the first deploy");
    Ok(((), shown))
}

async fn revoked(stage: &Stage) -> Result<((), Shown)> {
    let inspect = stage.kedge(&["inspect", NAME]).await?;
    let (app, hash) = (
        text(&inspect, "app")?.to_owned(),
        text(&inspect, "compose_hash")?.to_owned(),
    );
    stage
        .kedge(&["app", "revoke", &app, "--compose-hash", &hash])
        .await?;
    let begun = Instant::now();
    loop {
        let ps = stage.kedge(&["ps"]).await?;
        let row = ps.pointer("/instances/0").context("one instance")?;
        if text(row, "state")?.starts_with("stopped") {
            let gone = stage.page().is_err();
            let shown = Shown::default()
                .fact("lease", text(row, "lease")?)
                .fact("stopped after", format!("{:.1} s", begun.elapsed().as_secs_f64()))
                .must(gone, "the address answers no more");
            return Ok(((), shown));
        }
        if begun.elapsed() > STOPPED {
            bail!("the app was not stopped within {STOPPED:?}: {row}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
