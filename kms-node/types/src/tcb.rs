//! TCB status of a platform (Intel PCS API v4, TCB info; the two relaunch statuses: TDX 1.5).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How a platform's TCB stands against Intel's TCB info, after merging platform, TDX module and QE levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TcbStatus {
    /// Nothing to do.
    UpToDate,
    /// Software mitigations are needed.
    SWHardeningNeeded,
    /// Platform configuration is needed.
    ConfigurationNeeded,
    /// Both of the above.
    ConfigurationAndSWHardeningNeeded,
    /// Launched on an old TCB that has since been updated underneath the TD.
    TDRelaunchAdvised,
    /// The same, and configuration is needed.
    TDRelaunchAdvisedConfigurationNeeded,
    /// Old microcode, module or QE.
    OutOfDate,
    /// The same, and configuration is needed.
    OutOfDateConfigurationNeeded,
    /// Withdrawn by Intel; never accepted.
    Revoked,
}

impl TcbStatus {
    /// Every status, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::UpToDate,
        Self::SWHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSWHardeningNeeded,
        Self::TDRelaunchAdvised,
        Self::TDRelaunchAdvisedConfigurationNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Revoked,
    ];

    /// Intel's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SWHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSWHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::TDRelaunchAdvised => "TDRelaunchAdvised",
            Self::TDRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Revoked => "Revoked",
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A status nobody here knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TCB status: expected one of Intel's nine, got {actual:?}")]
pub struct UnknownTcbStatus {
    /// What came.
    pub actual: String,
}

impl FromStr for TcbStatus {
    type Err = UnknownTcbStatus;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownTcbStatus {
                actual: text.chars().take(64).collect(),
            })
    }
}
