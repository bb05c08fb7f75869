//! The honest node behind the lies.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use url::Url;

/// A JSON-RPC endpoint, asked and believed.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    url: Url,
    client: reqwest::Client,
}

impl Upstream {
    pub(crate) fn new(url: Url) -> Self {
        // Which provider is first does not matter: nothing here is encrypted.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            url,
            client: reqwest::Client::new(),
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends one request or a batch as it is.
    pub(crate) async fn send(&self, request: &Value) -> Result<Value> {
        let answer = self.client.post(self.url.clone()).json(request).send().await?;
        Ok(answer.json().await?)
    }

    /// The result of one call.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer = self.send(&request).await?;
        let result = answer.get_mut("result").map(Value::take);
        result.with_context(|| format!("{method}: {answer}"))
    }

    /// A block by tag or number.
    pub(crate) async fn block(&self, tag: impl Into<Value>) -> Result<Value> {
        self.call("eth_getBlockByNumber", json!([tag.into(), false]))
            .await
    }
}

/// A quantity of JSON-RPC.
pub(crate) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// A number as a quantity.
pub(crate) fn hex(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}
