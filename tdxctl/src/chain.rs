//! An authority contract, asked through one endpoint that is believed. Nothing here is proven: a KMS node takes its facts from
//! proven state, this desk takes the word of an endpoint whose owner the user trusts, and says so wherever it shows an answer.

use crate::exit::{Failure, chain as causes};
use authority_contracts::{
    Answer, NetworkState, decode_answer, decode_kms_identity, decode_network_state, question,
};
use kms_types::{BootRecord, ChainAddress, ChainId, KeyEpoch};
use reqwest::{Client, Url, redirect::Policy};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest answer of the endpoint.
const MAX_ANSWER: usize = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

/// A contract behind an endpoint.
pub(crate) struct TrustedRpc {
    client: Client,
    url: Url,
    contract: ChainAddress,
}

/// A block the questions are asked at.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) number: String,
    hash: String,
}

impl TrustedRpc {
    pub(crate) fn new(url: &str, contract: ChainAddress) -> Result<Self, Failure> {
        let url = Url::parse(url).map_err(|error| Failure::usage(format_args!("RPC address: {error}")))?;
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| Failure::could_not_ask(&error))?;
        Ok(Self {
            client,
            url,
            contract,
        })
    }

    /// The block of a tag: `latest` or `finalized`.
    pub(crate) async fn block(&self, tag: &str) -> Result<At, Failure> {
        let block = self.call("eth_getBlockByNumber", json!([tag, false])).await?;
        let text = |name| block.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text("number"), text("hash")) {
            (Some(number), Some(hash)) => Ok(At { number, hash }),
            _ => Err(garbage(format_args!("no {tag} block"))),
        }
    }

    pub(crate) async fn chain_id(&self) -> Result<ChainId, Failure> {
        let id = self.call("eth_chainId", json!([])).await?;
        let id = id
            .as_str()
            .and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        id.map(ChainId).ok_or_else(|| garbage("no chain id"))
    }

    pub(crate) async fn network(&self, at: &At) -> Result<NetworkState, Failure> {
        let data = self.ask(&question::network_state(), at).await?;
        decode_network_state(&data).map_err(|error| garbage(causes(&error)))
    }

    pub(crate) async fn identity(
        &self,
        epoch: KeyEpoch,
        at: &At,
    ) -> Result<Option<authority_contracts::EpochIdentity>, Failure> {
        let data = self.ask(&question::kms_identity(epoch), at).await?;
        decode_kms_identity(&data).map_err(|error| garbage(causes(&error)))
    }

    pub(crate) async fn is_app_allowed(&self, record: &BootRecord, at: &At) -> Result<Answer, Failure> {
        let data = self.ask(&question::is_app_allowed(record), at).await?;
        decode_answer(&data).map_err(|error| garbage(causes(&error)))
    }

    async fn ask(&self, data: &[u8], at: &At) -> Result<Vec<u8>, Failure> {
        let call = json!({ "to": self.contract, "data": format!("0x{}", hex::encode(data)) });
        // By hash, so that every question of one run is about the same state.
        let answer = self
            .call("eth_call", json!([call, { "blockHash": at.hash }]))
            .await?;
        let bytes = answer
            .as_str()
            .and_then(|text| hex::decode(text.strip_prefix("0x")?).ok());
        bytes.ok_or_else(|| garbage("return data that is no hex"))
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let unreachable = |error: reqwest::Error| Failure::could_not_ask(&error.without_url());
        let response = self.client.post(self.url.clone()).json(&body).send().await;
        let mut response = response.map_err(unreachable)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(garbage(format_args!("more than {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Value =
            serde_json::from_slice(&bytes).map_err(|_| garbage("something that is no JSON"))?;
        match answer.get("result").filter(|result| !result.is_null()) {
            Some(result) => Ok(result.clone()),
            None => {
                let message = answer
                    .pointer("/error/message")
                    .and_then(Value::as_str)
                    .unwrap_or("no result");
                let message: String = message.chars().take(200).collect();
                Err(garbage(format_args!("{method}: {message}")))
            }
        }
    }
}

fn garbage(actual: impl std::fmt::Display) -> Failure {
    Failure::no_answer(format_args!("RPC endpoint: expected an answer, got {actual}"))
}
