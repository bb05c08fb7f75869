//! Lies in an answer that is otherwise the upstream's.

use crate::{
    Lie,
    forge::{Forgeries, alter},
    upstream::{Upstream, hex, quantity},
};
use anyhow::Result;
use serde_json::{Value, json};

/// Who tells the lie, with what it needs to tell it.
pub(crate) struct Liar<'a> {
    pub(crate) lie: &'a Lie,
    pub(crate) upstream: &'a Upstream,
    pub(crate) forgeries: &'a Forgeries,
}

/// A made-up log of a policy change.
fn log() -> Value {
    json!({
        "address": format!("0x{}", "42".repeat(20)), "topics": [format!("0x{}", "77".repeat(32))], "data": "0x01",
        "blockNumber": "0x1", "blockHash": format!("0x{}", "11".repeat(32)), "logIndex": "0x0",
        "transactionHash": format!("0x{}", "22".repeat(32)), "transactionIndex": "0x0", "removed": false,
    })
}

fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(place) = object.get_mut(field) {
        *place = value;
    }
}

fn is_zero(value: Option<&Value>) -> bool {
    let digits = |text: &str| text.trim_start_matches("0x").bytes().all(|digit| digit == b'0');
    value.and_then(Value::as_str).is_some_and(digits)
}

/// Another last byte in the last node of a proof.
fn spoil(proof: Option<&mut Value>) {
    let last = proof
        .and_then(Value::as_array_mut)
        .and_then(|nodes| nodes.last_mut());
    if let Some(node) = last
        && let Some(text) = node.as_str()
    {
        let other = if text.ends_with('0') { "1" } else { "0" };
        let kept: String = text.chars().take(text.len().saturating_sub(1)).collect();
        *node = json!(kept + other);
    }
}

