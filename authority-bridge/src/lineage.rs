//! The newest heads, to tell how many blocks a new head removed. Nothing depends on it but what people are told: verdicts
//! are kept by block hash, so those of removed blocks are void in any case.

use crate::HeaderSource;
use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use std::collections::VecDeque;

/// Heads remembered, and headers walked back.
const RECENT: usize = 128;

/// The newest heads, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lineage(VecDeque<(u64, B256)>);

impl Lineage {
    /// Height of the newest head.
    pub(crate) fn height(&self) -> u64 {
        self.0.back().map_or(0, |(number, _)| *number)
    }

    /// Takes a new head; the number of remembered blocks it removed.
    pub(crate) async fn follow(&mut self, head: &ProvenHeader, headers: &dyn HeaderSource) -> u64 {
        let last = self.height();
        let mut path = vec![(head.number(), head.hash())];
        let mut parent = (head.number().saturating_sub(1), head.parent_hash());
        let mut depth = 0;
        while path.len() < RECENT {
            while self.0.back().is_some_and(|(number, _)| *number > parent.0) {
                self.0.pop_back();
            }
            match self.0.back() {
                Some(known) if *known == parent => {
                    depth = last.saturating_sub(parent.0);
                    break;
                }
                None => break,
                Some(_) => {}
            }
            let Ok(Some(header)) = headers.by_hash(parent.1).await else {
                break;
            };
            path.push(parent);
            parent = (header.number().saturating_sub(1), header.parent_hash());
        }
        self.0.extend(path.into_iter().rev());
        while self.0.len() > RECENT {
            self.0.pop_front();
        }
        depth
    }
}
