//! Gives the file system the room a host added to the disk. Only what lies behind the file system is written without having been
//! read; nothing is formatted. The marker gets the new size last: until then the next boot does all of this again, and each step
//! that was done before changes nothing.

use crate::block::Block;
use crate::marker::{Marker, MarkerKey};
use crate::open::{mapping, write_marker};
use crate::{DataDisk, DiskError, programs};
use rustix::fs::syncfs;
use std::fs::File;

/// Of ext4 as this guest makes it.
const BLOCK: u64 = 4096;
/// Where its superblock begins, and in it the two halves of the number of blocks.
const SUPERBLOCK: usize = 1024;
const BLOCKS: [usize; 2] = [0x4, 0x150];

impl DataDisk {
    /// Mounts the disk of `marker`, which has `size` bytes now; its mapping is open. Gives whether the file system grew.
    pub(crate) fn grow(
        &self,
        disk: &Block,
        markers: &MarkerKey,
        marker: &Marker,
        header: &[u8],
        key: &[u8; 64],
        size: u64,
    ) -> Result<bool, DiskError> {
        // With the first mapping the kernel writes the new size to dm-integrity's superblock; a second mapping has it. In between,
        // what a power cut left in the journal of the file system is written to its place.
        self.mount()?;
        self.close()?;
        self.open_mapping(disk, marker, header, key)?;
        give_last_block_a_tag()?;
        self.mount()?;
        if programs::grow_file_system(&mapping()).is_err() {
            // A file system with errors, or one that has reached ext4's limits. An error while it grew has made it read-only.
            self.close()?;
            self.open_mapping(disk, marker, header, key)?;
            self.mount()?;
            return Ok(false);
        }
        File::open(&self.target)
            .and_then(|root| Ok(syncfs(root)?))
            .map_err(DiskError::io(&self.target))?;
        let grown = Marker {
            sequence: marker.sequence.saturating_add(1),
            size,
            ..*marker
        };
        write_marker(disk, markers, &grown)?;
        Ok(true)
    }
}

/// The kernel reads the last block to see that it is there, and a block that was never written has no tag that holds.
fn give_last_block_a_tag() -> Result<(), DiskError> {
    let mapping = Block::open(&mapping())?;
    let blocks = blocks(&mapping.read(0)?);
    match (mapping.size()? / BLOCK).checked_sub(1) {
        // G4: the superblock is authenticated, what the host says of sizes is not; a block of the file system is never written over.
        Some(last) if last >= blocks => mapping.write(last * BLOCK, &[0; BLOCK as usize]),
        _ => Ok(()),
    }
}

/// How many blocks a file system has.
fn blocks(first: &[u8; BLOCK as usize]) -> u64 {
    let [low, high] = BLOCKS.map(|at| {
        first
            .get(SUPERBLOCK + at..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    });
    u64::from(high) << 32 | u64::from(low)
}
