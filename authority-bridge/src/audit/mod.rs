//! The audit trail: every policy event of every finalized block, proven by the block's receipts root. It decides nothing;
//! when it cannot go on (no receipts, no room) it waits and says so, and decisions go on without it.
//!
//! Refused: a header that is not linked to a finalized one by parent hashes, and receipts that are not the header's.

mod events;
mod task;

pub use events::{may_hold_events, policy_events};

use crate::{ChainStatus, EvidenceSource, HeaderSource, store::ChainStore};
use kms_types::BlockRef;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{sync::watch, task::JoinHandle};

/// How the audit does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// Newest block whose events are stored.
    pub done: Option<BlockRef>,
    /// Newest finalized block it knows of.
    pub target: Option<BlockRef>,
    /// Why it cannot go on, while it cannot.
    pub degraded: Option<String>,
}

/// What the audit works with.
pub(crate) struct AuditParts {
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) evidence: Arc<dyn EvidenceSource>,
    pub(crate) chain: watch::Receiver<ChainStatus>,
    pub(crate) store: ChainStore,
    /// First block of the history; the first one followed when absent.
    pub(crate) from: Option<u64>,
}

/// A running audit. It stops when this is dropped.
#[derive(Debug)]
pub struct Audit {
    status: watch::Receiver<AuditStatus>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    pub(crate) fn start(parts: AuditParts) -> Self {
        let (sender, status) = watch::channel(AuditStatus::default());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(task::run(parts, sender, stopped));
        Self {
            status,
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// How it does, now and later.
    pub fn status(&self) -> watch::Receiver<AuditStatus> {
        self.status.clone()
    }

    /// Stops after the piece in work.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A task that panicked has stopped as well.
            let _ = task.await;
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
