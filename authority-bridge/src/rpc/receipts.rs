//! `eth_getBlockReceipts`: the fields a receipts root is made of and nothing else. Refused: a receipt of a type whose
//! encoding is not known here, since its root could not be computed.

use super::endpoint::{Endpoint, Request};
use crate::BridgeError;
use alloy::{
    consensus::{Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom},
    primitives::{Address, B256, Bytes, Log, LogData, U64},
};
use authority_policy::MAX_RECEIPTS;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::json;
use std::fmt;

const METHOD: &str = "eth_getBlockReceipts";
/// Most topics the EVM can give a log.
const MAX_TOPICS: usize = 4;

/// A receipt as endpoints write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(rename = "type", default)]
    kind: U64,
    status: Option<U64>,
    root: Option<B256>,
    cumulative_gas_used: U64,
    logs: Vec<SaidLog>,
}

/// Receipts, no more than a block can have: an answer full of empty ones would take ten times its size.
struct Bounded(Vec<Said>);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Receipts;
        impl<'de> Visitor<'de> for Receipts {
            type Value = Bounded;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RECEIPTS} receipts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bounded, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    if all.len() >= MAX_RECEIPTS {
                        return Err(de::Error::invalid_length(all.len() + 1, &self));
                    }
                    all.push(item);
                }
                Ok(Bounded(all))
            }
        }
        deserializer.deserialize_seq(Receipts)
    }
}

#[derive(Debug, Deserialize)]
struct SaidLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

impl Said {
    fn envelope(self) -> Result<ReceiptEnvelope, String> {
        let status = match (self.status.map(|status| status.to::<u64>()), self.root) {
            (Some(0), _) => Eip658Value::Eip658(false),
            (Some(1), _) => Eip658Value::Eip658(true),
            (None, Some(root)) => Eip658Value::PostState(root),
            (status, _) => return Err(format!("status: expected 0 or 1, got {status:?}")),
        };
        let mut logs = Vec::with_capacity(self.logs.len());
        for log in self.logs {
            let topics = log.topics.len();
            let data = LogData::new(log.topics, log.data)
                .ok_or_else(|| format!("topics: expected at most {MAX_TOPICS}, got {topics}"))?;
            logs.push(Log {
                address: log.address,
                data,
            });
        }
        let receipt = Receipt {
            status,
            cumulative_gas_used: self.cumulative_gas_used.to(),
            logs,
        };
        // The filter is computed here, whatever the endpoint says it is.
        let receipt = ReceiptWithBloom::from(receipt);
        Ok(match self.kind.to::<u64>() {
            0 => ReceiptEnvelope::Legacy(receipt),
            1 => ReceiptEnvelope::Eip2930(receipt),
            2 => ReceiptEnvelope::Eip1559(receipt),
            3 => ReceiptEnvelope::Eip4844(receipt),
            4 => ReceiptEnvelope::Eip7702(receipt),
            other => return Err(format!("type: expected 0x0 to 0x4, got {other:#x}")),
        })
    }
}

impl Endpoint {
    pub(super) async fn block_receipts(&self, block: B256) -> Result<Vec<ReceiptEnvelope>, BridgeError> {
        let request = Request {
            method: METHOD,
            params: json!([block]),
        };
        let answers = self.for_bulk().send(&[request]).await?;
        let raw = answers.first().ok_or_else(|| self.fault(METHOD, "no answer"))?;
        let said: Option<Bounded> = self.read(METHOD, raw)?;
        let said =
            said.ok_or_else(|| self.fault(METHOD, format!("expected receipts of {block}, got null")))?;
        said.0
            .into_iter()
            .enumerate()
            .map(|(index, said)| {
                said.envelope()
                    .map_err(|detail| self.fault(METHOD, format!("receipt {index}: {detail}")))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_types_and_states_are_named() {
        let said = |change: &str| {
            let text =
                format!(r#"{{"type":"0x2","status":"0x1","cumulativeGasUsed":"0x5208","logs":[]{change}}}"#);
            serde_json::from_str::<Said>(&text)
        };
        assert!(said("").unwrap().envelope().is_ok());
        let mut deposit = said("").unwrap();
        deposit.kind = U64::from(0x7e);
        assert_eq!(
            deposit.envelope().unwrap_err(),
            "type: expected 0x0 to 0x4, got 0x7e"
        );
        let mut stateless = said("").unwrap();
        stateless.status = None;
        assert!(stateless.envelope().unwrap_err().starts_with("status"));
    }

    #[test]
    fn c6_receipts_above_the_bound_are_not_read() {
        let many = |count: usize| {
            let one = r#"{"status":"0x1","cumulativeGasUsed":"0x1","logs":[]}"#;
            format!("[{}]", vec![one; count].join(","))
        };
        let read = |text: &str| serde_json::from_str::<Bounded>(text).map(|all| all.0.len());
        assert_eq!(read(&many(MAX_RECEIPTS)).unwrap(), MAX_RECEIPTS);
        let error = read(&many(MAX_RECEIPTS + 1)).unwrap_err().to_string();
        assert!(error.contains("expected at most"), "{error}");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(kind in 0_u64..200, status in 0_u64..3, topics in 0_usize..7, text in ".{0,200}") {
            let topic = B256::ZERO;
            let text = text.replace(['"', '\\'], "");
            let logs = format!(r#"[{{"address":"{}","topics":{:?},"data":"0x","x":"{text}"}}]"#, Address::ZERO, vec![topic.to_string(); topics]);
            let json = format!(r#"{{"type":"{kind:#x}","status":"{status:#x}","cumulativeGasUsed":"0x1","logs":{logs}}}"#);
            if let Ok(said) = serde_json::from_str::<Said>(&json) {
                prop_assert_eq!(said.envelope().is_ok(), kind < 5 && status < 2 && topics <= MAX_TOPICS);
            }
        }
    }
}
