//! What the endpoints last said and what was agreed, without I/O. An agreed block stays agreed while nothing newer is:
//! endpoints that fall behind, or claim to, take nothing back.

use super::{
    tree::{MAX_DEPTH, Path, Tree, at},
    vote::{self, Conflict, View},
};
use crate::{BridgeError, Tip, members::Members};
use alloy::primitives::B256;
use authority_policy::ProvenHeader;
use kms_types::BlockRef;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Finalized heights remembered of each endpoint, to notice when it changes its word.
const REMEMBERED: usize = 64;

/// What one endpoint last said.
#[derive(Debug, Default)]
pub(super) struct Claim {
    pub(super) head: Option<Arc<ProvenHeader>>,
    pub(super) finalized: Option<Arc<ProvenHeader>>,
    /// Whether the last answer was one, and linked down to where it is compared.
    pub(super) stands: bool,
    pub(super) agrees: bool,
    /// Whether its chain has another block where the agreed one has its finalized block.
    contradicts: bool,
    pub(super) in_flight: bool,
    /// A head whose ancestors are being fetched.
    pub(super) linking: Option<Arc<ProvenHeader>>,
    /// Round of the last answer that stands.
    pub(super) round: u64,
    pub(super) error: Option<BridgeError>,
    finals: BTreeMap<u64, B256>,
}

/// Two blocks that enough endpoints agree on.
#[derive(Debug, Clone)]
pub(super) struct Agreed {
    pub(super) head: Arc<ProvenHeader>,
    pub(super) finalized: Arc<ProvenHeader>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) claims: Vec<Claim>,
    pub(super) agreed: Option<Agreed>,
    /// Since when endpoints differ above the agreed head.
    contested: Option<Instant>,
    /// Height to link chains down to while no finalized block is agreed.
    reach: Option<u64>,
    pub(super) round: u64,
}

/// How a look at the claims went.
pub(super) struct Look {
    pub(super) tip: Result<Tip, BridgeError>,
    /// Endpoints that answered in this round.
    pub(super) fresh: usize,
    pub(super) in_flight: usize,
    /// Whether no fresh answer names a higher head than the agreed one.
    pub(super) leads: bool,
    /// Whether chains must be linked further down first.
    pub(super) reach: bool,
}

impl State {
    pub(super) fn new(members: usize) -> Self {
        Self {
            tree: Tree::default(),
            claims: (0..members).map(|_| Claim::default()).collect(),
            agreed: None,
            contested: None,
            reach: None,
            round: 0,
        }
    }

    /// Height down to which a chain with this head and finalized block is linked; `None` when that is too far.
    pub(super) fn target(&self, head: u64, finalized: u64) -> Option<u64> {
        let near = |number: u64| head.saturating_sub(number) <= MAX_DEPTH;
        let agreed = self.agreed.as_ref().map(|agreed| agreed.finalized.number());
        let reach = agreed.or_else(|| self.reach.map(|reach| reach.min(finalized)));
        // After a long gap a chain begins anew at its own finalized block; the follower links that to the one before.
        let target = reach.filter(|reach| near(*reach)).unwrap_or(finalized);
        near(target).then_some(target.min(head))
    }

    /// Takes an answer whose head is linked; what it contradicts, if anything.
    pub(super) fn take(
        &mut self,
        index: usize,
        head: Arc<ProvenHeader>,
        finalized: Arc<ProvenHeader>,
    ) -> Option<String> {
        let round = self.round;
        let path = self.tree.path(&head);
        let claim = self.claims.get_mut(index)?;
        let (number, hash) = (finalized.number(), finalized.hash());
        let on_chain = number <= head.number() && at(&path, number).is_none_or(|own| own.hash() == hash);
        // C2: an endpoint that calls two blocks of one height final, or one off its own chain, lies in one of the two.
        let before = claim.finals.insert(number, hash).filter(|before| *before != hash);
        while claim.finals.len() > REMEMBERED {
            claim.finals.pop_first();
        }
        let lie = match before {
            Some(before) => Some(format!(
                "finalized block {number}: said {before} before, now {hash}"
            )),
            None if !on_chain && number <= head.number() => Some(format!(
                "finalized block {number}: {hash} is not on the chain of its own head"
            )),
            None => None,
        };
        (claim.head, claim.linking) = (Some(head), None);
        claim.finalized = on_chain.then_some(finalized);
        (claim.stands, claim.round, claim.error) = (true, round, None);
        lie
    }

