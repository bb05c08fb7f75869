//! An app's environment in the clear: names with values that are wiped when dropped and cannot be printed.
//!
//! Refuses values with a NUL byte or above their bound, and more than [`MAX_ENV_VARS`] of them.

use crate::{
    env_name::EnvName,
    env_text::{self, EnvTextError},
};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a value.
pub const MAX_ENV_VALUE: usize = 128 * 1024;
/// Variables.
pub const MAX_ENV_VARS: usize = 1024;
/// Bytes of the text that is encrypted.
pub const MAX_PLAINTEXT: usize = 1 << 20;

/// Why a value is refused. The value itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvValueError {
    /// Above the bound.
    #[error("environment value: expected at most {MAX_ENV_VALUE} bytes, got {actual}")]
    TooLong {
        /// What came.
        actual: usize,
    },
    /// No process can have it.
    #[error("environment value: expected text without a NUL character, got one at byte {at}")]
    Nul {
        /// Where, from 0.
        at: usize,
    },
    /// One more than there may be.
    #[error("environment: expected at most {MAX_ENV_VARS} variables, got more")]
    TooMany,
}

// K4: values are wiped when dropped; there is no `Debug`, `Clone` or comparison to let one out.
/// One value.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct EnvValue(String);

impl EnvValue {
    /// Takes the text over; what is refused is wiped.
    ///
    /// # Errors
    /// When it is too long or holds a NUL character.
    pub fn new(text: String) -> Result<Self, EnvValueError> {
        let value = Self(text);
        let actual = value.0.len();
        if actual > MAX_ENV_VALUE {
            return Err(EnvValueError::TooLong { actual });
        }
        match value.0.find('\0') {
            Some(at) => Err(EnvValueError::Nul { at }),
            None => Ok(value),
        }
    }

    /// The value in the clear, for the process that gets it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Variables by name.
#[derive(Default)]
pub struct Environment {
    vars: BTreeMap<EnvName, EnvValue>,
    dropped: usize,
}

impl Environment {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable; one of the same name is replaced and wiped.
    ///
    /// # Errors
    /// When there are [`MAX_ENV_VARS`] already.
    pub fn set(&mut self, name: EnvName, value: EnvValue) -> Result<(), EnvValueError> {
        if self.vars.len() >= MAX_ENV_VARS && !self.vars.contains_key(&name) {
            return Err(EnvValueError::TooMany);
        }
        self.vars.insert(name, value);
        Ok(())
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&EnvValue> {
        self.vars.get(name)
    }

    /// Every variable, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&EnvName, &EnvValue)> {
        self.vars.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// How many variables of the encrypted text were dropped because `allowed_envs` does not have their names.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The text the agent reads: `{"env":[{"key","value"}]}`, names in ascending order.
    ///
    /// # Errors
    /// When it is above [`MAX_PLAINTEXT`].
    pub fn to_text(&self) -> Result<Zeroizing<Vec<u8>>, EnvTextError> {
        env_text::write(self)
    }

    /// Reads what [`Environment::to_text`] wrote.
    ///
    /// # Errors
    /// When it is other text, or a value is beyond its bounds.
    pub fn from_text(text: &[u8], allowed: &BTreeSet<EnvName>) -> Result<Self, EnvTextError> {
        env_text::read(text, allowed)
    }

    pub(crate) fn count_dropped(&mut self) {
        self.dropped += 1;
    }
}
