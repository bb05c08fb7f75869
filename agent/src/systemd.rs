//! What a service manager is told, and the sockets it hands over. Without one, nothing happens.

use sd_notify::NotifyState;
use std::{os::unix::net::UnixListener, path::Path, time::Duration};

/// Tells the manager that the service is up.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the manager what goes on.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Tells the manager that the service ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Feeds the watchdog, if there is one, for as long as `alive` says so.
pub async fn watchdog(alive: impl Fn() -> bool) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval((interval / 3).max(Duration::from_millis(10)));
    loop {
        ticks.tick().await;
        if alive() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Sockets that were bound before this process started.
#[derive(Debug, Default)]
pub struct Inherited(Vec<UnixListener>);

impl Inherited {
    /// Takes what the environment announces. Others than listening unix sockets stay closed to us.
    pub fn take() -> Self {
        let mut announced = listenfd::ListenFd::from_env();
        Self(
            (0..announced.len())
                .filter_map(|index| announced.take_unix_listener(index).ok().flatten())
                .collect(),
        )
    }

    /// The socket bound to `path`.
    pub fn at(&mut self, path: &Path) -> Option<UnixListener> {
        let found = self.0.iter().position(|listener| {
            listener
                .local_addr()
                .is_ok_and(|address| address.as_pathname() == Some(path))
        })?;
        Some(self.0.swap_remove(found))
    }
}