    pub(super) fn views(&self) -> Vec<View> {
        let claims = self.claims.iter().enumerate().filter(|(_, claim)| claim.stands);
        claims
            .filter_map(|(index, claim)| {
                Some(View {
                    index,
                    path: self.tree.path(claim.head.as_ref()?),
                    finalized: claim.finalized.as_ref().map(|block| block.number()),
                })
            })
            .collect()
    }

    /// Looks at what is claimed now.
    pub(super) fn look(&mut self, members: &Members, needed: usize, patience: Duration, round: u64) -> Look {
        let views = self.views();
        let tip = self.agree(&views, members, needed, patience);
        let fresh: Vec<&Claim> = self
            .claims
            .iter()
            .filter(|claim| claim.stands && claim.round >= round)
            .collect();
        let agreed = self.agreed.as_ref().map(|agreed| agreed.head.number());
        let leads = |claim: &&&Claim| claim.head.as_ref().map(|head| head.number()) <= agreed;
        Look {
            leads: fresh.iter().filter(leads).count() == fresh.len(),
            fresh: fresh.len(),
            in_flight: self.claims.iter().filter(|claim| claim.in_flight).count(),
            reach: tip.is_err() && self.reach_further(&views, needed),
            tip,
        }
    }

    fn agree(
        &mut self,
        views: &[View],
        members: &Members,
        needed: usize,
        patience: Duration,
    ) -> Result<Tip, BridgeError> {
        if views.len() < needed {
            return Err(self.too_few(members, needed, views.len()));
        }
        let old = self.agreed.clone();
        let candidate = vote::head(views, needed);
        let (head, path) = match self.newer(candidate, members, views)? {
            Some(newer) => newer,
            None => return Err(self.apart(views, members, needed)),
        };
        let is_new = old.as_ref().is_none_or(|old| old.head.hash() != head.hash());
        let voted = vote::finalized(views, &path, needed);
        let newest = |old: Arc<ProvenHeader>, new: Arc<ProvenHeader>| match new.number() > old.number() {
            true => new,
            false => old,
        };
        let finalized = match (old.map(|old| old.finalized), voted) {
            (Some(old), Some(new)) => newest(old, new),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return Err(self.not_final(members, needed)),
        };
        self.note(views, members, &path, &finalized);
        self.agreed = Some(Agreed {
            head: Arc::clone(&head),
            finalized: Arc::clone(&finalized),
        });
        if is_new {
            self.contested = None;
            let named = self.claims.iter().flat_map(|claim| [&claim.head, &claim.linking]);
            let heads = named.flatten().chain([&head]);
            self.tree.prune(heads, finalized.number());
        }
        self.contest(views, members, (&head, &path), needed, patience)?;
        Ok(Tip {
            head: (*head).clone(),
            finalized: (*finalized).clone(),
        })
    }

    /// Forgets chains nobody names any more, also while nothing new is agreed: an endpoint may name another one each time.
    pub(super) fn bound_tree(&mut self) {
        let most = (self.claims.len() + 1).saturating_mul(super::tree::MAX_DEPTH as usize);
        let most_extra = (self.claims.len() + 1).saturating_mul(super::tree::MAX_EXTRA);
        if self.tree.len() <= most && self.tree.extra() <= most_extra {
            return;
        }
        let agreed = self.agreed.as_ref();
        let lowest = agreed.map_or(0, |agreed| agreed.finalized.number());
        // A chain that is only being linked is begun anew.
        for claim in &mut self.claims {
            claim.linking = None;
        }
        let named = self.claims.iter().filter_map(|claim| claim.head.as_ref());
        let heads = named.chain(agreed.map(|agreed| &agreed.head));
        self.tree.prune(heads, lowest);
    }

