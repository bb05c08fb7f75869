//! Whether this node may release: the record of its own boot, verified like any other, and what the chain says of it.

use crate::http::ApiError;
use kms_types::BootRecord;
use kms_wire::ProblemCode;
use std::sync::{Arc, PoisonError, RwLock};

/// Where the node stands.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// It may release.
    Allowed(Arc<BootRecord>),
    /// It may not, or it is not known that it may.
    Not(String),
}

/// The current standing; fail closed until the first check.
#[derive(Debug)]
pub(crate) struct StandingCell(RwLock<Standing>);

impl Default for StandingCell {
    fn default() -> Self {
        Self(RwLock::new(Standing::Not("not checked yet".to_owned())))
    }
}

impl StandingCell {
    /// The standing now.
    pub(crate) fn get(&self) -> Standing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets it; true when it changed between allowed and not.
    pub(crate) fn set(&self, standing: Standing) -> bool {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = matches!(*held, Standing::Allowed(_)) != matches!(standing, Standing::Allowed(_));
        *held = standing;
        changed
    }

    /// The own record while the node may release.
    pub(crate) fn own_record(&self) -> Result<Arc<BootRecord>, ApiError> {
        match self.get() {
            Standing::Allowed(record) => Ok(record),
            // K2: unknown is not allowed.
            Standing::Not(why) => Err(ApiError::new(
                ProblemCode::NodeNotAllowed,
                format!("this node is not known to be allowed: {why}"),
            )),
        }
    }
}
