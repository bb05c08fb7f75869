//! Asking a KMS node over HTTPS for what everyone may read. Refused: answers above a bound. A node's certificate is not
//! checked here: what it says is compared with the chain or checked by itself, and nothing secret is asked.

use crate::{
    cli::Target,
    connection::{Connection, Role},
    exit::{Refused, Unreachable},
};
use anyhow::{Result, bail};
use kms_wire::Problem;
use std::{path::Path, time::Duration};

/// The node that was named, or the development network's.
pub(crate) async fn url(state: &Path, url: Option<String>) -> Result<String> {
    let url = match url {
        Some(url) => url,
        None => {
            let target = Target {
                rpc: None,
                authority: None,
                key_file: None,
                key_env: None,
                no_wait: false,
            };
            let at = Connection::open(state, &target, Role::Reader).await?;
            let kms = at.dev.as_ref().and_then(|dev| dev.kms.as_ref());
            let url = kms.map(|kms| kms.url.clone());
            url.ok_or_else(|| Refused("no KMS node: name one with --url".to_owned()))?
        }
    };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        bail!("--url: expected https://HOST:PORT, got {url}");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// What the node answers at a path.
pub(crate) async fn get(url: &str, path: &str, limit: usize) -> Result<Vec<u8>> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(Duration::from_secs(30))
        .build()?;
    let silent = |error: reqwest::Error| {
        Unreachable(format!(
            "the KMS does not answer at {url}: {:#}",
            anyhow::Error::new(error.without_url())
        ))
    };
    let mut answer = client.get(format!("{url}{path}")).send().await.map_err(silent)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(silent)? {
        if body.len() + part.len() > limit {
            return Err(Refused(format!("the KMS answers with more than {limit} bytes")).into());
        }
        body.extend_from_slice(&part);
    }
    if status.is_success() {
        return Ok(body);
    }
    let said =
        serde_json::from_slice::<Problem>(&body).map_or_else(|_| String::new(), |problem| problem.detail);
    let text = format!("the KMS at {url} answers {status}: {said}");
    if status.is_server_error() {
        return Err(Unreachable(text).into());
    }
    Err(Refused(text).into())
}
