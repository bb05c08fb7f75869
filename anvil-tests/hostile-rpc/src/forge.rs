//! Headers that are consistent and on no chain: one field is changed and the hash follows. Whoever asks for such a header
//! by its hash gets it, and whoever asks for state under it gets that of the block it was made from.

use alloy::rpc::types::Header;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Forged headers by hash, each with the hash it was made from.
#[derive(Debug, Default)]
pub(crate) struct Forgeries(Mutex<HashMap<String, (String, Value)>>);

impl Forgeries {
    /// The block with `field` changed and a hash that fits.
    pub(crate) fn forge(&self, block: &Value, field: &str) -> Result<Value> {
        let original = text(block.get("hash"))?;
        let mut forged = block.clone();
        alter(&mut forged, field);
        let header: Header = serde_json::from_value(forged.clone())?;
        let hash = format!("{:#x}", header.inner.hash_slow());
        if let Some(place) = forged.get_mut("hash") {
            *place = json!(hash);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(hash, (original, forged.clone()));
        Ok(forged)
    }

    /// The forged block with this hash.
    pub(crate) fn block(&self, hash: &Value) -> Option<Value> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash.as_str()?).map(|(_, block)| block.clone())
    }

    /// The hash a forged one was made from.
    pub(crate) fn original(&self, hash: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).map(|(original, _)| original.clone())
    }
}

/// Changes one field to another value of its type.
pub(crate) fn alter(block: &mut Value, field: &str) {
    let Some(place) = block.get_mut(field) else {
        return;
    };
    let Some(old) = place.as_str().map(str::to_owned) else {
        return;
    };
    *place = json!(match field {
        "timestamp" | "number" | "gasLimit" | "gasUsed" | "difficulty" | "baseFeePerGas" | "blobGasUsed"
        | "excessBlobGas" => {
            let digits = old.trim_start_matches("0x");
            let number = u64::from_str_radix(digits, 16).unwrap_or_default();
            format!("{:#x}", number.wrapping_add(3))
        }
        "extraData" => "0x6c6965".to_owned(),
        _ => format!("0x{}", "5".repeat(old.len().saturating_sub(2))),
    });
}

fn text(value: Option<&Value>) -> Result<String> {
    Ok(value
        .and_then(Value::as_str)
        .context("a block without a hash")?
        .to_owned())
}
