//! What a disk is and what is to be done with it, from its first bytes alone: no I/O. The order of writes of a first boot
//! (formatting marker, header and file system, ready marker) makes every place a power cut can hit one of these cases.

use crate::DiskError;
use crate::layout::{LEAST, SECTOR};
use crate::marker::{Marker, MarkerKey, State};
use kms_types::{DiskGeneration, DiskMark};

/// The beginning of a disk.
pub struct Beginning<'a> {
    /// Both markers' sectors.
    pub markers: &'a [[u8; SECTOR]; 2],
    /// Whether there are only zeros where data of others would show: everything before our own data, and the disk's end.
    pub blank: bool,
    /// Bytes of the disk.
    pub size: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Format it: it is empty, or formatting was cut short before anything was stored.
    Format {
        /// Number of the next marker, and the slot it goes to.
        sequence: u64,
    },
    /// Open it with the header this marker names.
    Open(Marker),
}

/// What somebody outside of the disk knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nobody was asked, since nothing requires it.
    NotAsked,
    /// Nothing yet.
    Nothing,
    /// The highest generation that was reported.
    Generation(DiskGeneration),
}

impl Known {
    /// The marker a boot writes over this one; `fresh` is a mark drawn for it.
    #[must_use]
    pub fn next(&self, marker: &Marker, fresh: DiskMark) -> Marker {
        let reported = match self {
            Self::NotAsked => true,
            Self::Nothing => marker.generation == 0,
            Self::Generation(known) => marker.generation <= known.number,
        };
        // G4: counted on without a report, a copy that is only booted would come to the number of the disk that is in use.
        match reported || marker.mark == DiskMark::ZERO {
            true => marker.next(fresh),
            false => Marker {
                sequence: marker.sequence.saturating_add(1),
                ..*marker
            },
        }
    }
}

impl Plan {
    /// Holds the disk against the generation somebody outside of it knows.
    ///
    /// # Errors
    /// When the disk is older.
    pub fn follows(&self, known: Known) -> Result<(), DiskError> {
        let Known::Generation(expected) = known else {
            return Ok(());
        };
        let actual = match self {
            // G4: a disk that was emptied, or is said to be in its formatting still, was set back as far as it goes.
            Self::Format { .. } => DiskGeneration {
                number: 0,
                mark: DiskMark::ZERO,
            },
            Self::Open(marker) => marker.counted(),
        };
        match actual.follows(&expected) {
            true => Ok(()),
            false => Err(DiskError::SetBack { expected, actual }),
        }
    }
}

/// The newest marker of this instance among both.
pub(crate) fn newest(markers: &[[u8; SECTOR]; 2], key: &MarkerKey) -> Option<Marker> {
    markers
        .iter()
        .filter_map(|sector| key.open(sector))
        .max_by_key(|marker| marker.sequence)
}

/// Slot of the marker with this number: they take turns, so the older one stays whole while the newer is written.
#[must_use]
pub const fn slot(sequence: u64) -> usize {
    (sequence % 2) as usize
}

/// Decides.
///
/// # Errors
/// When the disk is too small, or neither empty nor this instance's.
pub fn plan(beginning: &Beginning<'_>, key: &MarkerKey) -> Result<Plan, DiskError> {
    if beginning.size < LEAST {
        return Err(DiskError::Small {
            expected: LEAST,
            actual: beginning.size,
        });
    }
    let newest = newest(beginning.markers, key);
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    match newest {
        Some(Marker {
            state: State::Formatting,
            sequence,
            ..
        }) => Ok(Plan::Format {
            sequence: sequence.saturating_add(1),
        }),
        // G4: a disk that was cut off has lost data; what is left is not taken for all of it.
        Some(marker) if beginning.size < marker.size => Err(DiskError::Shrunk {
            expected: marker.size,
            actual: beginning.size,
        }),
        Some(marker) => Ok(Plan::Open(marker)),
        // G4: a disk that is not zero may hold somebody's data; one that is zero has nothing to lose.
        None if beginning.markers.iter().all(|sector| zero(sector)) && beginning.blank => {
            Ok(Plan::Format { sequence: 1 })
        }
        None if beginning.markers.iter().all(|sector| zero(sector)) => Err(DiskError::NotOurs {
            actual: "data without a marker",
        }),
        None => Err(DiskError::NotOurs {
            actual: "a marker of another app, instance or key, or a damaged one",
        }),
    }
}
