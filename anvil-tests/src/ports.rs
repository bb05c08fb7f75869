//! Free ports of the loopback address.

use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    sync::Mutex,
};

/// Ports handed out by this process, so that two children never get the same one before either listens.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The wanted port if it is free, else any free one.
///
/// # Errors
/// When the machine has none.
pub fn free(wanted: Option<u16>) -> Result<u16> {
    let mut taken = TAKEN.lock().map_err(|_| anyhow::anyhow!("port list poisoned"))?;
    if let Some(port) = wanted.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()) {
        taken.insert(port);
        return Ok(port);
    }
    for _ in 0..64 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        if taken.insert(port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port in 64 tries")
}
