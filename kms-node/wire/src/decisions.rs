//! Decisions a node has made, as `GET /v1/policy/decisions` lists them. Their evidence is a file of its own format
//! (docs/protocol.md, "A decision's evidence").

use kms_types::{AppId, BlockHash, BlockRef, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a decision was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionSubject {
    /// Keys of an app.
    App,
    /// A KMS node.
    Kms,
}

/// Which of the two blocks decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// The head.
    Head,
    /// The finalized block.
    Finalized,
}

/// What became of the head a decision was made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadStanding {
    /// It is not known to be final.
    Open,
    /// It became final.
    Final,
    /// Another block of its height did: the decision is void.
    Orphaned,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDecision {
    /// Its number; evidence is under `/v1/policy/decisions/{id}/evidence`.
    pub id: u64,
    /// What for.
    pub subject: DecisionSubject,
    /// About which app.
    #[schema(value_type = String)]
    pub app_id: AppId,
    /// Keccak-256 of the ABI encoding of the facts.
    #[schema(value_type = String)]
    pub record_hash: BlockHash,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The contract's reason, when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which block decided.
    pub decided_by: DecidedBy,
    /// The head.
    #[schema(value_type = Object)]
    pub head: BlockRef,
    /// The finalized block.
    #[schema(value_type = Object)]
    pub finalized: BlockRef,
    /// When, by the node's clock.
    #[schema(value_type = u64)]
    pub time: UnixTime,
    /// What became of the head.
    pub standing: HeadStanding,
    /// Whether evidence was kept.
    pub evidence: bool,
    /// Why not, when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_evidence: Option<String>,
}

/// A page of decisions (`GET /v1/policy/decisions`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDecisions {
    /// Decisions in the order they were made; the oldest are thrown away.
    pub decisions: Vec<PolicyDecision>,
    /// Where the next page starts; absent when there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
