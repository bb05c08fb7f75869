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
