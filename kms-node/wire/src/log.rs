//! The release log (RFC 6962 hashing) as clients see it.

use kms_types::Blob;
use kms_types::{
    AppId, BlockRef, ComposeHash, DeviceId, DiskGeneration, DiskMark, InstanceId, KeyEpoch, OsImageHash,
    UnixTime,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseKind {
    /// An app's keys.
    AppKeys,
    /// A lease.
    Lease,
    /// A certificate.
    Certificate,
    /// The roots, to another node.
    KmsKeys,
}

impl ReleaseKind {
    /// Byte in the leaf encoding.
    pub const fn code(self) -> u8 {
        match self {
            Self::AppKeys => 1,
            Self::Lease => 2,
            Self::Certificate => 3,
            Self::KmsKeys => 4,
        }
    }

    /// The kind with that byte.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::AppKeys),
            2 => Some(Self::Lease),
            3 => Some(Self::Certificate),
            4 => Some(Self::KmsKeys),
            _ => None,
        }
    }
}

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// What was released.
    pub kind: ReleaseKind,
    /// To which app.
    #[schema(value_type = String)]
    pub app_id: AppId,
    /// Which instance.
    #[schema(value_type = String)]
    pub instance_id: InstanceId,
    /// Running which compose document.
    #[schema(value_type = String)]
    pub compose_hash: ComposeHash,
    /// In which OS.
    #[schema(value_type = String)]
    pub os_image_hash: OsImageHash,
    /// On which platform.
    #[schema(value_type = String)]
    pub device_id: DeviceId,
    /// From which root.
    #[schema(value_type = u32)]
    pub key_epoch: KeyEpoch,
    /// Decided at which head.
    #[schema(value_type = Object)]
    pub block: BlockRef,
    /// When, by the node's clock.
    #[schema(value_type = u64)]
    pub time: UnixTime,
    /// Generation of the instance's disk: in a lease the one it reported, in a release of keys the highest the KMS knows. Absent
    /// when none was ever reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub disk_generation: Option<DiskGeneration>,
}

impl LogEntry {
    /// Size of the leaf encoding without a disk generation, which takes 24 bytes more.
    pub const LEAF_LEN: usize = 1 + 20 + 20 + 32 + 32 + 32 + 4 + 8 + 32 + 8;

    /// Leaf bytes (hashed with the 0x00 prefix of RFC 6962): kind ‖ app ‖ instance ‖ compose ‖ OS image ‖ device ‖ u32 epoch ‖ u64 block number ‖ block hash ‖ u64 time
    /// [‖ u64 disk generation ‖ mark]. The length says whether there is one.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEAF_LEN + DiskGeneration::LEN);
        out.push(self.kind.code());
        out.extend_from_slice(self.app_id.as_ref());
        out.extend_from_slice(self.instance_id.as_ref());
        out.extend_from_slice(self.compose_hash.as_ref());
        out.extend_from_slice(self.os_image_hash.as_ref());
        out.extend_from_slice(self.device_id.as_ref());
        out.extend_from_slice(&self.key_epoch.0.to_be_bytes());
        out.extend_from_slice(&self.block.number.to_be_bytes());
        out.extend_from_slice(self.block.hash.as_ref());
        out.extend_from_slice(&self.time.0.to_be_bytes());
        if let Some(generation) = self.disk_generation {
            out.extend_from_slice(&generation.to_bytes());
        }
        out
    }
}

/// Takes a leaf apart, front to back.
struct LeafReader<'a>(&'a [u8]);

impl LeafReader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

impl LogEntry {
    /// Reads a leaf back; `None` unless every byte of it has its meaning.
    pub fn from_leaf_bytes(leaf: &[u8]) -> Option<Self> {
        let mut from = LeafReader(leaf);
        let [kind] = from.take()?;
        let mut entry = Self {
            kind: ReleaseKind::from_code(kind)?,
            app_id: AppId::new(from.take()?),
            instance_id: InstanceId::new(from.take()?),
            compose_hash: ComposeHash::new(from.take()?),
            os_image_hash: OsImageHash::new(from.take()?),
            device_id: DeviceId::new(from.take()?),
            key_epoch: KeyEpoch(u32::from_be_bytes(from.take()?)),
            block: BlockRef {
                number: u64::from_be_bytes(from.take()?),
                hash: kms_types::BlockHash::new(from.take()?),
            },
            time: UnixTime(u64::from_be_bytes(from.take()?)),
            disk_generation: None,
        };
        if !from.0.is_empty() {
            entry.disk_generation = Some(DiskGeneration {
                number: u64::from_be_bytes(from.take()?),
                mark: DiskMark::new(from.take()?),
            });
        }
        from.0.is_empty().then_some(entry)
    }
}

/// An entry with its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedEntry {
    /// Index of its leaf.
    pub index: u64,
    /// The leaf.
    pub entry: LogEntry,
}

/// A page of the log (`GET /v1/log/entries`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogEntries {
    /// Entries in the order of the log.
    pub entries: Vec<IndexedEntry>,
    /// Where the next page starts; absent when there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A signed tree head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedTreeHead {
    /// Leaves.
    pub size: u64,
    /// Merkle tree hash.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub root: Blob<32>,
    /// When it was signed.
    #[schema(value_type = u64)]
    pub time: UnixTime,
    /// Ed25519 over "kedge/log-head/v1" ‖ 0x00 ‖ u64 size ‖ root ‖ u64 time.
    #[schema(value_type = String)]
    #[serde(deserialize_with = "crate::exact::blob")]
    pub signature: Blob<64>,
}

impl SignedTreeHead {
    /// What is signed.
    pub fn signed_bytes(size: u64, root: &[u8; 32], time: UnixTime) -> Vec<u8> {
        [
            b"kedge/log-head/v1\0".as_slice(),
            &size.to_be_bytes(),
            root,
            &time.0.to_be_bytes(),
        ]
        .concat()
    }
}

/// Where one release stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogPosition {
    /// Index of its leaf.
    pub index: u64,
    /// The leaf, to check inclusion by.
    pub entry: LogEntry,
    /// A head that covers it.
    pub tree_head: SignedTreeHead,
}

impl LogPosition {
    /// u64 index ‖ leaf ‖ u64 size ‖ root ‖ u64 time ‖ signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        [
            self.index.to_be_bytes().as_slice(),
            &self.entry.leaf_bytes(),
            &self.tree_head.size.to_be_bytes(),
            self.tree_head.root.as_bytes(),
            &self.tree_head.time.0.to_be_bytes(),
            self.tree_head.signature.as_bytes(),
        ]
        .concat()
    }
}

/// RFC 6962 §2.1.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Index of the leaf.
    pub index: u64,
    /// Size of the tree.
    pub tree_size: u64,
    /// Hashes from leaf to root.
    #[schema(value_type = Vec<String>)]
    #[serde(deserialize_with = "crate::exact::path")]
    pub path: Vec<Blob<32>>,
}

/// RFC 6962 §2.1.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// Older size.
    pub first: u64,
    /// Newer size.
    pub second: u64,
    /// Hashes.
    #[schema(value_type = Vec<String>)]
    #[serde(deserialize_with = "crate::exact::path")]
    pub path: Vec<Blob<32>>,
}