    /// The agreed head with its path: the candidate, or the one before when the candidate is only older.
    fn newer(
        &self,
        candidate: Option<Arc<ProvenHeader>>,
        members: &Members,
        views: &[View],
    ) -> Result<Option<(Arc<ProvenHeader>, Path)>, BridgeError> {
        let Some(old) = &self.agreed else {
            return Ok(candidate.map(|head| {
                let path = self.tree.path(&head);
                (head, path)
            }));
        };
        let stay = || Ok(Some((Arc::clone(&old.head), self.tree.path(&old.head))));
        let Some(head) = candidate else {
            return stay();
        };
        let is_on = |path: &Path| at(path, head.number()).is_some_and(|own| own.hash() == head.hash());
        // C5: a minority that falls back, with one that lags, must not take back a head that showed a revocation; neither
        // along its chain nor, while anyone still has it, to a removed block that the laggard has.
        let old_path = self.tree.path(&old.head);
        let is_before = head.number() <= old.head.number() && head.timestamp() < old.head.timestamp();
        // One failed request of whoever has it changes nothing.
        let has = |head: &Arc<ProvenHeader>| {
            at(&self.tree.path(head), old.head.number()).is_some_and(|own| own.hash() == old.head.hash())
        };
        let is_held = || {
            self.claims
                .iter()
                .filter_map(|claim| claim.head.as_ref())
                .any(has)
        };
        if head.number() < old.finalized.number() || is_on(&old_path) || is_before && is_held() {
            return stay();
        }
        let path = self.tree.path(&head);
        match at(&path, old.finalized.number()) {
            // C7: enough endpoints left a block that was final.
            Some(other) if other.hash() != old.finalized.hash() => {
                let has = |view: &&View| view.follows(&path);
                let who = views
                    .iter()
                    .filter(has)
                    .filter_map(|view| members.get(view.index));
                let who: Vec<&str> = who.map(|member| member.name()).collect();
                Err(BridgeError::Disagreement {
                    endpoint: who.join(", "),
                    number: old.finalized.number(),
                    expected: old.finalized.hash().to_string(),
                    actual: other.hash().to_string(),
                })
            }
            _ => Ok(Some((head, path))),
        }
    }

    /// Notes who has another chain than the agreed one.
    fn note(&mut self, views: &[View], members: &Members, path: &Path, finalized: &ProvenHeader) {
        for view in views {
            let (Some(claim), Some(member)) = (self.claims.get_mut(view.index), members.get(view.index))
            else {
                continue;
            };
            let agrees = view.follows(path);
            let own = at(&view.path, finalized.number()).map(|block| block.hash());
            let other_final = own.filter(|own| *own != finalized.hash());
            if let Some(own) = other_final.filter(|_| !claim.contradicts) {
                let (number, expected) = (finalized.number(), finalized.hash());
                member.lied(&format!("block {number}: expected final {expected}, got {own}"));
            }
            claim.contradicts = other_final.is_some();
            claim.agrees = agrees;
            let dispute = || {
                let (own, agreed) = (view.path.first()?, path.first()?);
                let height = own.number().min(agreed.number());
                let (own, agreed) = (at(&view.path, height)?.hash(), at(path, height)?.hash());
                Some(format!(
                    "{}: block {height}: expected {agreed}, got {own}",
                    member.name()
                ))
            };
            let other = || format!("{}: its chain is not the agreed one", member.name());
            member.disputes((!agrees).then(|| dispute().unwrap_or_else(other)));
        }
    }

