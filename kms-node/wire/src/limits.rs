//! Bounds on everything that comes from outside. A message above one of them is refused before it is parsed further.

/// Bytes of a quote.
pub const MAX_QUOTE: usize = 16 * 1024;
/// Bytes of an event log, counted over names, payloads and digests.
pub const MAX_EVENT_LOG: usize = 1024 * 1024;
/// Entries of an event log.
pub const MAX_EVENTS: usize = 1024;
/// Bytes of an event name.
pub const MAX_EVENT_NAME: usize = 128;
/// Bytes of an image proof: two u64 and at most 32 hashes.
pub const MAX_IMAGE_PROOF: usize = 16 + 32 * 32;
/// Bytes of the VM configuration text.
pub const MAX_VM_CONFIG: usize = 64 * 1024;
/// Bytes of a certificate signing request: 8 KiB and an attestation.
pub const MAX_CSR: usize = 40 * 1024;
/// Bytes of a request body: hex doubles the largest legal parts, JSON adds a little.
pub const MAX_BODY: usize =
    2 * (MAX_QUOTE + MAX_EVENT_LOG + MAX_IMAGE_PROOF + MAX_VM_CONFIG + MAX_CSR) + 64 * 1024;
/// Bytes of a challenge: 24 random, 8 of expiry, 32 of MAC.
pub const CHALLENGE_LEN: usize = 64;
/// Hashes of an inclusion or consistency proof: a log of 2^63 entries needs no more.
pub const MAX_PATH: usize = 64;
