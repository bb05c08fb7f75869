//! Where things lie on the disk, bytes. Part of the format: a change needs a new marker version.

/// Sectors are written whole or not at all.
pub const SECTOR: usize = 512;
/// First marker, then the second.
pub const MARKERS: [u64; 2] = [0, 4096];
/// The LUKS2 header, kept away from the data so that it is read once and opened from memory.
pub const HEADER: u64 = 1 << 20;
/// One copy of its metadata: binary part and JSON.
pub const METADATA: usize = 16 << 10;
/// Its key slots.
pub const KEYSLOTS: usize = 512 << 10;
/// All of it.
pub const HEADER_LEN: usize = 2 * METADATA + KEYSLOTS;
/// The encrypted data.
pub const DATA: u64 = 32 << 20;
/// Below this there is no room for a file system and its tags.
pub const LEAST: u64 = 128 << 20;
