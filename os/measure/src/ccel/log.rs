//! The log: a header event, then events with one digest an algorithm, then filling. Everything is bounded before it is kept.

use super::CcelError;
use crate::{
    bytes::{array, u16_at, u32_at},
    registers::{EventDigest, sha384},
};
use kms_types::Rtmr;

/// Bytes of a log with its filling: sixteen times what edk2 reserves.
pub const MAX_CCEL: usize = 1 << 20;
/// Events of a log.
pub const MAX_CCEL_EVENTS: usize = 4096;
/// Algorithms of a log.
const MAX_ALGORITHMS: usize = 8;
/// TPM_ALG_SHA384.
const SHA384: u16 = 0x000c;
/// EV_NO_ACTION: in the log, in no register.
pub(super) const NO_ACTION: u32 = 3;
/// What the header event begins with.
const SIGNATURE: [u8; 16] = *b"Spec ID Event03\0";

/// The register of an event; numbers as UEFI gives them for TDX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CcRegister {
    /// 0; what the host loaded, no events of the firmware.
    Mrtd,
    /// 1.
    Rtmr0,
    /// 2.
    Rtmr1,
    /// 3.
    Rtmr2,
    /// 4.
    Rtmr3,
}

impl CcRegister {
    fn of(number: u32) -> Option<Self> {
        [Self::Mrtd, Self::Rtmr0, Self::Rtmr1, Self::Rtmr2, Self::Rtmr3]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mrtd => "mrtd",
            Self::Rtmr0 => "rtmr0",
            Self::Rtmr1 => "rtmr1",
            Self::Rtmr2 => "rtmr2",
            Self::Rtmr3 => "rtmr3",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CcEvent {
    /// Which register it went to.
    pub register: CcRegister,
    /// What kind of thing was measured.
    pub event_type: u32,
    /// What the register was extended with.
    pub digest: EventDigest,
    /// What the writer says about it. Nothing holds this to the digest but [`CcEvent::digest_is_of_data`].
    pub data: Vec<u8>,
}

impl CcEvent {
    /// Whether the register was extended with it.
    pub const fn is_measured(&self) -> bool {
        self.event_type != NO_ACTION
    }

    /// Whether the digest is that of the data, so that the data is as good as the register. False for events whose data only
    /// describes what was measured, such as a program or the handoff blocks.
    pub fn digest_is_of_data(&self) -> bool {
        self.digest == sha384(&self.data)
    }
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CcLog {
    /// In the order of their measuring.
    pub events: Vec<CcEvent>,
}

impl CcLog {
    /// Reads a log, and the filling behind it.
    ///
    /// # Errors
    /// When the bytes are no crypto-agile log with SHA-384, or above a bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, CcelError> {
        if bytes.len() > MAX_CCEL {
            return Err(CcelError::TooMany {
                what: "bytes",
                max: MAX_CCEL,
                actual: bytes.len(),
            });
        }
        let mut reader = Reader { bytes, at: 0 };
        let algorithms = reader.header()?;
        let mut events = Vec::new();
        while !reader.at_filling() {
            if events.len() == MAX_CCEL_EVENTS {
                return Err(CcelError::TooMany {
                    what: "events",
                    max: MAX_CCEL_EVENTS,
                    actual: MAX_CCEL_EVENTS + 1,
                });
            }
            events.push(reader.event(&algorithms)?);
        }
        Ok(Self { events })
    }

    /// What RTMR0 to RTMR3 hold after the events of the log, from zero, with the number of events of each.
    pub fn replay(&self) -> [(Rtmr, usize); 4] {
        [
            CcRegister::Rtmr0,
            CcRegister::Rtmr1,
            CcRegister::Rtmr2,
            CcRegister::Rtmr3,
        ]
        .map(|register| {
            self.events
                .iter()
                .filter(|event| event.register == register && event.is_measured())
                .fold((Rtmr::ZERO, 0), |(value, count), event| {
                    (value.extended(&event.digest), count + 1)
                })
        })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &'static str, length: usize) -> Result<&'a [u8], CcelError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(CcelError::Cut {
            what,
            at: self.at,
            expected: length,
            actual: rest.len(),
        })?;
        self.at += length;
        Ok(taken)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, CcelError> {
        Ok(u32_at(self.take(what, 4)?, 0).unwrap_or_default())
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, CcelError> {
        Ok(u16_at(self.take(what, 2)?, 0).unwrap_or_default())
    }

    fn length(&mut self, what: &'static str) -> Result<usize, CcelError> {
        Ok(usize::try_from(self.u32(what)?).unwrap_or(usize::MAX))
    }

    fn register(&mut self) -> Result<CcRegister, CcelError> {
        let at = self.at;
        let number = self.u32("register")?;
        CcRegister::of(number).ok_or_else(|| CcelError::field("register", at, "0 to 4", number))
    }

    /// The header: an event of the older form, whose data lists the algorithms and the sizes of their digests.
    fn header(&mut self) -> Result<Vec<(u16, usize)>, CcelError> {
        self.register()?;
        let at = self.at;
        let kind = self.u32("type of the header")?;
        if kind != NO_ACTION {
            return Err(CcelError::field("type of the header", at, NO_ACTION, kind));
        }
        self.take("digest of the header", 20)?;
        let length = self.length("length of the header")?;
        let at = self.at;
        let mut header = Reader {
            bytes: self.take("header", length)?,
            at: 0,
        };
        if header.take("signature", SIGNATURE.len())? != SIGNATURE {
            return Err(CcelError::field(
                "signature",
                at,
                "Spec ID Event03",
                "other bytes",
            ));
        }
        // Platform class, version of the specification, size of UINTN: nothing below depends on them.
        header.take("versions", 8)?;
        let count = header.length("number of algorithms")?;
        if count > MAX_ALGORITHMS {
            return Err(CcelError::TooMany {
                what: "algorithms",
                max: MAX_ALGORITHMS,
                actual: count,
            });
        }
        let mut algorithms = Vec::with_capacity(count);
        for _ in 0..count {
            algorithms.push((
                header.u16("algorithm")?,
                usize::from(header.u16("size of its digest")?),
            ));
        }
        if !algorithms.contains(&(SHA384, 48)) {
            return Err(CcelError::field(
                "algorithms",
                at,
                "SHA-384 of 48 bytes",
                format!("{algorithms:?}"),
            ));
        }
        Ok(algorithms)
    }

    fn event(&mut self, algorithms: &[(u16, usize)]) -> Result<CcEvent, CcelError> {
        let register = self.register()?;
        let event_type = self.u32("type")?;
        let at = self.at;
        let count = self.length("number of digests")?;
        if count > MAX_ALGORITHMS {
            return Err(CcelError::field(
                "number of digests",
                at,
                format!("at most {MAX_ALGORITHMS}"),
                count,
            ));
        }
        let mut digest = None;
        for _ in 0..count {
            let start = self.at;
            let algorithm = self.u16("algorithm of a digest")?;
            let Some((_, size)) = algorithms.iter().find(|(known, _)| *known == algorithm) else {
                return Err(CcelError::field(
                    "algorithm of a digest",
                    start,
                    "one the header names",
                    format!("{algorithm:#06x}"),
                ));
            };
            let value = self.take("digest", *size)?;
            if algorithm == SHA384 && digest.replace(array(value, 0).unwrap_or([0; 48])).is_some() {
                return Err(CcelError::field("digests", at, "one of SHA-384", "two"));
            }
        }
        let digest = digest.ok_or_else(|| CcelError::field("digests", at, "one of SHA-384", "none"))?;
        let length = self.length("length of the data")?;
        Ok(CcEvent {
            register,
            event_type,
            digest,
            data: self.take("data", length)?.to_vec(),
        })
    }

    /// True at the end, or where nothing but filling follows: zeros, or the 0xff with which edk2 fills the area.
    fn at_filling(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.first() {
            None => true,
            Some(first @ (0 | 0xff)) => rest.iter().all(|byte| byte == first),
            Some(_) => false,
        }
    }
}
