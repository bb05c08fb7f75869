//! The program `authority-bridge` as a child process, and the requests a dstack KMS sends it.

use crate::fixture::{Net, PATIENCE};
use kms_types::{BootInfo, ChainAddress};
use reqwest::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub fn command(args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_authority-bridge"))
        .args(args)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// A configuration that follows `contract` through one endpoint; `more` goes to the end of `[chain]`.
pub fn config(endpoint: &str, contract: ChainAddress, database: &Path, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nread_timeout_ms = 1000\n\
         [database]\nurl = \"sqlite:{}?mode=rwc\"\nfloor_copy = \"{}\"\n[log]\nformat = \"text\"\n\
         [chain]\nchain_id = 31337\ncontract = \"{contract}\"\nendpoints = [{{ http = \"{endpoint}\" }}]\n\
         poll_interval_ms = 50\ndevelopment = true\n{more}\n",
        database.display(),
        database.with_extension("floor").display(),
    )
}

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    pub url: String,
    http: reqwest::Client,
}

impl Program {
    /// Starts it over the chain of `net`, with its database in `folder`.
    pub fn start(net: &Net, contract: ChainAddress, folder: &TempDir) -> Self {
        let database = folder.path().join("bridge.db");
        let text = config(
            &net.anvil.endpoint(),
            contract,
            &database,
            "max_head_age_s = 3600",
        );
        Self::with(&text, folder)
    }

    pub fn with(text: &str, folder: &TempDir) -> Self {
        let file = folder.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_authority-bridge"))
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the program says where it listens");
        Self {
            child,
            url: format!("http://{}", ready["address"].as_str().unwrap()),
            // A refused body ends its connection, which must not be taken for the next request.
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, body.to_string()).await
    }

    pub async fn send(&self, method: Method, path: &str, body: String) -> (StatusCode, Value) {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap())
    }

    /// Asks until the answer is as expected; the chain is followed in its own time.
    pub async fn until(&self, path: &str, body: &Value, holds: impl Fn(StatusCode, &Value) -> bool) -> Value {
        let from = Instant::now();
        loop {
            let (status, answer) = self.post(path, body).await;
            if holds(status, &answer) {
                return answer;
            }
            assert!(from.elapsed() < PATIENCE, "{status} {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is ready, or is no longer.
    pub async fn ready(&self, wanted: bool) -> String {
        let from = Instant::now();
        loop {
            let response = self.get("/readyz").await;
            let is_ready = response.status() == StatusCode::OK;
            let text = response.text().await.unwrap();
            if is_ready == wanted {
                return text;
            }
            assert!(from.elapsed() < PATIENCE, "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// SIGTERM, and what it exits with.
    pub fn terminate(mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.id()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A body as a dstack KMS makes it: camelCase, bytes in hex without `0x`, fields no contract knows.
pub fn body(info: &BootInfo) -> Value {
    json!({
        "attestationMode": "dstack-tdx",
        "mrAggregated": info.mr_aggregated.to_plain_hex(),
        "osImageHash": info.os_image_hash.to_plain_hex(),
        "mrSystem": info.mr_system.to_plain_hex(),
        "appId": info.app_id.to_plain_hex(),
        "composeHash": info.compose_hash.to_plain_hex(),
        "instanceId": info.instance_id.to_plain_hex(),
        "deviceId": info.device_id.to_plain_hex(),
        "keyProviderInfo": "7b226e616d65223a226b6d73227d",
        "tcbStatus": info.tcb_status.as_str(),
        "advisoryIds": info.advisory_ids,
    })
}

/// The answer a dstack KMS reads; a field it misses is an error to it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootResponse {
    pub is_allowed: bool,
    pub gateway_app_id: String,
    pub reason: String,
}

/// What it reads of `GET /`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthApiInfo {
    pub status: String,
    pub kms_contract_addr: String,
    pub gateway_app_id: String,
    pub chain_id: u64,
    pub app_implementation: String,
}
