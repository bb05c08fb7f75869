//! One JSON-RPC endpoint as a source of headers and evidence. It is asked by block hash wherever a block is meant.
//! Refused: another chain, a header that does not hash to its hash, answers that are missing, null or of another shape.

use super::{endpoint_name, shown, transport::BoundedHttp};
use crate::{
    BridgeConfig, BridgeError, EndpointConfig, Evidence, EvidenceSource, HeaderSource, Tip, Want,
    source::PIECE,
};
use alloy::{
    consensus::ReceiptEnvelope,
    eips::eip2930::AccessListResult,
    primitives::{Address, B256, Bytes, U64},
    rpc::{
        client::RpcClient,
        types::{EIP1186AccountProofResponse, Header},
    },
};
use async_trait::async_trait;
use authority_policy::{AccountEvidence, ProvenHeader, SlotEvidence};
use futures_util::{StreamExt, TryStreamExt, stream};
use kms_types::ChainId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use std::{sync::Arc, time::Duration};
use url::Url;

/// Requests in one batch; providers commonly allow 100 or more.
const BATCH: usize = 32;
/// Batches under way at a time.
const CONCURRENT: usize = 4;
/// Slots in one proof request.
const SLOTS: usize = 128;
/// Slots proven in one answer: some 7 KB each in the tries of a large chain.
const MAX_SLOTS: usize = 512;

/// A single provider, trusted for which headers are the chain's and for nothing else.
#[derive(Debug, Clone)]
pub struct Endpoint {
    name: String,
    client: RpcClient,
    /// The same with room for the receipts of a whole block, which anyone may fill with logs.
    bulk: RpcClient,
    /// Parts of the URL that may be a key.
    secrets: Arc<[String]>,
    chain_id: ChainId,
    timeout: Duration,
    gas_limit: u64,
}

/// How much larger the receipts of a block may be than other answers.
const BULK: usize = 16;
/// And how much longer they may take.
const BULK_TIME: u32 = 4;
/// Parts of a URL from this length on are not repeated, wherever they come from.
const SECRET: usize = 6;

pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) params: Value,
}

impl Endpoint {
    /// Prepares the client for one of the configuration's endpoints; nothing is sent yet.
    ///
    /// # Errors
    /// [`BridgeError::Endpoint`] when no HTTP client can be made from the configuration.
    pub fn new(config: &BridgeConfig, endpoint: &EndpointConfig) -> Result<Self, BridgeError> {
        Self::named(config, endpoint, endpoint_name(&endpoint.http))
    }

    pub(crate) fn named(
        config: &BridgeConfig,
        endpoint: &EndpointConfig,
        name: String,
    ) -> Result<Self, BridgeError> {
        let client = |limit, timeout| {
            let http = BoundedHttp::new(endpoint.http.clone(), limit, timeout);
            let http = http.map_err(|error| BridgeError::Endpoint {
                endpoint: name.clone(),
                field: "client",
                detail: shown(&error.without_url().to_string()),
            });
            Ok::<_, BridgeError>(RpcClient::new(http?, false))
        };
        Ok(Self {
            client: client(config.max_response_bytes, config.request_timeout)?,
            bulk: client(
                config.max_response_bytes.saturating_mul(BULK),
                config.request_timeout.saturating_mul(BULK_TIME),
            )?,
            secrets: secrets(&endpoint.http),
            name,
            chain_id: config.chain_id,
            timeout: config.request_timeout,
            gas_limit: config.gas_limit,
        })
    }

    pub(super) fn fault(&self, field: &'static str, detail: impl AsRef<str>) -> BridgeError {
        BridgeError::Endpoint {
            endpoint: self.name.clone(),
            field,
            detail: shown(&without(&self.secrets, detail.as_ref())),
        }
    }

    /// For answers of a block's size.
    pub(super) fn for_bulk(&self) -> Self {
        Self {
            client: self.bulk.clone(),
            timeout: self.timeout.saturating_mul(BULK_TIME),
            ..self.clone()
        }
    }

    /// Sends requests in batches, some at a time, each under the timeout; the first failure fails all.
    pub(super) async fn send(&self, requests: &[Request]) -> Result<Vec<Box<RawValue>>, BridgeError> {
        let sent: Vec<_> = requests
            .chunks(BATCH)
            .map(|chunk| self.send_in_time(chunk))
            .collect();
        let batches: Vec<Vec<Box<RawValue>>> = stream::iter(sent).buffered(CONCURRENT).try_collect().await?;
        Ok(batches.into_iter().flatten().collect())
    }

