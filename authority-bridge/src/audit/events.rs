//! Which logs of a block are policy events, and whether a block can hold any. Takes proven receipts alone; an event counts
//! when the KMS authority emitted it, or an app that it registered at any time up to the end of that block.

use crate::store::{EventField, StoredEvent};
use alloy::primitives::{Address, B256, Bytes, Log};
use authority_contracts::{APP_EVENTS, PolicyEvent, decode_app_event, decode_kms_event};
use authority_policy::{ProvenHeader, ProvenLog, ProvenReceipts, may_hold_log_of, may_hold_topic};
use kms_types::{AppId, ChainAddress};
use std::collections::HashSet;

/// Most bytes of an event's data that are kept.
const MAX_DATA: usize = 16 * 1024;
const REGISTERED: &str = "AppRegistered";

/// Whether the block can hold an event of the authority or of one of the apps. A no is certain.
pub fn may_hold_events(header: &ProvenHeader, authority: Address, apps: &HashSet<Address>) -> bool {
    let bloom = &header.fields().logs_bloom;
    may_hold_log_of(bloom, authority)
        || (APP_EVENTS.iter().any(|(_, topic)| may_hold_topic(bloom, *topic))
            && apps.iter().any(|app| may_hold_log_of(bloom, *app)))
}

/// The events of a block in their order; apps that it registers are added to `apps`.
pub fn policy_events(
    header: &ProvenHeader,
    receipts: &ProvenReceipts,
    authority: Address,
    apps: &mut HashSet<Address>,
) -> Vec<StoredEvent> {
    // First: an app speaks of itself in its constructor, before it is registered in the same transaction.
    for found in receipts.logs().filter(|found| found.log.address == authority) {
        let (topics, data) = parts(found.log);
        if let Some(PolicyEvent {
            name: REGISTERED,
            app: Some(app),
            ..
        }) = decode_kms_event(topics, data)
        {
            apps.insert(app);
        }
    }
    receipts
        .logs()
        .filter_map(|found| {
            let (topics, data) = parts(found.log);
            let emitter = found.log.address;
            if emitter == authority {
                let event = decode_kms_event(topics, data);
                let app = event.as_ref().and_then(|event| event.app);
                return Some(stored(header, found, event, app));
            }
            // What an app says beyond the interface is its own affair.
            let event = decode_app_event(topics, data).filter(|_| apps.contains(&emitter))?;
            Some(stored(header, found, Some(event), Some(emitter)))
        })
        .collect()
}

fn parts(log: &Log) -> (&[B256], &[u8]) {
    (log.data.topics(), &log.data.data)
}

fn stored(
    header: &ProvenHeader,
    found: ProvenLog<'_>,
    event: Option<PolicyEvent>,
    app: Option<Address>,
) -> StoredEvent {
    let (topics, data) = parts(found.log);
    let (name, fields) = event.map_or(("unknown", Vec::new()), |event| (event.name, event.fields));
    let field = |(name, value): (&str, String)| EventField {
        name: name.to_owned(),
        value,
    };
    StoredEvent {
        block: header.block().block_ref(),
        time: header.timestamp(),
        transaction: found.transaction,
        log_index: found.index,
        emitter: ChainAddress::new(found.log.address.into_array()),
        app: app.map(|app| AppId::new(app.into_array())),
        event: name.to_owned(),
        fields: fields.into_iter().map(field).collect(),
        topics: topics.to_vec(),
        data: Bytes::copy_from_slice(data.get(..MAX_DATA).unwrap_or(data)),
    }
}
