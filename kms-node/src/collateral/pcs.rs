//! Client of Intel's provisioning certification service, API version 4 (Intel SGX and TDX PCS API), or of a cache that
//! speaks it. Refuses answers above a bound, redirects and anything that is not the document asked for.

use super::{CollateralError, CollateralKey};
use attestation::Collateral;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use url::Url;

/// Bytes of one document of the service.
const MAX_DOCUMENT: usize = 512 * 1024;
/// Bytes of an issuer chain in a header, after percent-decoding.
const MAX_CHAIN: usize = 16 * 1024;

/// Fetches collateral.
#[derive(Debug, Clone)]
pub struct PcsClient {
    client: Client,
    base: String,
    root_crl: String,
}

/// The document `attestation` reads.
#[derive(Serialize)]
struct Document<'a> {
    pck_crl_issuer_chain: String,
    root_ca_crl: String,
    pck_crl: String,
    tcb_info_issuer_chain: String,
    tcb_info: &'a str,
    tcb_info_signature: &'a str,
    qe_identity_issuer_chain: String,
    qe_identity: &'a str,
    qe_identity_signature: &'a str,
}

// The signature is over the bytes as they came, so they are kept as they came.
#[derive(Deserialize)]
struct SignedTcbInfo<'a> {
    #[serde(borrow, rename = "tcbInfo")]
    body: &'a RawValue,
    signature: &'a str,
}

#[derive(Deserialize)]
struct SignedQeIdentity<'a> {
    #[serde(borrow, rename = "enclaveIdentity")]
    body: &'a RawValue,
    signature: &'a str,
}

struct Answer {
    body: Vec<u8>,
    chain: String,
}

impl PcsClient {
    /// A client of the service at `base`; the root CA's list comes from `root_crl`, or from the service when it is empty.
    ///
    /// # Errors
    /// When no TLS client can be made.
    pub fn new(base: &Url, root_crl: Option<&Url>, timeout: Duration) -> Result<Self, CollateralError> {
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(Policy::none())
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|error| unreachable("client", &error))?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        let root_crl = root_crl.map_or_else(
            || format!("{base}/sgx/certification/v4/rootcacrl"),
            |url| url.as_str().to_owned(),
        );
        Ok(Self {
            client,
            base,
            root_crl,
        })
    }

    /// Fetches everything that verifying a quote of this platform needs.
    ///
    /// # Errors
    /// When a document cannot be had or read.
    pub async fn fetch(&self, key: &CollateralKey) -> Result<Collateral, CollateralError> {
        let (base, fmspc, ca) = (&self.base, key.fmspc.to_plain_hex(), key.ca_name());
        let (root_crl, pck_crl, tcb, qe) = tokio::try_join!(
            self.ask("root CRL", self.root_crl.clone(), None),
            self.ask(
                "PCK CRL",
                format!("{base}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"),
                Some(&["SGX-PCK-CRL-Issuer-Chain"]),
            ),
            self.ask(
                "TCB info",
                format!("{base}/tdx/certification/v4/tcb?fmspc={fmspc}"),
                Some(&["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"]),
            ),
            self.ask(
                "QE identity",
                format!("{base}/tdx/certification/v4/qe/identity"),
                Some(&["SGX-Enclave-Identity-Issuer-Chain"]),
            ),
        )?;
        let tcb_info: SignedTcbInfo<'_> = json("TCB info", &tcb.body)?;
        let qe_identity: SignedQeIdentity<'_> = json("QE identity", &qe.body)?;
        let document = Document {
            pck_crl_issuer_chain: pck_crl.chain,
            root_ca_crl: crl(&root_crl.body),
            pck_crl: crl(&pck_crl.body),
            tcb_info_issuer_chain: tcb.chain,
            tcb_info: tcb_info.body.get(),
            tcb_info_signature: tcb_info.signature,
            qe_identity_issuer_chain: qe.chain,
            qe_identity: qe_identity.body.get(),
            qe_identity_signature: qe_identity.signature,
        };
        let text = serde_json::to_vec(&document)
            .map_err(|error| answer("collateral", "a JSON document", &error.to_string()))?;
        Collateral::from_json(&text).map_err(|source| CollateralError::Unusable {
            key: key.to_string(),
            source: Arc::new(source),
        })
    }

    async fn ask(
        &self,
        what: &'static str,
        url: String,
        chain_headers: Option<&[&str]>,
    ) -> Result<Answer, CollateralError> {
        let response = self
            .client
            .get(url)
            .send()
            .await
            .map_err(|error| unreachable(what, &error))?;
        if response.status() != StatusCode::OK {
            return Err(answer(what, "status 200", response.status().as_str()));
        }
        let chain =
            chain_headers.map_or_else(|| Ok(String::new()), |names| issuer_chain(what, names, &response))?;
        Ok(Answer {
            body: bounded_body(what, response).await?,
            chain,
        })
    }
}

async fn bounded_body(what: &'static str, mut response: Response) -> Result<Vec<u8>, CollateralError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(what, &error))?
    {
        // Q8: the service is not trusted with the node's memory.
        if body.len() + chunk.len() > MAX_DOCUMENT {
            return Err(answer(what, &format!("at most {MAX_DOCUMENT} bytes"), "more"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn issuer_chain(what: &'static str, names: &[&str], response: &Response) -> Result<String, CollateralError> {
    let value = names.iter().find_map(|name| response.headers().get(*name));
    let text = value
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| answer(what, &format!("header {}", names.join(" or ")), "none"))?;
    let decoded = percent_decode(text).filter(|chain| chain.len() <= MAX_CHAIN);
    decoded.ok_or_else(|| {
        answer(
            what,
            &format!("a chain of at most {MAX_CHAIN} bytes"),
            "another header",
        )
    })
}

/// Percent-decoding (RFC 3986 §2.1) of a header.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let mut value = [0];
            hex::decode_to_slice(digits, &mut value).ok()?;
            out.extend_from_slice(&value);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// A revocation list as hex: PCS answers DER, a PCCS answers hex of DER.
fn crl(body: &[u8]) -> String {
    match std::str::from_utf8(body).map(str::trim) {
        Ok(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit()) => text.to_owned(),
        _ => hex::encode(body),
    }
}

fn json<'a, T: Deserialize<'a>>(what: &'static str, body: &'a [u8]) -> Result<T, CollateralError> {
    serde_json::from_slice(body).map_err(|error| answer(what, "a signed JSON document", &error.to_string()))
}

fn unreachable(what: &'static str, error: &reqwest::Error) -> CollateralError {
    let kind = match error {
        error if error.is_timeout() => "timed out",
        error if error.is_connect() => "no connection",
        error if error.is_body() || error.is_decode() => "answer broke off",
        _ => "request failed",
    };
    CollateralError::Unreachable {
        what,
        message: kind.to_owned(),
    }
}

fn answer(what: &'static str, expected: &str, actual: &str) -> CollateralError {
    CollateralError::Answer {
        what,
        expected: expected.to_owned(),
        actual: actual.chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_percent_decoded() {
        assert_eq!(percent_decode("a%20b%0Ac+").as_deref(), Some("a b\nc+"));
        assert_eq!(percent_decode("a%2"), None);
        assert_eq!(percent_decode("a%zz"), None);
        assert_eq!(percent_decode("%ff"), None);
    }

    #[test]
    fn lists_come_as_der_or_as_hex() {
        assert_eq!(crl(&[0x30, 0x82]), "3082");
        assert_eq!(crl(b"3082\n"), "3082");
        assert_eq!(crl(&[]), "");
    }
}
