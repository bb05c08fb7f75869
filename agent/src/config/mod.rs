//! Configuration: commented defaults, a file over them, the environment over both. Refuses unknown keys and values that
//! cannot work; tells all problems at once.

use kms_settings::{Checker, Layers, Sections};
pub use kms_settings::{ConfigError, ConfigProblem};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

/// The commented defaults.
pub const DEFAULT: &str = include_str!("default.toml");

const LAYERS: Layers = Layers {
    defaults: DEFAULT,
    env_prefix: "KEDGE_AGENT__",
};

/// The agent's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The app's sockets.
    pub sockets: Sockets,
    /// The container runtime.
    pub containers: Containers,
    /// Scripts of the compose document.
    pub scripts: Scripts,
    /// The lease.
    pub lease: Lease,
    /// The public page.
    pub page: Page,
    /// The log.
    pub log: Log,
}

/// The app's sockets; an empty path is one in the run folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    /// `dstack.sock`.
    pub dstack: PathBuf,
    /// `kedge.sock`.
    pub kedge: PathBuf,
    /// `tappd.sock`.
    pub tappd: PathBuf,
}

/// The container runtime.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Containers {
    /// containerd's socket.
    pub containerd: PathBuf,
    /// Namespace in it.
    pub namespace: String,
    /// Snapshotter.
    pub snapshotter: String,
    /// Folder of the CNI plugins.
    pub cni_bin: PathBuf,
    /// Program of `init: true`.
    pub init: PathBuf,
    /// Writer of logs, one process for each container.
    pub log_writer: PathBuf,
    /// Block of the networks.
    pub subnet_base: Ipv4Addr,
    /// Its prefix.
    pub subnet_prefix: u8,
    /// Upstream name servers.
    pub resolv_conf: PathBuf,
    /// Seconds to end in.
    pub stop_grace_s: u64,
}

/// Scripts of the compose document.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripts {
    /// Seconds of the pre-launch script; 0 is no bound.
    pub pre_launch_timeout_s: u64,
}

/// The lease.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Percent of a lease after which it is renewed.
    pub renew_at_percent: u32,
    /// Seconds.
    pub retry_first_s: u64,
    /// Seconds.
    pub retry_longest_s: u64,
    /// Seconds.
    pub request_timeout_s: u64,
    /// Seconds, when the compose document does not say.
    pub default_grace_s: u32,
}

/// The public page.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Where it listens.
    pub address: IpAddr,
    /// 0 turns it off.
    pub port: u16,
}

/// The log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Its format.
    pub format: LogFormat,
    /// Filter of the tracing crate.
    pub filter: String,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Config {
    /// Reads defaults, file and environment.
    ///
    /// # Errors
    /// With every problem.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(LAYERS.load(file, variables))
    }

    /// Reads a text over the defaults.
    ///
    /// # Errors
    /// With every problem.
    pub fn text(text: &str) -> Result<Self, ConfigError> {
        Self::read(LAYERS.text(text))
    }

    fn read(sections: Sections) -> Result<Self, ConfigError> {
        sections.finish(Self::take, Self::check, |_| true)
    }

    fn take(sections: &mut Sections) -> Option<Self> {
        // Every section is taken before the first missing one ends this: all problems are told at once.
        let sockets = sections.take("sockets");
        let containers = sections.take("containers");
        let scripts = sections.take("scripts");
        let lease = sections.take("lease");
        let page = sections.take("page");
        let log = sections.take("log");
        Some(Self {
            sockets: sockets?,
            containers: containers?,
            scripts: scripts?,
            lease: lease?,
            page: page?,
            log: log?,
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut checker = Checker::default();
        let (containers, lease) = (&self.containers, &self.lease);
        let name = |text: &str| {
            !text.is_empty()
                && text.len() <= 76
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        for (key, path) in [
            ("containers.containerd", &containers.containerd),
            ("containers.cni_bin", &containers.cni_bin),
            ("containers.resolv_conf", &containers.resolv_conf),
        ] {
            checker.require(path.is_absolute(), key, "an absolute path", path.display());
        }
        for (key, path) in [
            ("sockets.dstack", &self.sockets.dstack),
            ("sockets.kedge", &self.sockets.kedge),
            ("sockets.tappd", &self.sockets.tappd),
            ("containers.init", &containers.init),
            ("containers.log_writer", &containers.log_writer),
        ] {
            let holds = path.as_os_str().is_empty() || path.is_absolute();
            checker.require(holds, key, "nothing or an absolute path", path.display());
        }
        let expected = "letters, digits, '-', '_', '.'";
        checker.require(
            name(&containers.namespace),
            "containers.namespace",
            expected,
            &containers.namespace,
        );
        checker.require(
            name(&containers.snapshotter),
            "containers.snapshotter",
            expected,
            &containers.snapshotter,
        );
        checker.between(
            "containers.subnet_prefix",
            "8 to 24",
            8..=24,
            containers.subnet_prefix.into(),
        );
        checker.between(
            "containers.stop_grace_s",
            "1 to 3600",
            1..=3600,
            containers.stop_grace_s,
        );
        checker.between(
            "scripts.pre_launch_timeout_s",
            "at most 86400",
            0..=86_400,
            self.scripts.pre_launch_timeout_s,
        );
        checker.between(
            "lease.renew_at_percent",
            "1 to 90",
            1..=90,
            lease.renew_at_percent.into(),
        );
        checker.between("lease.retry_first_s", "1 to 3600", 1..=3600, lease.retry_first_s);
        checker.between(
            "lease.retry_longest_s",
            "1 to 3600",
            1..=3600,
            lease.retry_longest_s,
        );
        checker.between(
            "lease.request_timeout_s",
            "1 to 120",
            1..=120,
            lease.request_timeout_s,
        );
        checker.between(
            "lease.default_grace_s",
            "at most 604800",
            0..=u64::from(app_manifest::MAX_LEASE_GRACE),
            lease.default_grace_s.into(),
        );
        checker.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_start() {
        let config = Config::text("").unwrap();
        assert_eq!(config.page.port, 8090);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "[page]\nport = 70000\n[lease]\nrenew_at_percent = 99\n[containers]\nnamespace = \"a/b\"\nmore = 1\n[extra]\n";
        let told = Config::text(text).unwrap_err().to_string();
        for word in ["[page]", "[containers]", "more", "[extra]"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        let told =
            Config::text("[lease]\nrenew_at_percent = 99\n[containers]\nnamespace = \"a/b\"\n").unwrap_err();
        assert_eq!(told.0.len(), 2, "{told}");
    }

    #[test]
    fn the_environment_overrides_single_keys() {
        let variable = ("KEDGE_AGENT__PAGE__PORT".to_owned(), "0".to_owned());
        assert_eq!(Config::load(None, [variable]).unwrap().page.port, 0);
        let variable = ("KEDGE_AGENT__PAGE__PROT".to_owned(), "0".to_owned());
        assert!(Config::load(None, [variable]).is_err());
    }
}
