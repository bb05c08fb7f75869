//! Counts the generation of an open disk on, while an app uses it. Refuses a disk whose marker is older than the one that was
//! written last, or no marker of this instance.

use crate::DiskError;
use crate::block::Block;
use crate::layout::MARKERS;
use crate::machine::newest;
use crate::marker::{Marker, MarkerKey, State};
use crate::open::write_marker;
use std::path::Path;

/// The marker of an open disk.
pub struct Counter {
    disk: Block,
    key: MarkerKey,
    last: u64,
}

impl Counter {
    /// Takes up the disk that was opened with generation `opened`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(device: &Path, key: MarkerKey, opened: u64) -> Result<Self, DiskError> {
        Ok(Self {
            disk: Block::open(device)?,
            key,
            last: opened,
        })
    }

    /// Writes a marker with the next generation; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the marker there is not this instance's, or older than the last one, or cannot be written.
    pub fn count(&mut self) -> Result<u64, DiskError> {
        let found = [self.disk.read(MARKERS[0])?, self.disk.read(MARKERS[1])?];
        let marker = newest(&found, &self.key)
            .filter(|marker| marker.state == State::Ready)
            .ok_or(DiskError::NotOurs {
                actual: "no marker of the disk that was opened",
            })?;
        // G4: to count on from an older marker would give two states of the disk one number.
        if marker.generation < self.last {
            return Err(DiskError::SetBack {
                expected: self.last,
                actual: marker.generation,
            });
        }
        let next = Marker {
            sequence: marker.sequence.saturating_add(1),
            generation: marker.generation.saturating_add(1),
            ..marker
        };
        write_marker(&self.disk, &self.key, &next)?;
        self.last = next.generation;
        Ok(next.generation)
    }
}
