//! An app whose measured document cannot be run. It never starts; the agent is there to say so, with what to do.

use super::{App, AppError, AppFuture, ContainerView, LogRequest, LogStream};
use futures::StreamExt;

/// The app that is none.
#[derive(Debug)]
pub struct UnfitApp {
    what: &'static str,
    reason: String,
}

impl UnfitApp {
    /// Why it cannot be run.
    pub const fn new(what: &'static str, reason: String) -> Self {
        Self { what, reason }
    }
}

impl App for UnfitApp {
    fn up(&self) -> AppFuture<'_, ()> {
        Box::pin(async {
            Err(AppError::Document {
                what: self.what,
                reason: self.reason.clone(),
            })
        })
    }

    fn stop(&self) -> AppFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn containers(&self) -> AppFuture<'_, Vec<ContainerView>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn logs(&self, _request: LogRequest) -> AppFuture<'_, LogStream> {
        Box::pin(async { Ok(futures::stream::empty().boxed()) })
    }
}