impl Liar<'_> {
    /// Puts the hashes of real blocks where forged ones stand, so that the upstream knows them.
    pub(crate) fn understood(&self, params: &Value) -> Value {
        match params {
            Value::String(text) => match self.forgeries.original(text) {
                Some(hash) => Value::String(hash),
                None => params.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.understood(item)).collect(),
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), self.understood(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    /// Tells the lie about one result.
    pub(crate) async fn tell(&self, method: &str, params: &Value, result: &mut Value) -> Result<()> {
        match method {
            "eth_getProof" => {
                if matches!(self.lie, Lie::AccountProofOfOther) {
                    let (slots, block) = (params.get(1), params.get(2).map(|block| self.understood(block)));
                    let other = json!([format!("0x{}", "43".repeat(20)), slots, block]);
                    *result = self.upstream.call(method, other).await?;
                }
                self.proof(result);
            }
            "eth_getCode" => match self.lie {
                Lie::Code => *result = json!("0x600160005260206000f3"),
                Lie::CodeMissing => *result = json!("0x"),
                _ => {}
            },
            "eth_createAccessList" => self.access_list(result),
            "eth_getBlockByNumber" | "eth_getBlockByHash" => self.block(method, params, result).await?,
            "eth_chainId" if matches!(self.lie, Lie::ChainId) => *result = json!("0x1"),
            "eth_blockNumber" => match self.lie {
                Lie::BlockNumberAhead => {
                    *result = hex(quantity(result).unwrap_or_default().saturating_add(1000))
                }
                Lie::BlockNumberZero => *result = hex(0),
                Lie::OldView { head, .. } => *result = hex(*head),
                _ => {}
            },
            "eth_getLogs" => self.logs(result),
            "eth_getBlockReceipts" => self.receipts(result),
            _ => {}
        }
        self.at_other_block(method, params, result).await?;
        if let Lie::Other(change) = self.lie {
            change(method, params, result);
        }
        Ok(())
    }

    fn proof(&self, result: &mut Value) {
        match self.lie {
            Lie::SlotSet => list(result.get_mut("storageProof"))
                .filter(|slot| is_zero(slot.get("value")))
                .for_each(|slot| set(slot, "value", json!("0x1"))),
            Lie::SlotCleared => {
                list(result.get_mut("storageProof")).for_each(|slot| set(slot, "value", json!("0x0")));
            }
            Lie::SlotProofCut => {
                for slot in list(result.get_mut("storageProof")) {
                    set(slot, "value", json!("0x0"));
                    slot.get_mut("proof").and_then(Value::as_array_mut).map(Vec::pop);
                }
            }
            Lie::SlotProofForged => {
                list(result.get_mut("storageProof")).for_each(|slot| spoil(slot.get_mut("proof")));
            }
            Lie::SlotOmitted => {
                result
                    .get_mut("storageProof")
                    .and_then(Value::as_array_mut)
                    .map(Vec::pop);
            }
            Lie::SlotReordered => {
                if let Some(slots) = result.get_mut("storageProof").and_then(Value::as_array_mut) {
                    slots.reverse();
                }
            }
            Lie::Balance => set(result, "balance", json!("0x7")),
            Lie::Nonce => set(result, "nonce", json!("0x7777")),
            Lie::StorageRoot => alter(result, "storageHash"),
            Lie::CodeHash => alter(result, "codeHash"),
            Lie::AccountAbsent => {
                const NO_CODE: &str = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
                const NO_SLOTS: &str = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
                set(result, "nonce", json!("0x0"));
                set(result, "balance", json!("0x0"));
                set(result, "codeHash", json!(NO_CODE));
                set(result, "storageHash", json!(NO_SLOTS));
            }
            Lie::AccountProofCut => {
                result
                    .get_mut("accountProof")
                    .and_then(Value::as_array_mut)
                    .map(Vec::pop);
            }
            Lie::AccountProofForged => spoil(result.get_mut("accountProof")),
            Lie::AccountProofOversized => set(result, "accountProof", json!(vec!["0x80"; 100])),
            _ => {}
        }
    }

    fn access_list(&self, result: &mut Value) {
        let list = match self.lie {
            Lie::AccessListEmpty => json!([]),
            Lie::AccessListHuge => {
                let slots: Vec<_> = (0..1000).map(|slot| format!("{slot:#066x}")).collect();
                json!([{"address": format!("0x{}", "42".repeat(20)), "storageKeys": slots}])
            }
            _ => return,
        };
        *result = json!({"accessList": list, "gasUsed": "0x0"});
    }

    fn logs(&self, result: &mut Value) {
        match self.lie {
            Lie::LogsHidden => *result = json!([]),
            Lie::LogsInvented => *result = json!([log()]),
            Lie::OldView { head, .. } => {
                if let Some(logs) = result.as_array_mut() {
                    logs.retain(|log| log.get("blockNumber").and_then(quantity) <= Some(*head));
                }
            }
            _ => {}
        }
    }

    fn receipts(&self, result: &mut Value) {
        match self.lie {
            Lie::ReceiptsHidden => *result = json!([]),
            Lie::ReceiptsFailed => {
                list(Some(result)).for_each(|receipt| set(receipt, "status", json!("0x0")))
            }
            Lie::ReceiptsAltered => {
                let logs = list(Some(result)).flat_map(|receipt| list(receipt.get_mut("logs")));
                logs.for_each(|log| set(log, "data", json!("0x01")));
            }
            Lie::ReceiptsDoubled => {
                if let Some(receipts) = result.as_array_mut() {
                    receipts.extend_from_within(..);
                }
            }
            Lie::OldView { head, .. } => {
                let newer = |receipt: &mut Value| receipt.get("blockNumber").and_then(quantity) > Some(*head);
                if list(Some(result)).any(newer) {
                    *result = Value::Null;
                }
            }
            _ => {}
        }
    }

    /// Evidence of another block than the one asked for, or none for a block that is hidden.
    async fn at_other_block(&self, method: &str, params: &Value, result: &mut Value) -> Result<()> {
        let place = match method {
            "eth_getProof" => 2,
            "eth_getCode" | "eth_createAccessList" => 1,
            _ => return Ok(()),
        };
        if !matches!(self.lie, Lie::EvidenceOfOlderBlock | Lie::OldView { .. }) {
            return Ok(());
        }
        let Some(hash) = params.get(place).and_then(|at| at.get("blockHash")) else {
            return Ok(());
        };
        let block = self
            .upstream
            .call("eth_getBlockByHash", json!([hash, false]))
            .await?;
        if let Lie::OldView { head, .. } = self.lie {
            if block.get("number").and_then(quantity) > Some(*head) {
                *result = Value::Null;
            }
            return Ok(());
        }
        let mut older = params.clone();
        if let Some(at) = older.get_mut(place) {
            *at = json!({"blockHash": block.get("parentHash")});
        }
        *result = self.upstream.call(method, older).await?;
        Ok(())
    }

    async fn block(&self, method: &str, params: &Value, result: &mut Value) -> Result<()> {
        let tag = params.get(0).cloned().unwrap_or_default();
        if method == "eth_getBlockByHash" {
            if let Some(forged) = self.forgeries.block(&tag) {
                *result = forged;
                return Ok(());
            }
            if matches!(self.lie, Lie::OtherBlockByHash) {
                let parent = json!([result.get("parentHash"), false]);
                *result = self.upstream.call(method, parent).await?;
            }
        }
        self.other_block(tag.as_str().unwrap_or_default(), result).await?;
        match self.lie {
            Lie::Header(field) => alter(result, field),
            Lie::OldView { head, .. } if result.get("number").and_then(quantity) > Some(*head) => {
                *result = Value::Null;
            }
            _ => {}
        }
        Ok(())
    }

    /// Another block for a tag or a number.
    async fn other_block(&self, tag: &str, result: &mut Value) -> Result<()> {
        let older = |blocks: u64| {
            let number = result.get("number").and_then(quantity).unwrap_or_default();
            hex(number.saturating_sub(blocks))
        };
        let by_number = tag.starts_with("0x") && tag.len() < 66;
        let other = match (self.lie, tag) {
            (Lie::HeadOlder(blocks), "latest") | (Lie::FinalizedOlder(blocks), "finalized") => older(*blocks),
            (Lie::OtherBlockByNumber, _) if by_number => older(1),
            (Lie::FinalizedNewer, "finalized") => json!("latest"),
            (Lie::TagsSwapped, "latest") => json!("finalized"),
            (Lie::TagsSwapped, "finalized") => json!("latest"),
            (Lie::OldView { head, .. }, "latest") => hex(*head),
            (Lie::OldView { finalized, .. }, "finalized") => hex(*finalized),
            (Lie::FinalizedMissing, "finalized") | (Lie::HeadMissing, "latest") => {
                *result = Value::Null;
                return Ok(());
            }
            (Lie::BlocksUnknown, tag) if tag.starts_with("0x") => {
                *result = Value::Null;
                return Ok(());
            }
            (Lie::InventedHead(field), "latest") | (Lie::InventedFinalized(field), "finalized") => {
                *result = self.forgeries.forge(result, field)?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        *result = self.upstream.block(other).await?;
        Ok(())
    }
}
