//! Images built without a container tool: layers, a configuration and an OCI layout around them. The same description always
//! gives the same digest.

mod build;
mod layer;
mod push;

pub use build::OciLayout;
pub use layer::Layer;
pub use push::{push_blob, push_manifest};

use crate::process::require;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::process::Command;

/// Whose names the documents carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MediaTypes {
    /// Names of the OCI image specification.
    #[default]
    Oci,
    /// Names of Docker's manifest version 2.
    Docker,
}

/// How a container of the image says that it is well; times in nanoseconds in the document.
#[derive(Debug, Clone, Default)]
pub struct Healthcheck {
    /// `CMD`, `CMD-SHELL` or `NONE` and its words.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: std::time::Duration,
    /// For one check.
    pub timeout: std::time::Duration,
    /// After the start, while failures do not count.
    pub start_period: std::time::Duration,
    /// Failures in a row until it is unhealthy.
    pub retries: u32,
}

/// An image to build.
#[derive(Debug, Clone, Default)]
pub struct Image {
    layers: Vec<Layer>,
    config: Map<String, Value>,
    media_types: MediaTypes,
}

fn words(words: &[&str]) -> Value {
    json!(words)
}

impl Image {
    /// An image without layers.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Debian's static busybox with a link for each of its programs, the usual folders, users `root`, `app` (1000) and `nobody`.
    ///
    /// # Errors
    /// When busybox is not installed or cannot be read.
    pub fn busybox() -> Result<Self> {
        let program = require("busybox", "busybox-static")?;
        let bytes = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        let list = Command::new(&program)
            .arg("--list")
            .output()
            .context("busybox --list")?;
        let mut layer = Layer::new();
        for dir in [
            "bin", "dev", "etc", "home", "home/app", "proc", "root", "run", "sys", "usr", "usr/bin", "var",
        ] {
            layer = layer.dir(dir, 0o755);
        }
        layer = layer
            .dir("tmp", 0o1777)
            .file("bin/busybox", bytes, 0o755)
            .file(
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
                0o644,
            )
            .file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnobody:x:65534:\n", 0o644);
        for applet in String::from_utf8_lossy(&list.stdout)
            .lines()
            .filter(|name| *name != "busybox")
        {
            layer = layer.symlink(&format!("bin/{applet}"), "busybox");
        }
        Ok(Self::empty()
            .layer(layer)
            .env(&["PATH=/bin:/usr/bin"])
            .cmd(&["sh"]))
    }

    /// One more layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// `Entrypoint`.
    #[must_use]
    pub fn entrypoint(self, args: &[&str]) -> Self {
        self.set("Entrypoint", words(args))
    }

    /// `Cmd`.
    #[must_use]
    pub fn cmd(self, args: &[&str]) -> Self {
        self.set("Cmd", words(args))
    }

    /// `Env`, as `NAME=value`.
    #[must_use]
    pub fn env(self, pairs: &[&str]) -> Self {
        self.set("Env", words(pairs))
    }

    /// `User`, by name or number, with or without a group.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.set("User", json!(user))
    }

    /// `WorkingDir`.
    #[must_use]
    pub fn workdir(self, dir: &str) -> Self {
        self.set("WorkingDir", json!(dir))
    }

    /// `StopSignal`.
    #[must_use]
    pub fn stop_signal(self, signal: &str) -> Self {
        self.set("StopSignal", json!(signal))
    }

    /// `Volumes`.
    #[must_use]
    pub fn volumes(self, paths: &[&str]) -> Self {
        let set: Map<String, Value> = paths.iter().map(|path| ((*path).to_owned(), json!({}))).collect();
        self.set("Volumes", Value::Object(set))
    }

    /// `ExposedPorts`, as `80/tcp`.
    #[must_use]
    pub fn expose(self, ports: &[&str]) -> Self {
        let set: Map<String, Value> = ports.iter().map(|port| ((*port).to_owned(), json!({}))).collect();
        self.set("ExposedPorts", Value::Object(set))
    }

    /// `Labels`.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        let labels = self.config.entry("Labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(name.to_owned(), json!(value));
        }
        self
    }

    /// `Healthcheck`, Docker's extension of the configuration.
    #[must_use]
    pub fn healthcheck(self, check: &Healthcheck) -> Self {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let value = json!({
            "Test": check.test,
            "Interval": nanos(check.interval),
            "Timeout": nanos(check.timeout),
            "StartPeriod": nanos(check.start_period),
            "Retries": check.retries,
        });
        self.set("Healthcheck", value)
    }

    /// Any field of the configuration, for what has no method here and for wrong values.
    #[must_use]
    pub fn set(mut self, field: &str, value: Value) -> Self {
        self.config.insert(field.to_owned(), value);
        self
    }

    /// Whose media types the documents carry.
    #[must_use]
    pub fn media_types(mut self, types: MediaTypes) -> Self {
        self.media_types = types;
        self
    }
}
