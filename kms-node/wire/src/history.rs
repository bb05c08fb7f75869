//! Policy events of finalized blocks, as `GET /v1/policy/history` lists them.

use kms_types::{AppId, BlockRef, ChainAddress, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One field of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventField {
    /// Name in the contract.
    pub name: String,
    /// Hex with `0x`, a decimal number, `true` or `false`, or text of at most 1024 characters.
    pub value: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyEvent {
    /// Its block.
    #[schema(value_type = Object)]
    pub block: BlockRef,
    /// Time of the block.
    #[schema(value_type = u64)]
    pub time: UnixTime,
    /// Index of its transaction in the block.
    pub transaction_index: u64,
    /// Index of the log in the block.
    pub log_index: u64,
    /// Contract that emitted it.
    #[schema(value_type = String)]
    pub emitter: ChainAddress,
    /// App it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub app_id: Option<AppId>,
    /// Name in the contract; `unknown` for what the contract's interface does not name.
    pub event: String,
    /// In the order of the contract.
    pub fields: Vec<EventField>,
}

/// Blocks that were read without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryRange {
    /// First.
    pub from: u64,
    /// Last.
    pub to: u64,
}

/// A page of events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyHistory {
    /// Events of finalized blocks.
    pub events: Vec<PolicyEvent>,
    /// Index to ask for next, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Which blocks were read; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<HistoryRange>,
    /// Newest finalized block the node knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized: Option<u64>,
    /// Why no more blocks are read, while that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
}
