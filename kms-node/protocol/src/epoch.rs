//! Which key epoch a request gets. Refuses epochs below the network's minimum, above its current one, and those whose root
//! this node does not hold.

use kms_keys::EpochKeys;
use kms_types::{BlockRef, KeyEpoch};
use std::{collections::BTreeMap, sync::Arc};

/// What the network says about epochs, and where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRule {
    /// The epoch new keys come from.
    pub current: KeyEpoch,
    /// The lowest that is still released.
    pub minimum: KeyEpoch,
    /// Head it was read at.
    pub block: BlockRef,
}

/// Why there are no keys of that epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// Retired by the network.
    #[error("key epoch: expected at least {minimum}, got {requested}")]
    BelowMinimum {
        /// Asked for.
        requested: KeyEpoch,
        /// Lowest allowed.
        minimum: KeyEpoch,
        /// Where the network says so.
        block: BlockRef,
    },
    /// Not begun.
    #[error("key epoch: expected at most {current}, got {requested}")]
    AboveCurrent {
        /// Asked for.
        requested: KeyEpoch,
        /// Newest.
        current: KeyEpoch,
    },
    /// Live, but its root is not here.
    #[error("key epoch {requested}: this node does not hold its root")]
    NotHeld {
        /// Asked for.
        requested: KeyEpoch,
    },
}

/// The epochs this node holds.
pub struct Epochs(BTreeMap<KeyEpoch, Arc<EpochKeys>>);

impl Epochs {
    /// Takes derived epochs.
    pub fn new(keys: impl IntoIterator<Item = EpochKeys>) -> Self {
        Self(
            keys.into_iter()
                .map(|keys| (keys.key_epoch(), Arc::new(keys)))
                .collect(),
        )
    }

    /// The keys of the epoch asked for, or of the current one.
    ///
    /// # Errors
    /// When the network retired it, has not begun it, or its root is not here.
    pub fn select(
        &self,
        requested: Option<KeyEpoch>,
        rule: &EpochRule,
    ) -> Result<Arc<EpochKeys>, EpochError> {
        let requested = requested.unwrap_or(rule.current);
        // K5: a retired epoch is retired because its root may be known to someone.
        if requested < rule.minimum {
            let (minimum, block) = (rule.minimum, rule.block);
            return Err(EpochError::BelowMinimum {
                requested,
                minimum,
                block,
            });
        }
        if requested > rule.current {
            return Err(EpochError::AboveCurrent {
                requested,
                current: rule.current,
            });
        }
        self.0
            .get(&requested)
            .cloned()
            .ok_or(EpochError::NotHeld { requested })
    }

    /// Every epoch, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<EpochKeys>> {
        self.0.values().rev()
    }
}

impl std::fmt::Debug for Epochs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kms_keys::{EpochRoot, Secret};
    use kms_types::BlockHash;

    fn epochs(held: &[u32]) -> Epochs {
        let root = |epoch| EpochRoot::from_secret(KeyEpoch(epoch), Secret::new(Box::new([epoch as u8; 32])));
        Epochs::new(held.iter().map(|epoch| EpochKeys::derive(root(*epoch)).unwrap()))
    }

    fn rule(minimum: u32, current: u32) -> EpochRule {
        let block = BlockRef {
            number: 7,
            hash: BlockHash::ZERO,
        };
        EpochRule {
            current: KeyEpoch(current),
            minimum: KeyEpoch(minimum),
            block,
        }
    }

    fn selected(epochs: &Epochs, requested: Option<u32>, rule: &EpochRule) -> Result<u32, EpochError> {
        epochs
            .select(requested.map(KeyEpoch), rule)
            .map(|keys| keys.key_epoch().0)
    }

    #[test]
    fn the_current_epoch_is_the_default_and_older_live_ones_may_be_asked_for() {
        let epochs = epochs(&[1, 2, 3]);
        assert_eq!(selected(&epochs, None, &rule(1, 3)), Ok(3));
        assert_eq!(selected(&epochs, None, &rule(1, 2)), Ok(2));
        assert_eq!(selected(&epochs, Some(1), &rule(1, 3)), Ok(1));
        let newest: Vec<_> = epochs.newest_first().map(|keys| keys.key_epoch().0).collect();
        assert_eq!(newest, [3, 2, 1]);
    }

    #[test]
    fn k5_epoch_below_the_minimum_is_refused_although_its_root_is_here() {
        let rule = rule(2, 3);
        let refused = EpochError::BelowMinimum {
            requested: KeyEpoch(1),
            minimum: KeyEpoch(2),
            block: rule.block,
        };
        assert_eq!(selected(&epochs(&[1, 2, 3]), Some(1), &rule), Err(refused));
        let problem = crate::Refusal::from(refused).problem();
        assert_eq!(problem.code, kms_wire::ProblemCode::Denied);
        assert_eq!(problem.block, Some(rule.block));
    }

    #[test]
    fn k5_epoch_that_has_not_begun_or_is_not_held_is_refused() {
        let (held, above) = (epochs(&[1, 2]), KeyEpoch(3));
        let refused = EpochError::AboveCurrent {
            requested: above,
            current: KeyEpoch(2),
        };
        assert_eq!(selected(&held, Some(3), &rule(1, 2)), Err(refused));
        assert_eq!(
            selected(&held, None, &rule(1, 3)),
            Err(EpochError::NotHeld { requested: above })
        );
    }
}
