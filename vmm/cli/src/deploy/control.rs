//! The agent's control socket.

use super::instance::Instance;
use crate::exit::{Refused, Unreachable};
use anyhow::{Context, Result};
use reqwest::{Client, Response};
use serde_json::Value;
use std::time::Duration;

/// Bytes of one answer.
const MAX_ANSWER: usize = 8 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the instance's agent. Making one costs more than asking: who asks again keeps it.
///
/// # Errors
/// When TLS's certificates cannot be read, though they are not needed here.
pub(super) fn client(instance: &Instance) -> Result<Client> {
    Ok(Client::builder()
        .unix_socket(instance.paths().agent_socket())
        .no_proxy()
        .build()?)
}

/// What the agent answers at a path.
///
/// # Errors
/// [`Unreachable`] when it does not answer.
pub(super) async fn get(instance: &Instance, path: &str) -> Result<Value> {
    ask(&client(instance)?, path).await
}

/// The same, by a client that is there.
///
/// # Errors
/// [`Unreachable`] when it does not answer.
pub(super) async fn ask(client: &Client, path: &str) -> Result<Value> {
    let asked = client.get(format!("http://agent{path}")).timeout(TIMEOUT).send();
    read(asked.await).await
}

/// Asks the agent to stop the app and waits for it.
///
/// # Errors
/// [`Unreachable`] when it does not answer.
pub(super) async fn stop(instance: &Instance, patience: Duration) -> Result<Value> {
    let url = format!("http://agent/v1/stop?timeout_s={}", patience.as_secs());
    let asked = client(instance)?.post(url).timeout(patience + TIMEOUT).send();
    read(asked.await).await
}

/// Log lines as they come.
///
/// # Errors
/// [`Unreachable`] when it does not answer.
pub(super) async fn stream(instance: &Instance, path: &str) -> Result<Response> {
    let asked = client(instance)?.get(format!("http://agent{path}")).send().await;
    let answer = asked.map_err(|_| silent())?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    read(Ok(answer)).await?;
    Err(silent().into())
}

fn silent() -> Unreachable {
    Unreachable("its agent does not answer: it does not run, or is starting".to_owned())
}

async fn read(answer: reqwest::Result<Response>) -> Result<Value> {
    let mut answer = answer.map_err(|_| silent())?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|_| silent())? {
        if body.len() + part.len() > MAX_ANSWER {
            anyhow::bail!("the agent answers with more than {MAX_ANSWER} bytes");
        }
        body.extend_from_slice(&part);
    }
    let value: Value = serde_json::from_slice(&body).context("answer of the agent")?;
    if status.is_success() {
        return Ok(value);
    }
    let detail = value.get("detail").and_then(Value::as_str).unwrap_or_default();
    let said = format!("the agent answers {status}: {detail}");
    if status.is_client_error() {
        return Err(Refused(said).into());
    }
    Err(Unreachable(said).into())
}