    /// The same, with no more slots to an answer than fit its bound.
    async fn send_weighed(&self, requests: Vec<(Request, usize)>) -> Result<Vec<Box<RawValue>>, BridgeError> {
        let mut groups: Vec<(Vec<Request>, usize)> = Vec::new();
        for (request, weight) in requests {
            match groups.last_mut().filter(|(_, sum)| *sum + weight <= MAX_SLOTS) {
                Some((group, sum)) => {
                    group.push(request);
                    *sum += weight;
                }
                None => groups.push((vec![request], weight)),
            }
        }
        let sent: Vec<_> = groups.iter().map(|(group, _)| self.send(group)).collect();
        let answers: Vec<Vec<Box<RawValue>>> = stream::iter(sent).buffered(CONCURRENT).try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn send_in_time(&self, requests: &[Request]) -> Result<Vec<Box<RawValue>>, BridgeError> {
        let first = requests.first().map_or("batch", |request| request.method);
        let sent = tokio::time::timeout(self.timeout, self.send_batch(requests)).await;
        sent.map_err(|_| self.fault(first, format!("no answer within {:?}", self.timeout)))?
    }

    async fn send_batch(&self, requests: &[Request]) -> Result<Vec<Box<RawValue>>, BridgeError> {
        let mut batch = self.client.new_batch();
        let mut waiting = Vec::with_capacity(requests.len());
        for request in requests {
            let answer = batch
                .add_call::<_, Box<RawValue>>(request.method, &request.params)
                .map_err(|error| self.fault(request.method, error.to_string()))?;
            waiting.push((request.method, answer));
        }
        let first = requests.first().map_or("batch", |request| request.method);
        batch
            .send()
            .await
            .map_err(|error| self.fault(first, error.to_string()))?;
        let mut results = Vec::with_capacity(waiting.len());
        for (method, answer) in waiting {
            results.push(
                answer
                    .await
                    .map_err(|error| self.fault(method, error.to_string()))?,
            );
        }
        Ok(results)
    }

    pub(super) fn read<T: DeserializeOwned>(
        &self,
        field: &'static str,
        raw: &RawValue,
    ) -> Result<T, BridgeError> {
        serde_json::from_str(raw.get()).map_err(|error| self.fault(field, error.to_string()))
    }

    fn header(&self, field: &'static str, raw: &RawValue) -> Result<Option<ProvenHeader>, BridgeError> {
        let Some(header) = self.read::<Option<Header>>(field, raw)? else {
            return Ok(None);
        };
        let proven = ProvenHeader::new(header.inner, header.hash);
        proven.map(Some).map_err(|fault| BridgeError::Evidence {
            endpoint: self.name.clone(),
            fault: Box::new(fault),
        })
    }

    fn present(
        &self,
        field: &'static str,
        header: Option<ProvenHeader>,
    ) -> Result<ProvenHeader, BridgeError> {
        header.ok_or_else(|| self.fault(field, "expected a block, got null"))
    }
}

// K4: a provider's own words may repeat the key it was asked with, and errors are shown to anyone.
pub(super) fn without(secrets: &[String], text: &str) -> String {
    let hide = |text: String, secret: &String| text.replace(secret.as_str(), "…");
    secrets.iter().fold(text.to_owned(), hide)
}

/// User, password, path segments and values of the query.
pub(super) fn secrets(url: &Url) -> Arc<[String]> {
    let values: Vec<String> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let parts = [url.username(), url.password().unwrap_or_default()];
    let segments = url.path_segments().into_iter().flatten();
    parts
        .into_iter()
        .chain(segments)
        .chain(values.iter().map(String::as_str))
        .filter(|part| part.len() >= SECRET)
        .map(str::to_owned)
        .collect()
}

fn by_number(tag: Value) -> Request {
    Request {
        method: "eth_getBlockByNumber",
        params: json!([tag, false]),
    }
}

#[async_trait]
impl HeaderSource for Endpoint {
    fn name(&self) -> &str {
        &self.name
    }

    async fn tip(&self) -> Result<Tip, BridgeError> {
        let chain = Request {
            method: "eth_chainId",
            params: json!([]),
        };
        let answers = self
            .send(&[chain, by_number(json!("latest")), by_number(json!("finalized"))])
            .await?;
        let [chain, head, finalized] = answers.as_slice() else {
            return Err(self.fault("batch", "expected three answers"));
        };
        let actual = ChainId(self.read::<U64>("eth_chainId", chain)?.to());
        // C1: asked with every tip, so that an endpoint that was moved to another chain is noticed at once.
        if actual != self.chain_id {
            return Err(BridgeError::WrongChain {
                endpoint: self.name.clone(),
                expected: self.chain_id,
                actual,
            });
        }
        Ok(Tip {
            head: self.present("latest block", self.header("latest block", head)?)?,
            finalized: self.present("finalized block", self.header("finalized block", finalized)?)?,
        })
    }

    async fn by_hash(&self, hash: B256) -> Result<Option<ProvenHeader>, BridgeError> {
        const METHOD: &str = "eth_getBlockByHash";
        let request = Request {
            method: METHOD,
            params: json!([hash, false]),
        };
        let answers = self.send(&[request]).await?;
        let raw = answers.first().ok_or_else(|| self.fault(METHOD, "no answer"))?;
        match self.header(METHOD, raw)? {
            Some(header) if header.hash() != hash => {
                Err(self.fault(METHOD, format!("expected block {hash}, got {}", header.hash())))
            }
            header => Ok(header),
        }
    }

