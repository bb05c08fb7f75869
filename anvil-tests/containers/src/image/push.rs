//! Pushing to a registry over plain HTTP on the loopback address; nothing else is offered.

use super::OciLayout;
use crate::registry::{PASSWORD, Registry, USER};
use anyhow::{Context, Result, bail};
use reqwest::{Client, Response, StatusCode};

impl OciLayout {
    /// Pushes the image as `name:tag`; gives the reference pinned to its digest.
    ///
    /// # Errors
    /// When the registry refuses it or does not answer.
    pub async fn push(&self, registry: &Registry, name: &str, tag: &str) -> Result<String> {
        for blob in [&self.config].into_iter().chain(&self.layers) {
            push_blob(registry, name, blob, self.blob(blob)?).await?;
        }
        push_manifest(registry, name, tag, self.media_type, self.blob(&self.digest)?).await?;
        Ok(format!("{}/{name}@{}", registry.address(), self.digest))
    }
}

/// Puts one blob into a repository.
///
/// # Errors
/// When the registry refuses it or does not answer.
pub async fn push_blob(registry: &Registry, name: &str, digest: &str, bytes: Vec<u8>) -> Result<()> {
    let base = format!("http://{}/v2/{name}/blobs", registry.address());
    let known = send(registry, Client::new().head(format!("{base}/{digest}"))).await?;
    if known.status().is_success() {
        return Ok(());
    }
    let opened = send(registry, Client::new().post(format!("{base}/uploads/"))).await?;
    let place = expect(opened, StatusCode::ACCEPTED)
        .await?
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok())
        .context("the registry gave no place for an upload")?
        .to_owned();
    let joint = if place.contains('?') { '&' } else { '?' };
    let put = Client::new()
        .put(format!("{place}{joint}digest={digest}"))
        .body(bytes);
    expect(send(registry, put).await?, StatusCode::CREATED).await?;
    Ok(())
}

/// Puts a manifest or an index under a tag or digest; the registry does not look whether its parts make sense together.
///
/// # Errors
/// When the registry refuses it or does not answer.
pub async fn push_manifest(
    registry: &Registry,
    name: &str,
    tag: &str,
    media_type: &str,
    bytes: Vec<u8>,
) -> Result<()> {
    let put = Client::new()
        .put(format!("http://{}/v2/{name}/manifests/{tag}", registry.address()))
        .header("content-type", media_type)
        .body(bytes);
    expect(send(registry, put).await?, StatusCode::CREATED).await?;
    Ok(())
}

async fn send(registry: &Registry, request: reqwest::RequestBuilder) -> Result<Response> {
    let request = if registry.asks_for_password() {
        request.basic_auth(USER, Some(PASSWORD))
    } else {
        request
    };
    request.send().await.context("ask the registry")
}

async fn expect(answer: Response, wanted: StatusCode) -> Result<Response> {
    if answer.status() != wanted {
        let (url, status) = (answer.url().clone(), answer.status());
        bail!(
            "{url}: expected {wanted}, got {status}: {}",
            answer.text().await.unwrap_or_default()
        );
    }
    Ok(answer)
}
