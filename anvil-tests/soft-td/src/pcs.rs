//! The platform's collateral over HTTP, in the shape of Intel's PCS API v4 and of a PCCS.
//!
//! | path | answer |
//! |---|---|
//! | `/sgx/certification/v4/pckcrl?ca=platform&encoding=der` | DER, the only encoding offered; header `SGX-PCK-CRL-Issuer-Chain` |
//! | `/sgx/certification/v4/rootcacrl` | DER in hex, as a PCCS serves it |
//! | `/IntelSGXRootCA.der` | DER, as Intel's certificate server has it |
//! | `/tdx/certification/v4/tcb?fmspc=…` | `{"tcbInfo":…,"signature":"…"}`; header `TCB-Info-Issuer-Chain` |
//! | `/tdx/certification/v4/qe/identity` | `{"enclaveIdentity":…,"signature":"…"}`; header `SGX-Enclave-Identity-Issuer-Chain` |
//!
//! The last two take `update=early|standard` (the same here) or `tcbEvaluationDataNumber=N`, not both; a number this
//! platform does not publish is 404. An unknown FMSPC, `ca=processor` and anything else is 404, a wrong parameter 400.
//! Chains are PEM, percent-encoded. What is signed is sent byte for byte as it was signed.

use crate::{Collateral, SoftPlatform, SoftTdError};
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use kms_types::{Fmspc, UnixTime};
use serde::Deserialize;
use std::{
    fmt::Write,
    sync::{Arc, PoisonError, RwLock},
};

/// The time at which collateral is issued.
pub type Now = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Now {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        UnixTime(since.map_or(0, |d| d.as_secs()))
    })
}

/// Routes over a platform. Replace what is in the lock to publish something else.
pub fn router(platform: Arc<RwLock<SoftPlatform>>, now: Now) -> Router {
    Router::new()
        .route("/sgx/certification/v4/pckcrl", get(pck_crl))
        .route("/sgx/certification/v4/rootcacrl", get(root_crl_hex))
        .route("/IntelSGXRootCA.der", get(root_crl_der))
        .route("/tdx/certification/v4/tcb", get(tcb_info))
        .route("/tdx/certification/v4/qe/identity", get(qe_identity))
        .with_state(Pcs { platform, now })
}

#[derive(Clone)]
struct Pcs {
    platform: Arc<RwLock<SoftPlatform>>,
    now: Now,
}

impl Pcs {
    fn platform(&self) -> SoftPlatform {
        self.platform
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    fn collateral(&self) -> Result<Collateral, Refusal> {
        Ok(self.platform().collateral((self.now)())?)
    }
}

/// Why a request has no answer.
enum Refusal {
    NotFound,
    BadRequest(&'static str),
    Internal(SoftTdError),
}

impl From<SoftTdError> for Refusal {
    fn from(error: SoftTdError) -> Self {
        Self::Internal(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND.into_response(),
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            Self::Internal(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

#[derive(Deserialize)]
struct CrlQuery {
    ca: Option<String>,
    encoding: Option<String>,
}

async fn pck_crl(State(pcs): State<Pcs>, Query(query): Query<CrlQuery>) -> Result<Response, Refusal> {
    match query.ca.as_deref() {
        Some("platform") => {}
        Some("processor") => return Err(Refusal::NotFound),
        _ => return Err(Refusal::BadRequest("ca: expected platform or processor")),
    }
    let collateral = pcs.collateral()?;
    let chain = chain_header("sgx-pck-crl-issuer-chain", &collateral.pck_crl_issuer_chain)?;
    match query.encoding.as_deref() {
        Some("der") => Ok((chain, typed("application/pkix-crl"), collateral.pck_crl).into_response()),
        _ => Err(Refusal::BadRequest("encoding: expected der")),
    }
}

async fn root_crl_hex(State(pcs): State<Pcs>) -> Result<Response, Refusal> {
    Ok((typed("text/plain"), hex::encode(pcs.collateral()?.root_ca_crl)).into_response())
}

async fn root_crl_der(State(pcs): State<Pcs>) -> Result<Response, Refusal> {
    Ok((typed("application/pkix-crl"), pcs.collateral()?.root_ca_crl).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentQuery {
    fmspc: Option<String>,
    update: Option<String>,
    tcb_evaluation_data_number: Option<u32>,
}

impl DocumentQuery {
    fn check(&self, published: u32) -> Result<(), Refusal> {
        match (self.update.as_deref(), self.tcb_evaluation_data_number) {
            (Some(_), Some(_)) => Err(Refusal::BadRequest(
                "update and tcbEvaluationDataNumber: expected one of them",
            )),
            (None | Some("early" | "standard"), None) => Ok(()),
            (Some(_), None) => Err(Refusal::BadRequest("update: expected early or standard")),
            (None, Some(number)) if number == published => Ok(()),
            (None, Some(_)) => Err(Refusal::NotFound),
        }
    }
}

async fn tcb_info(State(pcs): State<Pcs>, Query(query): Query<DocumentQuery>) -> Result<Response, Refusal> {
    let platform = pcs.platform();
    let Some(fmspc) = query.fmspc.as_deref().and_then(|text| text.parse::<Fmspc>().ok()) else {
        return Err(Refusal::BadRequest("fmspc: expected 12 hex digits"));
    };
    query.check(platform.config().published.tcb_info_evaluation)?;
    if fmspc != platform.published_fmspc() {
        return Err(Refusal::NotFound);
    }
    let collateral = pcs.collateral()?;
    let chain = chain_header("tcb-info-issuer-chain", &collateral.tcb_info_issuer_chain)?;
    let body = signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature);
    Ok((chain, typed("application/json"), body).into_response())
}

async fn qe_identity(
    State(pcs): State<Pcs>,
    Query(query): Query<DocumentQuery>,
) -> Result<Response, Refusal> {
    query.check(pcs.platform().config().published.qe_identity_evaluation)?;
    let collateral = pcs.collateral()?;
    let chain = chain_header(
        "sgx-enclave-identity-issuer-chain",
        &collateral.qe_identity_issuer_chain,
    )?;
    let body = signed(
        "enclaveIdentity",
        &collateral.qe_identity,
        &collateral.qe_identity_signature,
    );
    Ok((chain, typed("application/json"), body).into_response())
}

/// Built as text: any JSON writer in between could re-space or re-order what is signed.
fn signed(name: &str, document: &str, signature: &[u8]) -> String {
    format!(
        "{{\"{name}\":{document},\"signature\":\"{}\"}}",
        hex::encode(signature)
    )
}

fn typed(kind: &'static str) -> [(HeaderName, HeaderValue); 1] {
    [(CONTENT_TYPE, HeaderValue::from_static(kind))]
}

fn chain_header(name: &'static str, pem: &str) -> Result<HeaderMap, Refusal> {
    let mut encoded = String::with_capacity(pem.len() * 2);
    for byte in pem.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    let value = HeaderValue::try_from(encoded).map_err(|_| Refusal::BadRequest("chain"))?;
    Ok(HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
}
