//! The marker: one sector that says what the rest of the disk is, authenticated for one app, instance and disk key. Refuses
//! whatever is not byte for byte what this guest can write.

use crate::layout::SECTOR;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use kms_types::{AppId, DiskGeneration, DiskMark, InstanceId};
use sha2::Sha256;
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"kedge-disk/v1\0\0\0";
const BODY: usize = SECTOR - 32;

/// How far the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is being formatted: nothing was ever stored on it.
    Formatting,
    /// It holds data.
    Ready,
}

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Later markers have higher numbers.
    pub sequence: u64,
    /// How far the disk is.
    pub state: State,
    /// How often it was counted: at each boot that opened it, and at each lease of an app that has set-backs detected.
    pub generation: u64,
    /// Bytes of the disk when it was formatted.
    pub size: u64,
    /// SHA-256 of the header's bytes; zeros while formatting.
    pub header: [u8; 32],
    /// Drawn with the generation; zeros while formatting.
    pub mark: DiskMark,
}

impl Marker {
    /// Number and mark.
    #[must_use]
    pub const fn counted(&self) -> DiskGeneration {
        DiskGeneration {
            number: self.generation,
            mark: self.mark,
        }
    }

    /// The marker after this one, counted on.
    pub(crate) fn next(&self, mark: DiskMark) -> Self {
        Self {
            sequence: self.sequence.saturating_add(1),
            generation: self.generation.saturating_add(1),
            mark,
            ..*self
        }
    }
}

/// Who can make and check markers: one app's instance with its disk key.
pub struct MarkerKey(Zeroizing<[u8; 32]>);

impl MarkerKey {
    /// Key of an instance's markers: HKDF-SHA256 over the disk key (RFC 5869), salt `kedge/disk/v1`.
    #[must_use]
    pub fn new(disk: &[u8; 64], app_id: &AppId, instance_id: &InstanceId) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let info = [b"marker".as_slice(), app_id.as_ref(), instance_id.as_ref()].concat();
        // 32 bytes are within what HKDF-SHA256 gives.
        let _ = Hkdf::<Sha256>::new(Some(b"kedge/disk/v1"), disk).expand(&info, key.as_mut_slice());
        Self(key)
    }

    /// The key itself, for the agent that goes on counting. Who has it can make markers and read no data.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key that was handed over.
    #[must_use]
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    /// The sector of a marker.
    #[must_use]
    pub fn seal(&self, marker: &Marker) -> [u8; SECTOR] {
        let mut body = Vec::with_capacity(SECTOR);
        body.extend_from_slice(MAGIC);
        body.extend_from_slice(&marker.sequence.to_be_bytes());
        body.push(match marker.state {
            State::Formatting => 1,
            State::Ready => 2,
        });
        body.extend_from_slice(&marker.generation.to_be_bytes());
        body.extend_from_slice(&marker.size.to_be_bytes());
        body.extend_from_slice(&marker.header);
        body.extend_from_slice(marker.mark.as_ref());
        body.resize(BODY, 0);
        let tag = self.mac(&body).finalize().into_bytes();
        body.extend_from_slice(&tag);
        let mut sector = [0; SECTOR];
        for (to, from) in sector.iter_mut().zip(body) {
            *to = from;
        }
        sector
    }

    /// What a sector says; nothing when it is not a marker of this instance.
    #[must_use]
    pub fn open(&self, sector: &[u8; SECTOR]) -> Option<Marker> {
        let (body, tag) = sector.split_at(BODY);
        self.mac(body).verify_slice(tag).ok()?;
        let mut rest = body.strip_prefix(MAGIC)?;
        let sequence = u64::from_be_bytes(take(&mut rest)?);
        let state = match take::<1>(&mut rest)? {
            [1] => State::Formatting,
            [2] => State::Ready,
            _ => return None,
        };
        Some(Marker {
            sequence,
            state,
            generation: u64::from_be_bytes(take(&mut rest)?),
            size: u64::from_be_bytes(take(&mut rest)?),
            header: take(&mut rest)?,
            mark: DiskMark::new(take(&mut rest)?),
        })
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of every length.
        Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
            .chain_update(body)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}
