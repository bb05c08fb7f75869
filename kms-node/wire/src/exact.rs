//! Parsing of fields whose length is exact, and of lists and texts with a bound. A [`Blob`] alone knows only its upper bound.
//!
//! Refuses a field that is shorter or longer than it must be, a list with too many entries and a text that is too long.

use crate::limits::{MAX_EVENT_LOG, MAX_EVENT_NAME, MAX_EVENTS, MAX_PATH, MAX_VM_CONFIG};
use kms_types::{Blob, EventLogEntry};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// Exactly `N` bytes.
pub(crate) fn blob<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<Blob<N>, D::Error> {
    let blob = Blob::<N>::deserialize(deserializer)?;
    if blob.as_bytes().len() != N {
        return Err(D::Error::custom(format_args!(
            "expected {N} bytes, got {}",
            blob.as_bytes().len()
        )));
    }
    Ok(blob)
}

/// Hashes of a proof: at most [`MAX_PATH`], 32 bytes each.
pub(crate) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Blob<32>>, D::Error> {
    let path: Vec<Blob<32>> = list(deserializer, MAX_PATH, |_| 0, 0)?;
    match path
        .iter()
        .map(|hash| hash.as_bytes().len())
        .find(|len| *len != 32)
    {
        Some(actual) => Err(D::Error::custom(format_args!(
            "hash of a path: expected 32 bytes, got {actual}"
        ))),
        None => Ok(path),
    }
}

/// An event log: at most [`MAX_EVENTS`] entries and [`MAX_EVENT_LOG`] bytes, names of at most [`MAX_EVENT_NAME`] bytes.
pub(crate) fn event_log<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EventLogEntry>, D::Error> {
    let weight =
        |e: &EventLogEntry| e.event.len() + e.event_payload.as_bytes().len() + e.digest.as_bytes().len();
    let log = list(deserializer, MAX_EVENTS, weight, MAX_EVENT_LOG)?;
    match log
        .iter()
        .map(|entry: &EventLogEntry| entry.event.len())
        .find(|len| *len > MAX_EVENT_NAME)
    {
        Some(actual) => Err(D::Error::custom(format_args!(
            "event name: expected at most {MAX_EVENT_NAME} bytes, got {actual}"
        ))),
        None => Ok(log),
    }
}

/// A text of at most [`MAX_VM_CONFIG`] bytes.
pub(crate) fn vm_config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > MAX_VM_CONFIG {
        return Err(D::Error::custom(format_args!(
            "vm_config: expected at most {MAX_VM_CONFIG} bytes, got {}",
            text.len()
        )));
    }
    Ok(text)
}

/// A list that ends the parsing as soon as it is above a bound.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    max_entries: usize,
    weight: fn(&T) -> usize,
    max_weight: usize,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Bounded {
        max_entries,
        weight,
        max_weight,
        entry: PhantomData,
    })
}

struct Bounded<T> {
    max_entries: usize,
    weight: fn(&T) -> usize,
    max_weight: usize,
    entry: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} entries", self.max_entries)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        // Q8: grows with what has come, never with what a size claims.
        let (mut out, mut total) = (Vec::new(), 0_usize);
        while let Some(entry) = entries.next_element::<T>()? {
            total = total.saturating_add((self.weight)(&entry));
            if out.len() >= self.max_entries {
                return Err(A::Error::custom(format_args!(
                    "expected at most {} entries, got more",
                    self.max_entries
                )));
            }
            if total > self.max_weight {
                return Err(A::Error::custom(format_args!(
                    "expected at most {} bytes in all, got more",
                    self.max_weight
                )));
            }
            out.push(entry);
        }
        Ok(out)
    }
}
