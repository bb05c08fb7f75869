//! Opens a data disk: decides, formats if that is due, opens from the checked copy, counts the boot, mounts.

use crate::block::Block;
use crate::layout::{DATA, HEADER, HEADER_LEN, LEAST, MARKERS};
use crate::machine::{Beginning, Known, Plan, plan, slot};
use crate::marker::{Marker, MarkerKey, State};
use crate::{DiskError, header, programs};
use kms_types::DiskMark;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const NAME: &str = "kedge-data";
const WIPE: usize = 1 << 20;
/// A block group of an ext4 of 4 KiB blocks: 8 blocks a byte of a bitmap of one block.
const GROUP: u64 = 4096 * 8 * 4096;

/// A disk and where it is to be seen.
#[derive(Debug, Clone)]
pub struct DataDisk {
    /// The block device.
    pub device: PathBuf,
    /// Where its file system is mounted.
    pub target: PathBuf,
    /// A folder in memory for the copy of the header.
    pub memory: PathBuf,
}

/// What may be done with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Format an empty one, open another: what a boot does.
    Either,
    /// Open only.
    Open,
    /// Format only.
    Format,
}

/// How a disk is to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// What may be done with it.
    pub may: May,
    /// What its generation is held against.
    pub known: Known,
}

impl From<May> for Opening {
    fn from(may: May) -> Self {
        Self {
            may,
            known: Known::NotAsked,
        }
    }
}

/// An open disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// As its marker says it from now on.
    pub generation: u64,
    /// It was formatted now.
    pub new: bool,
    /// Bytes of the disk its file system was not grown to: it is mounted as it was.
    pub unused: u64,
}

impl DataDisk {
    /// Opens and mounts the disk of the instance `markers` and `key` are of.
    ///
    /// # Errors
    /// When it is not this instance's, is older than known, its header was changed, it is not what `may` says, or it cannot be used. Nothing on it was
    /// changed then, unless formatting had begun.
    pub fn open(
        &self,
        markers: &MarkerKey,
        key: &[u8; 64],
        opening: impl Into<Opening>,
    ) -> Result<Opened, DiskError> {
        let Opening { may, known } = opening.into();
        self.close()?;
        let disk = Block::open(&self.device)?;
        let size = disk.size()?;
        if size < LEAST {
            return Err(DiskError::Small {
                expected: LEAST,
                actual: size,
            });
        }
        let found = [disk.read(MARKERS[0])?, disk.read(MARKERS[1])?];
        let beginning = Beginning {
            markers: &found,
            // A disk with a marker is not read for it: all of this is before the first boot.
            blank: found.as_flattened().iter().all(|byte| *byte == 0) && blank(&disk, size)?,
            size,
        };
        let plan = plan(&beginning, markers)?;
        plan.follows(known)?;
        let (marker, header) = match plan {
            Plan::Format { .. } if may == May::Open => return Err(DiskError::Empty),
            Plan::Open(_) if may == May::Format => return Err(DiskError::Formatted),
            Plan::Format { sequence } => (self.format(&disk, markers, key, sequence, size)?, None),
            Plan::Open(marker) => {
                let header = disk.read_vec(HEADER, HEADER_LEN)?;
                self.open_mapping(&disk, &marker, &header, key)?;
                (marker, Some(header))
            }
        };
        let new = header.is_none();
        let next = known.next(&marker, DiskMark::new(rand::random()));
        write_marker(&disk, markers, &next)?;
        let grown = match header {
            Some(header) if size > next.size => self.grow(&disk, markers, &next, &header, key, size)?,
            _ => {
                self.mount()?;
                true
            }
        };
        Ok(Opened {
            unused: if grown { 0 } else { size.saturating_sub(next.size) },
            generation: next.generation,
            new,
        })
    }

    /// Takes away what a run of setup that was cut short left open.
    pub(crate) fn close(&self) -> Result<(), DiskError> {
        if !mapping().exists() {
            return Ok(());
        }
        match unmount(&self.target, UnmountFlags::empty()) {
            // It was open and not yet mounted.
            Ok(()) | Err(Errno::INVAL) => programs::close(NAME),
            Err(error) => Err(DiskError::io(&self.target)(error.into())),
        }
    }

