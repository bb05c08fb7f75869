//! Every lie by its name. A lie says what is wrong with an answer; how it is told stands in `change`, `forge`,
//! `transport` and `announce`.

use crate::InventedChain;
use serde_json::Value;
use std::{fmt, sync::Arc};

/// Fields of a block header as JSON-RPC names them, its hash included.
pub const HEADER_FIELDS: [&str; 22] = [
    "hash",
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
];

/// Changes one answer, given its method and parameters.
pub type Change = Arc<dyn Fn(&str, &Value, &mut Value) + Send + Sync>;

/// One lie.
#[derive(Clone, Default)]
pub enum Lie {
    /// None.
    #[default]
    Honest,

    /// Empty slots are said to hold one.
    SlotSet,
    /// Slots that hold something are said to be empty.
    SlotCleared,
    /// Proofs of slots end early, as if nothing were there.
    SlotProofCut,
    /// A byte of each slot's proof is another one.
    SlotProofForged,
    /// Slots are left out.
    SlotOmitted,
    /// Slots come in another order.
    SlotReordered,
    /// Code that answers yes to every question.
    Code,
    /// No code.
    CodeMissing,
    /// Another balance.
    Balance,
    /// Another nonce.
    Nonce,
    /// Another storage root.
    StorageRoot,
    /// Another code hash.
    CodeHash,
    /// Accounts are said not to exist, with the proof of those that do.
    AccountAbsent,
    /// Proofs of accounts end early.
    AccountProofCut,
    /// A byte of each account's proof is another one.
    AccountProofForged,
    /// Proofs of more nodes than any trie is deep.
    AccountProofOversized,
    /// Proofs of another account.
    AccountProofOfOther,
    /// Proofs and code of the block before the one asked for.
    EvidenceOfOlderBlock,
    /// An access list without anything in it.
    AccessListEmpty,
    /// An access list of a thousand slots nothing reads.
    AccessListHuge,

    /// A field of every header is changed, its hash is not.
    Header(&'static str),
    /// A field of the head is changed and its hash follows: a header that is consistent and on no chain.
    InventedHead(&'static str),
    /// As [`Lie::InventedHead`], for the finalized block.
    InventedFinalized(&'static str),
    /// A block asked for by its hash is answered with its parent.
    OtherBlockByHash,
    /// A block asked for by its number is answered with its parent.
    OtherBlockByNumber,
    /// Blocks asked for by hash or number are not known; the tags are.
    BlocksUnknown,
    /// The head is this many blocks behind.
    HeadOlder(u64),
    /// The finalized block is this many blocks behind.
    FinalizedOlder(u64),
    /// The head is said to be final.
    FinalizedNewer,
    /// There is no finalized block.
    FinalizedMissing,
    /// There is no head.
    HeadMissing,
    /// Head and finalized block are exchanged.
    TagsSwapped,
    /// Another chain id.
    ChainId,
    /// `eth_blockNumber` is a thousand blocks ahead.
    BlockNumberAhead,
    /// `eth_blockNumber` is zero.
    BlockNumberZero,

    /// Logs are left out.
    LogsHidden,
    /// Logs that nobody emitted.
    LogsInvented,
    /// Receipts are left out.
    ReceiptsHidden,
    /// Every receipt says the transaction failed.
    ReceiptsFailed,
    /// Logs in receipts say something else.
    ReceiptsAltered,
    /// Receipts come twice.
    ReceiptsDoubled,

    /// Everything after a moment is hidden; see [`crate::HostileRpc::freeze`].
    OldView {
        /// The head then.
        head: u64,
        /// The finalized block then.
        finalized: u64,
    },
    /// Another chain's answers.
    Chain(Arc<InventedChain>),

    /// Takes requests and never answers.
    Stall,
    /// Sends the headers of an answer and then one byte, and no more.
    StallAfterHeaders,
    /// Sends the right answer, one byte every 20 ms.
    Trickle,
    /// Any HTTP status without a body.
    Status(u16),
    /// A redirect to another place.
    Redirect,
    /// Half of the right answer.
    Truncated,
    /// A body that never ends.
    Oversized,
    /// Arrays in arrays, a hundred thousand deep.
    DeeplyNested,
    /// An answer whose result is arrays in arrays, twenty thousand deep.
    DeepResult,
    /// Not JSON.
    Garbage,
    /// No bytes at all.
    Empty,
    /// `null`.
    Null,
    /// An empty list of answers.
    NoAnswers,
    /// Answers with the ids of other requests.
    OtherIds,
    /// Answers to other requests of the batch under the right ids.
    AnswersExchanged,
    /// `null` as the result of everything.
    NullResults,
    /// A JSON-RPC error for everything.
    RpcErrors,
    /// Numbers too large for any type.
    HugeNumbers,

    /// One lie after another, request by request.
    PerRequest(Vec<Lie>),
    /// One lie after another, connection by connection; each connection serves one request.
    PerConnection(Vec<Lie>),

    /// Announces heads a million blocks ahead, again and again.
    FalseHeads,
    /// Announces nothing.
    HeadsSilent,
    /// Announces what is not JSON.
    HeadsGarbage,
    /// Announces a head of two megabytes.
    HeadsOversized,

    /// Whatever a test makes up.
    Other(Change),
}

impl Lie {
    /// A lie that a test makes up for one method.
    pub fn about(method: &'static str, change: impl Fn(&Value, &mut Value) + Send + Sync + 'static) -> Self {
        Self::Other(Arc::new(move |called, params, result| {
            if called == method {
                change(params, result);
            }
        }))
    }

    /// The lie among several that is told to the request or connection with this number.
    pub(crate) fn turn(&self, request: usize) -> Self {
        match self {
            Self::PerRequest(lies) | Self::PerConnection(lies) => {
                let turn = request.checked_rem(lies.len()).unwrap_or_default();
                lies.get(turn).cloned().unwrap_or_default()
            }
            one => one.clone(),
        }
    }
}

impl fmt::Debug for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Header(field) => return write!(f, "header: {field}"),
            Self::InventedHead(field) => return write!(f, "invented head: {field}"),
            Self::InventedFinalized(field) => return write!(f, "invented finalized block: {field}"),
            Self::HeadOlder(blocks) => return write!(f, "head {blocks} blocks older"),
            Self::FinalizedOlder(blocks) => return write!(f, "finalized block {blocks} blocks older"),
            Self::OldView { head, finalized } => return write!(f, "view of block {head}, final {finalized}"),
            Self::Status(code) => return write!(f, "HTTP {code}"),
            Self::PerRequest(lies) => return write!(f, "per request: {lies:?}"),
            Self::PerConnection(lies) => return write!(f, "per connection: {lies:?}"),
            Self::Chain(_) => "an invented chain",
            Self::Other(_) => "made up by the test",
            plain => plain_name(plain),
        };
        f.write_str(name)
    }
}

