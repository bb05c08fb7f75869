//! Which values may start a node.

use super::{Config, ConfigError, Seal};
use crate::store::Engine;
use kms_settings::Checker;

const HTTP: &[&str] = &["http", "https"];
const HTTPS: &[&str] = &["https"];

impl Config {
    /// True when something in it protects nothing: a root key in a file, a TD that is simulated.
    pub(crate) fn needs_development(&self) -> bool {
        self.keys.seal == Seal::Keyfile || self.td.device.starts_with("socket:")
    }

    /// Schemes of a URL.
    const fn schemes<'a>(&self, development: &'a [&'a str], otherwise: &'a [&'a str]) -> &'a [&'a str] {
        // C1: without TLS whoever is on the way answers for the chain, or withholds what revokes a platform.
        if self.chain.development {
            development
        } else {
            otherwise
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// With all that are refused.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut checker = Checker::default();
        self.check_server(&mut checker);
        self.chain.check(&mut checker);
        self.check_collateral(&mut checker);
        self.check_td_and_keys(&mut checker);
        self.check_database_and_limits(&mut checker);
        self.check_history(&mut checker);
        checker.finish()
    }

    fn check_history(&self, checker: &mut Checker) {
        let history = &self.history;
        checker.require(
            history.from_block >= -1,
            "history.from_block",
            "a block number, or -1",
            history.from_block,
        );
        for (key, shown, range, value) in [
            (
                "history.decisions_keep",
                "0 to 10000000",
                0..=10_000_000,
                history.decisions_keep,
            ),
            (
                "history.decisions_keep_days",
                "1 to 36500",
                1..=36_500,
                history.decisions_keep_days,
            ),
            (
                "history.decisions_kms_every_s",
                "0 to 86400",
                0..=86_400,
                history.decisions_kms_every_s,
            ),
        ] {
            checker.between(key, shown, range, value);
        }
    }

    fn check_server(&self, checker: &mut Checker) {
        let server = &self.server;
        checker.between(
            "server.max_connections",
            "1 to 65536",
            1..=65_536,
            server.max_connections as u64,
        );
        checker.between(
            "server.max_connections_per_peer",
            "1 to 65536",
            1..=65_536,
            server.max_connections_per_peer as u64,
        );
        checker.between(
            "server.max_in_flight",
            "1 to 65536",
            1..=65_536,
            server.max_in_flight as u64,
        );
        checker.between(
            "server.read_timeout_ms",
            "100 to 60000",
            100..=60_000,
            server.read_timeout_ms,
        );
        checker.between(
            "server.idle_timeout_ms",
            "100 to 600000",
            100..=600_000,
            server.idle_timeout_ms,
        );
        checker.between(
            "server.request_timeout_ms",
            "100 to 120000",
            100..=120_000,
            server.request_timeout_ms,
        );
        checker.between(
            "server.drain_timeout_ms",
            "0 to 120000",
            0..=120_000,
            server.drain_timeout_ms,
        );
        checker.require(
            server.names.len() <= 16,
            "server.names",
            "at most 16 names",
            server.names.len(),
        );
        for name in &server.names {
            let holds = name.parse::<std::net::IpAddr>().is_ok() || is_dns_name(name);
            checker.require(holds, "server.names", "DNS names or IP addresses", name);
        }
    }

    fn check_collateral(&self, checker: &mut Checker) {
        let collateral = &self.collateral;
        checker.url(
            "collateral.pcs_url",
            self.schemes(HTTP, HTTPS),
            "an https URL (http in a development network)",
            &collateral.pcs_url,
        );
        if !collateral.root_crl_url.is_empty() {
            let expected = "an https URL (http in a development network), or nothing";
            checker.url(
                "collateral.root_crl_url",
                self.schemes(HTTP, HTTPS),
                expected,
                &collateral.root_crl_url,
            );
        }
        let week = 7 * 86_400;
        checker.between(
            "collateral.refresh_before_s",
            "0 to 604800",
            0..=week,
            collateral.refresh_before_s,
        );
        checker.between(
            "collateral.refresh_every_s",
            "1 to 604800",
            1..=week,
            collateral.refresh_every_s,
        );
        let timeout = collateral.request_timeout_ms;
        checker.between(
            "collateral.request_timeout_ms",
            "100 to 60000",
            100..=60_000,
            timeout,
        );
    }

    fn check_td_and_keys(&self, checker: &mut Checker) {
        let (td, keys) = (&self.td, &self.keys);
        let device = td.device == "tsm"
            || td
                .device
                .strip_prefix("socket:")
                .is_some_and(|path| !path.is_empty());
        checker.require(device, "td.device", "tsm or socket:PATH", &td.device);
        // K4: behind a socket anyone can stand, and would be told the sealing key.
        let hardware = self.chain.development || !td.device.starts_with("socket:");
        checker.require(
            hardware,
            "td.device",
            "\"tsm\" outside a development network",
            "\"socket:…\"",
        );
        checker.require(
            td.seed().is_ok(),
            "td.instance_seed",
            "20 bytes in hex, or nothing",
            "another text",
        );
        checker.between(
            "td.requote_interval_s",
            "1 to 86400",
            1..=86_400,
            td.requote_interval_s,
        );
        let root = !keys.root_file.as_os_str().is_empty();
        checker.require(root, "keys.root_file", "a path", "nothing");
        if keys.seal == Seal::Keyfile {
            // K4: a key beside the file it opens protects nothing; only a development network may run like that.
            let development = self.chain.development;
            checker.require(
                development,
                "keys.seal",
                "\"td\" outside a development network",
                "\"keyfile\"",
            );
            let named = !keys.keyfile.as_os_str().is_empty();
            checker.require(named, "keys.keyfile", "a path, for seal = \"keyfile\"", "nothing");
        }
        checker.between("keys.lease_s", "30 to 3600", 30..=3600, keys.lease_s);
        checker.between(
            "keys.certificate_s",
            "300 to 604800",
            300..=7 * 86_400,
            keys.certificate_s,
        );
    }

    fn check_database_and_limits(&self, checker: &mut Checker) {
        let (database, limits) = (&self.database, &self.limits);
        let engine = Engine::of_url(&database.url).is_some();
        checker.require(
            engine,
            "database.url",
            "sqlite:PATH or postgres://…",
            "another scheme",
        );
        checker.between(
            "database.max_connections",
            "2 to 64",
            2..=64,
            database.max_connections.into(),
        );
        checker.between(
            "database.timeout_ms",
            "100 to 60000",
            100..=60_000,
            database.timeout_ms,
        );
        for (key, value) in [
            ("limits.peer_per_s", limits.peer_per_s),
            ("limits.peer_burst", limits.peer_burst),
            ("limits.device_per_s", limits.device_per_s),
            ("limits.device_burst", limits.device_burst),
            ("limits.app_per_s", limits.app_per_s),
            ("limits.app_burst", limits.app_burst),
        ] {
            checker.between(key, "1 to 1000000", 1..=1_000_000, value.into());
        }
    }
}

fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [chain]
        chain_id = 31337
        contract = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
        endpoints = [{ http = "https://one.example:8545" }, { http = "https://two.example:8545" }]
    "#;

    fn problems(text: &str) -> Vec<String> {
        Config::from_toml(text)
            .map(|_| vec![])
            .unwrap_or_else(|ConfigError(all)| all.iter().map(ToString::to_string).collect())
    }

    fn with(name: &str, value: &str) -> Vec<(String, String)> {
        let chain = [
            ("KEDGE_KMS__CHAIN__CHAIN_ID", "31337"),
            (
                "KEDGE_KMS__CHAIN__CONTRACT",
                "5FbDB2315678afecb367f032d93F642f64180aa3",
            ),
            (
                "KEDGE_KMS__CHAIN__ENDPOINTS",
                "[{ http = \"https://one.example\", ws = \"wss://one.example\" }, { http = \"https://two.example\" }]",
            ),
            (name, value),
        ];
        chain
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    #[test]
    fn defaults_fail_closed() {
        let problems = problems("");
        for key in ["chain.chain_id", "chain.contract", "chain.endpoints"] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(key)),
                "{key}: {problems:?}"
            );
        }
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_named_chain_is_enough() {
        assert_eq!(problems(GOOD), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text =
            format!("{GOOD}\nthreshold = 1\n[keys]\nseal = \"keyfile\"\nlease_s = 1\n[td]\ndevice = \"usb\"");
        let problems = problems(&text);
        assert_eq!(problems.len(), 5, "{problems:?}");
    }

    #[test]
    fn unknown_sections_and_keys_are_refused() {
        let problems = problems(&format!("{GOOD}\nfoo = 1\n[bar]\nx = 1\n[server]\nlisten = 5"));
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn k4_key_file_outside_a_development_network_is_refused() {
        let keys = "[keys]\nseal = \"keyfile\"\nkeyfile = \"/k\"";
        assert_eq!(problems(&format!("{GOOD}\n{keys}")).len(), 1);
        assert_eq!(problems(&format!("{GOOD}\ndevelopment = true\n{keys}")).len(), 0);
    }

    #[test]
    fn k4_simulated_td_outside_a_development_network_is_refused() {
        let td = "[td]\ndevice = \"socket:/td.sock\"";
        let found = problems(&format!("{GOOD}\n{td}"));
        assert!(
            found.len() == 1 && found[0].starts_with("td.device") && found[0].contains("development"),
            "{found:?}"
        );
        assert_eq!(problems(&format!("{GOOD}\ndevelopment = true\n{td}")).len(), 0);
    }

    #[test]
    fn c1_urls_without_tls_outside_a_development_network_are_refused() {
        let plain = GOOD.replace(
            "https://one.example:8545\"",
            "http://one.example\", ws = \"ws://one.example\"",
        );
        let rest = "[collateral]\npcs_url = \"http://127.0.0.1:1\"\n\
                    root_crl_url = \"http://127.0.0.1:1/crl\"";
        let found = problems(&format!("{plain}\n{rest}"));
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(problems(&format!("{plain}\ndevelopment = true\n{rest}")).len(), 0);
    }

    #[test]
    fn c2_a_single_endpoint_outside_a_development_network_is_refused() {
        let single = GOOD.replace(", { http = \"https://two.example:8545\" }", "");
        let found = problems(&single);
        assert!(
            found.len() == 1 && found[0].starts_with("chain.endpoints: expected 2"),
            "{found:?}"
        );
        assert_eq!(problems(&format!("{single}\ndevelopment = true")).len(), 0);
    }

    #[test]
    fn c2_a_threshold_of_a_minority_or_of_more_than_there_are_is_refused() {
        for (threshold, expected) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
            let found = problems(&format!("{GOOD}\nthreshold = {threshold}"));
            assert_eq!(found.len(), expected, "{threshold}: {found:?}");
        }
    }

    #[test]
    fn c2_one_provider_under_two_entries_is_refused() {
        let found = problems(&GOOD.replace("two.example:8545", "one.example:8545/other/key"));
        assert_eq!(
            found,
            ["chain.endpoints: expected providers of different hosts, got one.example"]
        );
    }

    #[test]
    fn environment_overrides_and_is_checked_as_strictly() {
        let config = Config::load(None, with("KEDGE_KMS__SERVER__NAMES", "[\"kms.example\"]")).unwrap();
        assert_eq!(config.server.names, ["kms.example"]);
        assert_eq!(config.chain.chain_id.0, 31337);
        for (name, value) in [
            ("KEDGE_KMS__SERVER__NO_SUCH", "1"),
            ("KEDGE_KMS__NO_SUCH__KEY", "1"),
            ("KEDGE_KMS__LISTEN", "1"),
            ("KEDGE_KMS__SERVER__MAX_IN_FLIGHT", "many"),
            ("KEDGE_KMS__SERVER__NAMES", "[\"-bad-\"]"),
        ] {
            assert!(Config::load(None, with(name, value)).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn secrets_in_urls_are_not_repeated() {
        let problems = problems(&GOOD.replace("https://", "ftp://user:hunter2@"));
        assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.contains("hunter2")));
    }
}