    fn format(
        &self,
        disk: &Block,
        markers: &MarkerKey,
        key: &[u8; 64],
        sequence: u64,
        size: u64,
    ) -> Result<Marker, DiskError> {
        let begun = Marker {
            sequence,
            state: State::Formatting,
            generation: 0,
            size,
            header: [0; 32],
            mark: DiskMark::ZERO,
        };
        write_marker(disk, markers, &begun)?;
        let copy = self.copy(&vec![0; HEADER_LEN])?;
        programs::format(disk.path(), copy.path(), key)?;
        let bytes = fs::read(copy.path()).map_err(DiskError::io(copy.path()))?;
        // This guest's own program wrote it, in memory: no host had a part in it.
        header::check(&bytes).map_err(|error| DiskError::Program {
            program: "cryptsetup",
            message: format!("it made another header than the template's: {error}"),
        })?;
        programs::open(disk.path(), copy.path(), key, NAME)?;
        let opened = Block::open(&mapping())?;
        for at in read_by_mkfs(opened.size()?) {
            opened.write(at, &vec![0; WIPE])?;
        }
        drop(opened);
        programs::make_file_system(&mapping())?;
        disk.write(HEADER, &bytes)?;
        // Only now is there something to lose: until this sector is written the disk counts as empty.
        let ready = Marker {
            sequence: sequence.saturating_add(1),
            state: State::Ready,
            header: Sha256::digest(&bytes).into(),
            ..begun
        };
        write_marker(disk, markers, &ready)?;
        Ok(ready)
    }

    pub(crate) fn open_mapping(
        &self,
        disk: &Block,
        marker: &Marker,
        bytes: &[u8],
        key: &[u8; 64],
    ) -> Result<(), DiskError> {
        // G4: the header is the host's to change; what is opened is the copy that was checked, never read again.
        let actual: [u8; 32] = Sha256::digest(bytes).into();
        if actual != marker.header {
            // The field that differs tells more than a hash; a change the template allows is told by the hash.
            header::check(bytes)?;
            return Err(DiskError::NotOurs {
                actual: "another header than the marker names",
            });
        }
        header::check(bytes)?;
        let copy = self.copy(bytes)?;
        programs::open(disk.path(), copy.path(), key, NAME)
    }

    /// The header in memory, readable by this user alone.
    fn copy(&self, bytes: &[u8]) -> Result<NamedTempFile, DiskError> {
        let mut file = NamedTempFile::new_in(&self.memory).map_err(DiskError::io(&self.memory))?;
        file.write_all(bytes)
            .and_then(|()| file.flush())
            .map_err(DiskError::io(&self.memory))?;
        Ok(file)
    }

    pub(crate) fn mount(&self) -> Result<(), DiskError> {
        let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
        mount(mapping(), &self.target, "ext4", flags, Some(c"errors=remount-ro"))
            .map_err(|error| DiskError::io(&self.target)(error.into()))
    }
}

pub(crate) fn mapping() -> PathBuf {
    Path::new("/dev/mapper").join(NAME)
}

/// Whether there are only zeros before the data and in the last piece: every common file system, volume and partition table has its
/// signs in one of the two.
fn blank(disk: &Block, size: u64) -> Result<bool, DiskError> {
    let wipe = WIPE as u64;
    let end = size.saturating_sub(wipe);
    for at in (0..DATA).step_by(WIPE).chain([end]) {
        if disk.read_vec(at, WIPE)?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Places mke2fs reads before it wrote them: beginning and end, where other file systems have their signs, and the superblock's
/// backups, of which it writes less than a block. Tags of sectors that were never written do not hold, so they are written first;
/// everything else it writes in whole blocks.
fn read_by_mkfs(size: u64) -> impl Iterator<Item = u64> {
    let wipe = WIPE as u64;
    // Groups with a backup ("sparse_super"): the second, and powers of three, five and seven.
    let powers = [3_u64, 5, 7].into_iter().flat_map(move |base| {
        std::iter::successors(Some(base), move |power| power.checked_mul(base))
            .take_while(move |group| *group <= size / GROUP)
    });
    [0, 1]
        .into_iter()
        .chain(powers)
        .filter_map(|group| group.checked_mul(GROUP))
        .chain([size.saturating_sub(wipe) / wipe * wipe])
        .filter(move |at| at.saturating_add(wipe) <= size)
}

pub(crate) fn write_marker(disk: &Block, key: &MarkerKey, marker: &Marker) -> Result<(), DiskError> {
    let [even, odd] = MARKERS;
    let at = if slot(marker.sequence) == 0 { even } else { odd };
    disk.write(at, &key.seal(marker))
}
