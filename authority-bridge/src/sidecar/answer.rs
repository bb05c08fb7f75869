//! Answers: dstack's documents, and one form for every failure, which says `isAllowed: false` besides.

use crate::BridgeError;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kms_wire::{Problem, ProblemCode};
use serde::Serialize;
use utoipa::ToSchema;

/// What a KMS asks, hex with or without `0x`. Further fields are passed over.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body; `read_boot` reads it")]
pub(crate) struct BootRequest {
    /// All registers, 32 bytes.
    #[schema(example = "3131313131313131313131313131313131313131313131313131313131313131")]
    mr_aggregated: String,
    /// OS image, 32 bytes.
    os_image_hash: String,
    /// Registers of OS and key provider, 32 bytes.
    mr_system: String,
    /// The app, 20 bytes.
    app_id: String,
    /// Its compose document, 32 bytes.
    compose_hash: String,
    /// Its instance, 20 bytes, or empty for an app without instance ids.
    instance_id: String,
    /// The platform, 32 bytes.
    device_id: String,
    /// Intel's TCB status.
    #[schema(example = "UpToDate")]
    tcb_status: String,
    /// Advisories that apply at that status; at most 128.
    #[schema(max_items = 128)]
    advisory_ids: Vec<String>,
}

/// A decision, in dstack's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BootResponse {
    /// Whether keys may be released.
    pub(crate) is_allowed: bool,
    /// The gateway's app id, as the contract holds it.
    pub(crate) gateway_app_id: String,
    /// The contract's words; empty when allowed.
    pub(crate) reason: String,
}

/// What is asked whom, in dstack's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {
    /// `ok`.
    pub(crate) status: &'static str,
    /// The contract.
    pub(crate) kms_contract_addr: String,
    /// First endpoint, without path and credentials.
    pub(crate) eth_rpc_url: String,
    /// The gateway's app id, as the contract holds it.
    pub(crate) gateway_app_id: String,
    /// EIP-155 id.
    pub(crate) chain_id: u64,
    /// As `appImplementation`, under its older name.
    pub(crate) app_auth_implementation: String,
    /// Implementation of new apps; zero for none.
    pub(crate) app_implementation: String,
}

/// A failure: an RFC 9457 problem document that is also a refusal in dstack's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// Never true.
    is_allowed: bool,
    /// Empty.
    gateway_app_id: &'static str,
    #[serde(flatten)]
    problem: Problem,
}

impl Refused {
    // C6: a caller that reads the body whatever the status finds a refusal in it.
    pub(crate) fn new(mut problem: Problem) -> Self {
        problem.reason = Some(problem.detail.clone());
        Self {
            is_allowed: false,
            gateway_app_id: "",
            problem,
        }
    }
}

/// A failed request; the outermost layer writes the body, with the id of the request.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) Box<Problem>);

impl Failure {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self.0);
        response
    }
}

impl From<BridgeError> for Failure {
    fn from(error: BridgeError) -> Self {
        // C6: whatever keeps the chain from answering, the answer is "cannot be asked", never "allowed".
        let code = match error.code() {
            "chain_stale" => ProblemCode::ChainStale,
            "chain_disagreement" => ProblemCode::ChainDisagreement,
            _ => ProblemCode::ChainUnavailable,
        };
        Self::new(code, error.to_string().chars().take(500).collect::<String>())
    }
}

impl IntoResponse for BootResponse {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
