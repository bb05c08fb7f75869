//! What happened to the app, for people: a bounded list, newest last, and the same in the log.

use kms_types::UnixTime;
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Events kept.
const KEPT: usize = 64;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// The app does not run.
    Error,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub time: UnixTime,
    /// How much it matters.
    pub level: Level,
    /// To what: `app`, `lease`, `script`, …
    pub about: &'static str,
    /// What.
    pub message: String,
}

/// The list; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<VecDeque<Event>>>);

impl Events {
    /// Adds one, forgetting the oldest beyond the bound.
    pub fn add(&self, level: Level, about: &'static str, message: String) {
        match level {
            Level::Info => tracing::info!(about, "{message}"),
            Level::Warning => tracing::warn!(about, "{message}"),
            Level::Error => tracing::error!(about, "{message}"),
        }
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= KEPT {
            list.pop_front();
        }
        list.push_back(Event {
            time: now(),
            level,
            about,
            message,
        });
    }

    /// All that are kept, oldest first.
    pub fn list(&self) -> Vec<Event> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().cloned().collect()
    }
}

/// The wall clock.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(since.as_secs())
}
