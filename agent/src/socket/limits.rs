//! Bounds of the app socket. Every one holds before anything of that size is kept.

use std::time::Duration;

/// Bytes of a request body, and of a query string.
pub const MAX_BODY: usize = 64 * 1024;
/// Bytes of a request's head.
pub const MAX_HEAD: usize = 64 * 1024 + 16 * 1024;
/// Headers of a request.
pub const MAX_HEADERS: usize = 64;
/// Bytes of a path in a URL.
pub const MAX_ROUTE: usize = 128;
/// Fields of a query string.
pub const MAX_FIELDS: usize = 64;
/// Connections of one socket at a time; one more is told to come back.
pub const MAX_CONNECTIONS: usize = 256;
/// Time for a client to send a head, also between two requests of a connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a client to send a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client may leave an answer unread.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time open connections get when the agent stops.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Bytes of a key path, and of a purpose.
pub const MAX_KEY_PATH: usize = 1024;
/// Names of one certificate.
pub const MAX_NAMES: usize = 16;
/// Bytes of a certificate's subject.
pub const MAX_SUBJECT: usize = 64;
/// Bytes of a legacy quote's prefix.
pub const MAX_PREFIX: usize = 64;

/// Quotes a second, in the long run.
pub const QUOTES_PER_SECOND: u32 = 20;
/// Quotes at once.
pub const QUOTE_BURST: u32 = 40;
/// Calls that may wait for the TD.
pub const MAX_WAITING: usize = 32;
/// Time a call waits for its turn at the TD.
pub const TD_WAIT: Duration = Duration::from_secs(2);

/// Bytes of an app event's name.
pub const MAX_EVENT_NAME: usize = 128;
/// Bytes of an app event's payload.
pub const MAX_EVENT_PAYLOAD: usize = 16 * 1024;
/// Events an app may record: half of what verifiers read, so that the agent's own always fit.
pub const MAX_APP_EVENTS: usize = 512;
/// Bytes of names and payloads an app may record in all.
pub const MAX_APP_EVENT_BYTES: usize = 256 * 1024;
