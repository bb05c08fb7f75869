//! Ports to publish.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

/// Below those the kernel gives to whoever binds port 0. While a container has a port published, connections to it on the
/// loopback address go to the container: a port of the kernel's range would take them from another test's server.
const RANGE: Range<u32> = 22_000..32_000;

/// A port that was free a moment ago, another one at each call.
///
/// # Errors
/// When every port of the range is taken.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Each process begins elsewhere.
    let first = std::process::id() % 625 * 16;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    RANGE
        .map(|_| RANGE.start + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % (RANGE.end - RANGE.start))
        .filter_map(|port| u16::try_from(port).ok())
        .find(free)
        .with_context(|| format!("no free port from {} to {}", RANGE.start, RANGE.end - 1))
}
