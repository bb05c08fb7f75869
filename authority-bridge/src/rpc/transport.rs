//! HTTP transport with a bound on the response. The stock transport reads whatever comes.

use alloy::{
    rpc::json_rpc::{RequestPacket, ResponsePacket},
    transports::{TransportError, TransportErrorKind, TransportFut},
};
use reqwest::{Client, Response, redirect};
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;
use url::Url;

/// One endpoint over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct BoundedHttp {
    client: Client,
    url: Url,
    limit: usize,
}

impl BoundedHttp {
    pub(crate) fn new(url: Url, limit: usize, timeout: Duration) -> Result<Self, reqwest::Error> {
        // A redirect could lead into the operator's own network.
        let client = Client::builder()
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { client, url, limit })
    }

    async fn post(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        // The URL may hold a key; it must not reach a log through an error.
        let refused = |error: reqwest::Error| TransportErrorKind::custom(error.without_url());
        let response = self
            .client
            .post(self.url)
            .json(&request)
            .send()
            .await
            .map_err(refused)?;
        let status = response.status();
        if !status.is_success() {
            return Err(TransportErrorKind::custom_str(&format!("HTTP status {status}")));
        }
        let body = bounded_body(response, self.limit).await?;
        serde_json::from_slice(&body)
            .map_err(|error| TransportErrorKind::custom_str(&format!("not a JSON-RPC response: {error}")))
    }
}

/// Reads at most `limit` bytes, whatever the headers announce.
async fn bounded_body(mut response: Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| TransportErrorKind::custom(error.without_url()))?
    {
        if body.len() + chunk.len() > limit {
            let text = format!("response: expected at most {limit} bytes");
            return Err(TransportErrorKind::custom_str(&text));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Service<RequestPacket> for BoundedHttp {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().post(request))
    }
}
