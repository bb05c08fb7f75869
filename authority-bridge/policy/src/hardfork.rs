//! Which rules of the EVM hold at a block.
//!
//! A header shows its fork by the fields it has, except that Osaka added none over Prague: a header of that shape is
//! run by Osaka's rules, which every public network has activated. A decision file may name another.

use crate::ProvenHeader;
use revm::primitives::hardfork::SpecId;

/// A fork of the execution layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hardfork {
    /// 2021, EIP-1559.
    London,
    /// 2022, the merge.
    Paris,
    /// 2023, PUSH0.
    Shanghai,
    /// 2024, transient storage.
    Cancun,
    /// 2025, EIP-7702.
    Prague,
    /// 2025, EIP-7825, CLZ.
    Osaka,
    /// Block access lists.
    Amsterdam,
}

/// How the fork of a block is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HardforkRule {
    /// By the shape of its header.
    #[default]
    HeaderShape,
    /// The same for every block.
    Fixed(Hardfork),
}

impl HardforkRule {
    /// The fork whose rules hold at the block.
    pub fn at(self, header: &ProvenHeader) -> Hardfork {
        let fields = header.fields();
        match self {
            Self::Fixed(fork) => fork,
            Self::HeaderShape if fields.block_access_list_hash.is_some() => Hardfork::Amsterdam,
            Self::HeaderShape if fields.requests_hash.is_some() => Hardfork::Osaka,
            Self::HeaderShape if fields.parent_beacon_block_root.is_some() => Hardfork::Cancun,
            Self::HeaderShape if fields.withdrawals_root.is_some() => Hardfork::Shanghai,
            Self::HeaderShape if fields.difficulty.is_zero() => Hardfork::Paris,
            Self::HeaderShape => Hardfork::London,
        }
    }
}

impl From<Hardfork> for SpecId {
    fn from(fork: Hardfork) -> Self {
        match fork {
            Hardfork::London => Self::LONDON,
            Hardfork::Paris => Self::MERGE,
            Hardfork::Shanghai => Self::SHANGHAI,
            Hardfork::Cancun => Self::CANCUN,
            Hardfork::Prague => Self::PRAGUE,
            Hardfork::Osaka => Self::OSAKA,
            Hardfork::Amsterdam => Self::AMSTERDAM,
        }
    }
}
