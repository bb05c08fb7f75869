//! Several endpoints as one source of evidence. Evidence proves itself, so one good answer is enough: the next endpoint is
//! asked when an answer fails or takes long, and whoever hangs or gave evidence that proves nothing is asked last.

use crate::{BridgeError, Endpoint, Evidence, EvidenceSource, Want, members::Members};
use alloy::{
    consensus::ReceiptEnvelope,
    primitives::{Address, B256, Bytes},
};
use async_trait::async_trait;
use authority_policy::PolicyError;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Endpoints that are asked in the order of how well they did.
#[derive(Debug)]
pub struct EvidencePool {
    members: Members,
    /// Endpoint asked first; the best one when absent.
    first: Option<usize>,
    /// Who answered last.
    answered: AtomicUsize,
}

impl EvidencePool {
    pub(crate) fn new(members: Members) -> Self {
        Self {
            members,
            first: None,
            answered: AtomicUsize::new(0),
        }
    }

    fn order(&self) -> Vec<usize> {
        let mut order = self.members.best_first();
        if let Some(first) = self.first {
            // Whoever gave false evidence could win every race against slow ones with the same lie, and leave no answer.
            let is_honest =
                |index: &usize| self.members.get(*index).is_none_or(|member| !member.is_avoided());
            order.retain(|index| *index != first && is_honest(index));
            order.insert(0, first);
        }
        order
    }
}

#[async_trait]
impl EvidenceSource for EvidencePool {
    /// Who answered last.
    fn name(&self) -> &str {
        let last = self.members.get(self.answered.load(Ordering::Relaxed));
        last.map_or("endpoints", |member| member.name())
    }

    async fn evidence(&self, block: B256, wants: &[Want]) -> Result<Vec<Evidence>, BridgeError> {
        let ask = |endpoint: Endpoint| async move { endpoint.evidence(block, wants).await };
        let (index, evidence) = self.members.first(self.order(), true, ask).await?;
        self.answered.store(index, Ordering::Relaxed);
        if let Some(member) = self.members.get(index) {
            member.gave_evidence();
        }
        Ok(evidence)
    }

    async fn hint(&self, block: B256, contract: Address, call: Bytes) -> Result<Vec<Want>, BridgeError> {
        let ask = |endpoint: Endpoint| {
            let call = call.clone();
            async move { endpoint.hint(block, contract, call).await }
        };
        // A guess nobody has to be able to make.
        let hinted = self.members.first(self.order(), false, ask).await?;
        Ok(hinted.1)
    }

    async fn receipts(&self, block: B256) -> Result<Vec<ReceiptEnvelope>, BridgeError> {
        let ask = |endpoint: Endpoint| async move { endpoint.receipts(block).await };
        let (index, receipts) = self.members.first(self.order(), true, ask).await?;
        self.answered.store(index, Ordering::Relaxed);
        if let Some(member) = self.members.get(index) {
            member.gave_evidence();
        }
        Ok(receipts)
    }

    fn sources(&self) -> Vec<Arc<dyn EvidenceSource>> {
        let from = |first: usize| {
            Arc::new(Self {
                members: self.members.clone(),
                first: Some(first),
                answered: AtomicUsize::new(first),
            }) as Arc<dyn EvidenceSource>
        };
        self.members.best_first().into_iter().map(from).collect()
    }

    fn report(&self, name: &str, fault: &PolicyError) {
        let named = self.members.all().iter().find(|member| member.name() == name);
        if let Some(member) = named {
            member.gave_false_evidence(fault);
        }
    }
}