    async fn range(&self, from: u64, to: u64) -> Result<Vec<ProvenHeader>, BridgeError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let wanted = to.saturating_sub(from).saturating_add(1).min(PIECE);
        let numbers = (0..wanted).map(|step| from.saturating_add(step));
        let requests: Vec<Request> = numbers
            .map(|number| by_number(json!(format!("{number:#x}"))))
            .collect();
        let answers = self.send(&requests).await?;
        answers
            .iter()
            .map(|raw| self.present(METHOD, self.header(METHOD, raw)?))
            .collect()
    }
}

#[async_trait]
impl EvidenceSource for Endpoint {
    fn name(&self) -> &str {
        &self.name
    }

    async fn evidence(&self, block: B256, wants: &[Want]) -> Result<Vec<Evidence>, BridgeError> {
        let at = json!({ "blockHash": block });
        let mut requests: Vec<(Request, usize)> = Vec::new();
        for want in wants {
            // An account without slots is one request, one with many slots several.
            let pages = want.slots.chunks(SLOTS);
            let pages: Vec<&[B256]> = if want.slots.is_empty() {
                vec![&[]]
            } else {
                pages.collect()
            };
            requests.extend(pages.into_iter().map(|slots| {
                let request = Request {
                    method: "eth_getProof",
                    params: json!([want.address, slots, at]),
                };
                (request, slots.len().max(1))
            }));
            if want.code {
                let request = Request {
                    method: "eth_getCode",
                    params: json!([want.address, at]),
                };
                // As long as the proofs of some slots.
                requests.push((request, 8));
            }
        }
        let answers = self.send_weighed(requests).await?;
        let mut answers = answers.iter();
        wants
            .iter()
            .map(|want| self.one_evidence(want, &mut answers))
            .collect()
    }

    async fn receipts(&self, block: B256) -> Result<Vec<ReceiptEnvelope>, BridgeError> {
        self.block_receipts(block).await
    }

    async fn hint(&self, block: B256, contract: Address, call: Bytes) -> Result<Vec<Want>, BridgeError> {
        const METHOD: &str = "eth_createAccessList";
        let transaction = json!({
            "from": Address::ZERO, "to": contract, "data": call, "gas": format!("{:#x}", self.gas_limit),
        });
        let request = Request {
            method: METHOD,
            params: json!([transaction, { "blockHash": block }]),
        };
        let answers = self.send(&[request]).await?;
        let raw = answers.first().ok_or_else(|| self.fault(METHOD, "no answer"))?;
        let result: AccessListResult = self.read(METHOD, raw)?;
        let want = |(address, slots)| Want {
            address,
            slots,
            code: true,
        };
        Ok(result
            .access_list
            .0
            .into_iter()
            .map(|item| want((item.address, item.storage_keys)))
            .collect())
    }
}

impl Endpoint {
    fn one_evidence<'a>(
        &self,
        want: &Want,
        answers: &mut impl Iterator<Item = &'a Box<RawValue>>,
    ) -> Result<Evidence, BridgeError> {
        const METHOD: &str = "eth_getProof";
        let mut account = None;
        let mut slots = Vec::with_capacity(want.slots.len());
        for _ in 0..want.slots.len().div_ceil(SLOTS).max(1) {
            let raw = answers.next().ok_or_else(|| self.fault(METHOD, "no answer"))?;
            let proof: EIP1186AccountProofResponse = self.read(METHOD, raw)?;
            slots.extend(proof.storage_proof.into_iter().map(|slot| SlotEvidence {
                slot: slot.key.as_b256(),
                value: slot.value,
                proof: slot.proof,
            }));
            account.get_or_insert(AccountEvidence {
                address: want.address,
                nonce: proof.nonce,
                balance: proof.balance,
                storage_root: proof.storage_hash,
                code_hash: proof.code_hash,
                proof: proof.account_proof,
            });
        }
        if slots.iter().map(|slot| slot.slot).ne(want.slots.iter().copied()) {
            return Err(self.fault(METHOD, "expected the slots asked for, in their order"));
        }
        let code = match want.code.then(|| answers.next()) {
            None => None,
            Some(None) => return Err(self.fault("eth_getCode", "no answer")),
            Some(Some(raw)) => Some(self.read::<Bytes>("eth_getCode", raw)?),
        };
        let account = account.ok_or_else(|| self.fault(METHOD, "no answer"))?;
        Ok(Evidence { account, slots, code })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn k4_a_providers_words_do_not_repeat_the_key_it_was_asked_with() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url: Url = "https://someone:hunter2@one.example/v3/0123456789abcdef?token=sesame"
            .parse()
            .unwrap();
        let contract = kms_types::ChainAddress::new([1; 20]);
        let config = BridgeConfig::new(ChainId(1), contract, vec![EndpointConfig::from(url.clone())]);
        let endpoint = Endpoint::new(&config, &EndpointConfig::from(url)).unwrap();
        let text = "project 0123456789abcdef of someone (hunter2, sesame): quota is over";
        let fault = endpoint.fault("eth_getProof", text).to_string();
        assert_eq!(
            fault,
            "https://one.example: eth_getProof: project … of … (…, …): quota is over"
        );
    }
}
