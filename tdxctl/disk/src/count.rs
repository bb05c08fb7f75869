//! Counts the generation of an open disk on, while an app uses it. Refuses a disk whose marker is older than the one that was
//! written last, or no marker of this instance.

use crate::DiskError;
use crate::block::Block;
use crate::layout::MARKERS;
use crate::machine::newest;
use crate::marker::{MarkerKey, State};
use crate::open::write_marker;
use kms_types::{DiskGeneration, DiskMark};
use std::path::Path;

/// The marker of an open disk.
pub struct Counter {
    disk: Block,
    key: MarkerKey,
    last: u64,
    given: bool,
}

impl Counter {
    /// Takes up the disk that was opened with generation `opened`. What its marker says is reported first: whether it was before is
    /// not known here.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(device: &Path, key: MarkerKey, opened: u64) -> Result<Self, DiskError> {
        Ok(Self {
            disk: Block::open(device)?,
            key,
            last: opened,
            given: false,
        })
    }

    /// The generation to report, on the disk when this returns: a new one after a lease was given for the last, else the same again.
    ///
    /// # Errors
    /// When the marker there is not this instance's, or older than the last one, or cannot be written.
    pub fn report(&mut self) -> Result<DiskGeneration, DiskError> {
        let found = [self.disk.read(MARKERS[0])?, self.disk.read(MARKERS[1])?];
        let mut marker = newest(&found, &self.key)
            .filter(|marker| marker.state == State::Ready)
            .ok_or(DiskError::NotOurs {
                actual: "no marker of the disk that was opened",
            })?;
        // G4: to count on from an older marker would give two states of the disk one number.
        if marker.generation < self.last {
            return Err(DiskError::SetBack {
                expected: DiskGeneration {
                    number: self.last,
                    mark: DiskMark::ZERO,
                },
                actual: marker.counted(),
            });
        }
        // G4: an older copy that asks again and again, and is denied, must not come to the number of the disk that is in use.
        if self.given {
            marker = marker.next(DiskMark::new(rand::random()));
            write_marker(&self.disk, &self.key, &marker)?;
            self.given = false;
        }
        self.last = marker.generation;
        Ok(marker.counted())
    }

    /// A lease was given for what was reported last.
    pub const fn given(&mut self) {
        self.given = true;
    }
}
