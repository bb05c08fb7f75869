//! A cursor over bytes from outside. It never allocates and refuses to read past the end.

use crate::{AttestationError, Mismatch, error::ensure};

pub(crate) struct Reader<'a> {
    what: &'static str,
    all: &'a [u8],
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            all: bytes,
            left: bytes,
        }
    }

    fn short(&self, wanted: usize) -> AttestationError {
        // Q8: a length field decides nothing until the bytes behind it are there.
        AttestationError::Bounds(Mismatch::new(
            self.what,
            format_args!("{wanted} more bytes"),
            self.left.len(),
        ))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], AttestationError> {
        let (head, tail) = self.left.split_at_checked(len).ok_or_else(|| self.short(len))?;
        self.left = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], AttestationError> {
        let (head, tail) = self.left.split_first_chunk().ok_or_else(|| self.short(N))?;
        self.left = tail;
        Ok(head)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, AttestationError> {
        self.array().map(|b| u16::from_le_bytes(*b))
    }

    /// A little-endian u32 as a length.
    pub(crate) fn u32(&mut self) -> Result<usize, AttestationError> {
        let value = u32::from_le_bytes(*self.array()?);
        usize::try_from(value).map_err(|_| self.short(usize::MAX))
    }

    /// What was read so far.
    pub(crate) fn consumed(&self) -> &'a [u8] {
        self.all
            .split_at_checked(self.all.len().saturating_sub(self.left.len()))
            .map_or(&[], |(head, _)| head)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.left
    }

    pub(crate) fn end(&self) -> Result<(), AttestationError> {
        ensure(
            self.left.is_empty(),
            AttestationError::Bounds,
            self.what,
            "nothing after its last field",
            format_args!("{} bytes", self.left.len()),
        )
    }
}