fn plain_name(lie: &Lie) -> &'static str {
    match lie {
        Lie::Honest => "none",
        Lie::SlotSet => "an empty slot is set",
        Lie::SlotCleared => "a set slot is empty",
        Lie::SlotProofCut => "a slot's proof ends early",
        Lie::SlotProofForged => "a slot's proof is forged",
        Lie::SlotOmitted => "slots are left out",
        Lie::SlotReordered => "slots in another order",
        Lie::Code => "code that always allows",
        Lie::CodeMissing => "no code",
        Lie::Balance => "balance",
        Lie::Nonce => "nonce",
        Lie::StorageRoot => "storage root",
        Lie::CodeHash => "code hash",
        Lie::AccountAbsent => "accounts do not exist",
        Lie::AccountProofCut => "an account's proof ends early",
        Lie::AccountProofForged => "an account's proof is forged",
        Lie::AccountProofOversized => "a proof of a hundred nodes",
        Lie::AccountProofOfOther => "the proof of another account",
        Lie::EvidenceOfOlderBlock => "evidence of an older block",
        Lie::AccessListEmpty => "an empty access list",
        Lie::AccessListHuge => "a huge access list",
        Lie::OtherBlockByHash => "another block by hash",
        Lie::OtherBlockByNumber => "another block by number",
        Lie::BlocksUnknown => "blocks are not known",
        Lie::FinalizedNewer => "the head is final",
        Lie::FinalizedMissing => "no finalized block",
        Lie::HeadMissing => "no head",
        Lie::TagsSwapped => "head and finalized block exchanged",
        Lie::ChainId => "chain id",
        Lie::BlockNumberAhead => "block number ahead",
        Lie::BlockNumberZero => "block number zero",
        Lie::LogsHidden => "logs are left out",
        Lie::LogsInvented => "logs are invented",
        Lie::ReceiptsHidden => "receipts are left out",
        Lie::ReceiptsFailed => "receipts of failure",
        Lie::ReceiptsAltered => "receipts with other logs",
        Lie::ReceiptsDoubled => "receipts twice",
        Lie::Stall => "stalls",
        Lie::StallAfterHeaders => "stalls after the headers",
        Lie::Trickle => "trickles",
        Lie::Redirect => "redirects",
        Lie::Truncated => "truncated",
        Lie::Oversized => "oversized",
        Lie::DeeplyNested => "deeply nested",
        Lie::DeepResult => "a deeply nested result",
        Lie::Garbage => "garbage",
        Lie::Empty => "empty",
        Lie::Null => "null",
        Lie::NoAnswers => "no answers",
        Lie::OtherIds => "other ids",
        Lie::AnswersExchanged => "answers exchanged",
        Lie::NullResults => "null results",
        Lie::RpcErrors => "JSON-RPC errors",
        Lie::HugeNumbers => "huge numbers",
        Lie::FalseHeads => "false heads",
        Lie::HeadsSilent => "silence about heads",
        Lie::HeadsGarbage => "garbage about heads",
        Lie::HeadsOversized => "an oversized head",
        _ => "?",
    }
}