    // C2: endpoints that answer and still do not let enough of them agree are a split view, not a slow chain.
    fn contest(
        &mut self,
        views: &[View],
        members: &Members,
        (head, path): (&ProvenHeader, &Path),
        needed: usize,
        patience: Duration,
    ) -> Result<(), BridgeError> {
        let has_nothing_else = |view: &&View| {
            let own = view.path.first();
            own.is_some_and(|own| own.number() <= head.number()) && view.follows(path)
        };
        let content = views.iter().filter(has_nothing_else).count();
        let conflict = match content < needed {
            true => vote::conflict(views, Some(head.number())),
            false => None,
        };
        let Some(conflict) = conflict else {
            self.contested = None;
            return Ok(());
        };
        let since = *self.contested.get_or_insert_with(Instant::now);
        match since.elapsed() > patience {
            true => Err(split(conflict, members)),
            false => Ok(()),
        }
    }

    fn apart(&self, views: &[View], members: &Members, needed: usize) -> BridgeError {
        if let Some(conflict) = vote::conflict(views, None) {
            return split(conflict, members);
        }
        let heads = views.iter().filter_map(|view| {
            let (member, head) = (members.get(view.index)?, view.path.first()?);
            Some(format!("{}: head {}", member.name(), head.block().block_ref()))
        });
        let heads: Vec<String> = heads.collect();
        let text = format!(
            "no block is the same for {needed} endpoints: {}",
            heads.join("; ")
        );
        BridgeError::unavailable(text)
    }

    fn not_final(&self, members: &Members, needed: usize) -> BridgeError {
        let told = members.all().iter().zip(&self.claims).map(|(member, claim)| {
            let said = match (&claim.finalized, claim.stands) {
                (Some(block), true) => block.block().block_ref().to_string(),
                (None, true) => "one that is not on the chain of its head".to_owned(),
                (_, false) => "no answer".to_owned(),
            };
            format!("{}: {said}", member.name())
        });
        let told: Vec<String> = told.collect();
        let text = format!(
            "no finalized block is the same for {needed} endpoints: {}",
            told.join("; ")
        );
        BridgeError::unavailable(text)
    }

    fn too_few(&self, members: &Members, needed: usize, standing: usize) -> BridgeError {
        let errors = || self.claims.iter().filter_map(|claim| claim.error.as_ref());
        let is_foreign = |error: &&BridgeError| matches!(error, BridgeError::WrongChain { .. });
        let foreign = errors().filter(is_foreign).count();
        // C1: with so many on another chain the configuration is wrong, and no waiting helps.
        if foreign > members.all().len().saturating_sub(needed)
            && let Some(error) = errors().find(is_foreign)
        {
            return error.clone();
        }
        let told: Vec<String> = errors().map(ToString::to_string).collect();
        let all = members.all().len();
        let text = format!(
            "{needed} of {all} endpoints must answer, {standing} do: {}",
            told.join("; ")
        );
        BridgeError::unavailable(text)
    }

    /// Lowers the height chains are linked down to, where a finalized block may be agreed on that one chain does not reach.
    fn reach_further(&mut self, views: &[View], needed: usize) -> bool {
        if self.agreed.is_some() || self.claims.iter().any(|claim| claim.in_flight) {
            return false;
        }
        let lowest = |view: &View| view.path.last().map(|block| block.number());
        let near = |view: &View, number: u64| {
            let head = view.path.first().map(|block| block.number());
            head.is_some_and(|head| head >= number && head - number <= MAX_DEPTH)
        };
        let lacks = |number: u64| {
            let missing =
                |view: &View| near(view, number) && lowest(view).is_some_and(|lowest| lowest > number);
            views.iter().any(missing)
        };
        let next = vote::candidates(views, needed)
            .into_iter()
            .find(|number| lacks(*number));
        let lower = next.filter(|next| self.reach.is_none_or(|reach| *next < reach));
        if let Some(next) = lower {
            self.reach = Some(next);
        }
        lower.is_some()
    }
}

fn split(conflict: Conflict, members: &Members) -> BridgeError {
    let name = |index: usize| members.get(index).map_or("?", |member| member.name()).to_owned();
    BridgeError::Split {
        height: conflict.height,
        views: conflict
            .views
            .into_iter()
            .map(|(index, hash)| (name(index), hash))
            .collect(),
    }
}

/// Number and hash of a header.
pub(super) fn reference(header: &Arc<ProvenHeader>) -> BlockRef {
    header.block().block_ref()
}
