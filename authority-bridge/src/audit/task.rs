//! The task of the audit: from the last stored block to the newest finalized one, in pieces. A long gap is walked down from
//! the finalized block first, so that each piece on the way up is linked to it before anything of it is stored.

use super::{AuditParts, AuditStatus, may_hold_events, policy_events};
use crate::{
    BridgeError,
    store::{Piece, Progress, StoreError, explained},
};
use alloy::primitives::{Address, B256};
use authority_policy::{PolicyError, ProvenHeader, ProvenReceipts};
use kms_types::BlockRef;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Blocks of one piece.
const PIECE: u64 = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why the audit does not go on.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error("history: {0}")]
    Chain(#[from] BridgeError),
    #[error("history")]
    Store(#[from] StoreError),
    #[error(
        "history: block {expected} was read before and is not an ancestor of the finalized block, which has {actual} there"
    )]
    OtherChain { expected: BlockRef, actual: B256 },
    #[error("history: {headers}: expected ancestors of block {of}, got others")]
    Unlinked { headers: String, of: BlockRef },
}

struct Task {
    parts: AuditParts,
    authority: Address,
    /// Apps as of the last stored block; read anew after a failure.
    apps: Option<HashSet<Address>>,
}

pub(super) async fn run(
    parts: AuditParts,
    status: watch::Sender<AuditStatus>,
    mut stop: watch::Receiver<bool>,
) {
    let mut chain = parts.chain.clone();
    let authority = Address::new(parts.store.contract().to_bytes());
    let mut task = Task {
        parts,
        authority,
        apps: None,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let target = chain.borrow_and_update().finalized.map(|block| block.block_ref());
        let step = tokio::select! {
            step = task.step(target) => step,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (waits, done, degraded) = match step {
            Ok((done, more)) => (!more, done, None),
            Err(error) => {
                task.apps = None;
                (true, None, Some(explained(&error)))
            }
        };
        if let Some(why) = &degraded {
            tracing::warn!(%why, "the audit trail does not go on");
        }
        let failed = degraded.is_some();
        status.send_modify(|status| {
            status.target = target.or(status.target);
            status.done = done.or(status.done);
            status.degraded = degraded;
        });
        if !waits {
            pause = FIRST_PAUSE;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(pause), if failed => pause = (pause * 2).min(LONGEST_PAUSE),
            changed = chain.changed(), if !failed => {
                pause = FIRST_PAUSE;
                if changed.is_err() {
                    return;
                }
            }
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Events after which a piece is stored, so that neither memory nor one transaction grows with what apps emit.
const MAX_EVENTS: usize = 2048;

impl Task {
    /// One piece; how far it is done, and whether there is more to do now.
    async fn step(&mut self, target: Option<BlockRef>) -> Result<(Option<BlockRef>, bool), Stuck> {
        let store = self.parts.store.clone();
        let Some(target) = target else {
            return Ok((store.progress().await?.and_then(|progress| progress.done), false));
        };
        let from = self.parts.from;
        let progress = match store.progress().await? {
            Some(progress) if from.is_none_or(|from| from >= progress.from) => progress,
            _ => {
                store.begin(from.unwrap_or(target.number)).await?;
                let begun = store.progress().await?;
                begun.ok_or_else(|| BridgeError::unavailable("the history was not begun"))?
            }
        };
        let next = progress.next();
        if target.number < next {
            return Ok((progress.done, false));
        }
        let anchor = store
            .checkpoint(next)
            .await?
            .filter(|at| at.number <= target.number)
            .unwrap_or(target);
        if anchor.number.saturating_sub(next) >= PIECE {
            let low = self.descend(anchor).await?;
            store.note_checkpoint(low).await?;
            return Ok((progress.done, true));
        }
        self.ascend(&progress, anchor).await?;
        let done = store.progress().await?.and_then(|progress| progress.done);
        Ok((done, done.is_none_or(|done| done.number < target.number)))
    }

    /// The ancestor some blocks below a linked one.
    async fn descend(&self, anchor: BlockRef) -> Result<BlockRef, Stuck> {
        let headers = self
            .linked(anchor.number.saturating_sub(PIECE - 1), anchor)
            .await?;
        let low = headers.first().map(|header| header.block().block_ref());
        low.ok_or_else(|| self.unlinked(anchor))
    }

    /// Reads the blocks up to a linked one and stores what they hold.
    async fn ascend(&mut self, progress: &Progress, anchor: BlockRef) -> Result<(), Stuck> {
        let headers = self.linked(progress.next(), anchor).await?;
        let parent = headers.first().map(|header| header.parent_hash());
        if let (Some(done), Some(actual)) = (progress.done, parent) {
            // C7: events of a block that is on no chain any more must not stay as if they had happened.
            if B256::new(done.hash.to_bytes()) != actual {
                return Err(Stuck::OtherChain {
                    expected: done,
                    actual,
                });
            }
        }
        let mut apps = match self.apps.take() {
            Some(apps) => apps,
            None => self.parts.store.apps().await?.into_iter().collect(),
        };
        let known: HashSet<Address> = apps.clone();
        let mut piece = Piece::default();
        let mut failure = None;
        for header in headers {
            match self.read(&header, &mut apps).await {
                Ok(events) => {
                    piece.headers.push((header, !events.is_empty()));
                    piece.events.extend(events);
                    // Anyone may register an app and have it say a lot.
                    if piece.events.len() >= MAX_EVENTS {
                        break;
                    }
                }
                // What was read so far is stored, so that one missing block does not cost the ones before it again.
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        piece.apps = apps.difference(&known).copied().collect();
        let is_stored = self.parts.store.append(progress, &piece).await?;
        match failure {
            Some(error) => Err(error.into()),
            None => {
                self.apps = is_stored.then_some(apps);
                Ok(())
            }
        }
    }

    /// Headers from a height up to `anchor`, oldest first, linked to it by parent hashes.
    async fn linked(&self, from: u64, anchor: BlockRef) -> Result<Vec<ProvenHeader>, Stuck> {
        let source = &self.parts.headers;
        let mut headers = source.range(from, anchor.number).await?;
        let mut expected = (anchor.number, B256::new(anchor.hash.to_bytes()));
        for header in headers.iter().rev() {
            // C2: a height says nothing about which block it is.
            if (header.number(), header.hash()) != expected {
                return Err(self.unlinked(anchor));
            }
            expected = (header.number().saturating_sub(1), header.parent_hash());
        }
        if headers.first().is_none_or(|header| header.number() != from) {
            return Err(self.unlinked(anchor));
        }
        headers.shrink_to_fit();
        Ok(headers)
    }

    fn unlinked(&self, of: BlockRef) -> Stuck {
        let headers = self.parts.headers.name().to_owned();
        Stuck::Unlinked { headers, of }
    }

    async fn read(
        &self,
        header: &ProvenHeader,
        apps: &mut HashSet<Address>,
    ) -> Result<Vec<crate::store::StoredEvent>, BridgeError> {
        if !may_hold_events(header, self.authority, apps) {
            return Ok(Vec::new());
        }
        let receipts = self.receipts(header).await?;
        Ok(policy_events(header, &receipts, self.authority, apps))
    }

    /// Proven receipts from whoever gives them.
    async fn receipts(&self, header: &ProvenHeader) -> Result<ProvenReceipts, BridgeError> {
        let evidence = &self.parts.evidence;
        let mut sources = evidence.sources();
        if sources.is_empty() {
            sources.push(Arc::clone(evidence));
        }
        let mut last = BridgeError::unavailable("nobody to ask for receipts");
        for source in sources {
            let proven = match source.receipts(header.hash()).await {
                Ok(receipts) => ProvenReceipts::new(header, receipts),
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            match proven {
                Ok(proven) => return Ok(proven),
                Err(fault) => last = self.lie(source.name(), fault),
            }
        }
        Err(last)
    }

    fn lie(&self, endpoint: &str, fault: PolicyError) -> BridgeError {
        tracing::warn!(endpoint, %fault, "receipts are refused");
        self.parts.evidence.report(endpoint, &fault);
        BridgeError::Evidence {
            endpoint: endpoint.to_owned(),
            fault: Box::new(fault),
        }
    }
}
