//! A block header whose hash was computed here from its fields. Refused: a header that came under another hash, as one
//! with a changed, missing or unknown field does.

use crate::{PolicyError, evidence::at_most};
use alloy_consensus::Header;
use alloy_primitives::B256;
use kms_types::{BlockHash, ProvenBlock, UnixTime};

/// Bytes of extra data: 32 on Ethereum, some hundreds on chains with signed blocks.
pub const MAX_EXTRA_DATA: usize = 8 * 1024;

/// A header and the hash of its fields. Whether that hash is the chain's is for the source of headers to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenHeader {
    header: Header,
    hash: B256,
}

impl ProvenHeader {
    /// Hashes the fields and compares with the hash the header came under.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`] when the extra data is above [`MAX_EXTRA_DATA`]; [`PolicyError::HeaderHash`] when the
    /// fields give another hash than `claimed`.
    pub fn new(header: Header, claimed: B256) -> Result<Self, PolicyError> {
        at_most(
            "bytes of a header's extra data",
            MAX_EXTRA_DATA,
            header.extra_data.len(),
        )?;
        let hash = header.hash_slow();
        // C2: a provider that changes one field (state root, time, height) no longer has a block of that hash.
        if hash != claimed {
            return Err(PolicyError::HeaderHash {
                number: header.number,
                expected: claimed,
                actual: hash,
            });
        }
        Ok(Self { header, hash })
    }

    /// Hash of the header.
    pub const fn hash(&self) -> B256 {
        self.hash
    }
    /// Height.
    pub const fn number(&self) -> u64 {
        self.header.number
    }
    /// Hash of the parent's header.
    pub const fn parent_hash(&self) -> B256 {
        self.header.parent_hash
    }
    /// Root of the state trie.
    pub const fn state_root(&self) -> B256 {
        self.header.state_root
    }
    /// Time of the block.
    pub const fn timestamp(&self) -> UnixTime {
        UnixTime(self.header.timestamp)
    }
    /// Every field.
    pub const fn fields(&self) -> &Header {
        &self.header
    }
    /// The block as other parts name it.
    pub fn block(&self) -> ProvenBlock {
        ProvenBlock {
            number: self.header.number,
            hash: BlockHash::new(self.hash.0),
            state_root: BlockHash::new(self.header.state_root.0),
            timestamp: self.timestamp(),
        }
    }
}
