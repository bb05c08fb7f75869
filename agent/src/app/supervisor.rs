//! Brings the app to what is wanted: running while its owner and its lease let it, stopped otherwise. What fails and may
//! pass is tried again, with growing pauses; what cannot pass is shown and left.

use super::{App, AppError};
use crate::{
    events::{Events, Level},
    lease::LeaseStatus,
};
use serde::Serialize;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::watch;

/// First pause before another try, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is wanted of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its operator has stopped it.
    pub stopped_by_operator: bool,
    /// Its lease lets it run.
    pub may_run: bool,
}

impl Wanted {
    /// Whether it should run.
    pub const fn run(self) -> bool {
        self.may_run && !self.stopped_by_operator
    }
}

/// Where the app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppPhase {
    /// Its scripts or containers are being started.
    Starting,
    /// Everything was started.
    Running,
    /// It is being stopped.
    Stopping,
    /// It was stopped.
    Stopped,
    /// It could not be started.
    Failed,
}

/// Where the app is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppState {
    /// Where.
    pub phase: AppPhase,
    /// Why.
    pub message: Option<String>,
    /// What to do about it.
    pub advice: Option<&'static str>,
    /// Whether somebody could not be asked, and the agent tries again.
    pub again: bool,
}

impl AppState {
    const fn of(phase: AppPhase) -> Self {
        Self {
            phase,
            message: None,
            advice: None,
            again: false,
        }
    }

    /// The state before anything was done.
    pub const STARTING: Self = Self::of(AppPhase::Starting);
}

/// What runs before the app, each time it is started.
pub type Prelude = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), AppError>> + Send>> + Send + Sync>;

/// Brings one app to what is wanted.
pub struct Supervisor {
    /// The app.
    pub app: Arc<dyn App>,
    /// The pre-launch script.
    pub prelude: Option<Prelude>,
    /// The lease.
    pub lease: watch::Receiver<LeaseStatus>,
    /// Whether the operator has stopped it.
    pub stopped: watch::Receiver<bool>,
    /// Where people look.
    pub events: Events,
}

impl Supervisor {
    fn wanted(&self) -> Wanted {
        Wanted {
            stopped_by_operator: *self.stopped.borrow(),
            may_run: self.lease.borrow().may_run,
        }
    }

    /// Ends when what is wanted is no longer `run`.
    async fn until_other_than(&mut self, run: bool) {
        loop {
            if self.wanted().run() != run {
                return;
            }
            let (lease, stopped) = (&mut self.lease, &mut self.stopped);
            let changed = async {
                tokio::select! {
                    lease = lease.changed() => lease.is_ok(),
                    stopped = stopped.changed() => stopped.is_ok(),
                }
            };
            if !changed.await {
                // Whoever decides is gone: the process is about to end.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Supervises until the task is dropped, which leaves containers running.
    pub async fn supervise(mut self, state: watch::Sender<AppState>) {
        let mut pause = RETRY.0;
        loop {
            if !self.wanted().run() {
                self.stop(&state).await;
                self.until_other_than(false).await;
                self.events
                    .add(Level::Info, "app", "the app may run again".to_owned());
                pause = RETRY.0;
                continue;
            }
            state.send_replace(AppState::STARTING);
            let (app, prelude) = (Arc::clone(&self.app), self.prelude.clone());
            let started = tokio::select! {
                started = start(app, prelude) => started,
                () = self.until_other_than(true) => continue,
            };
            match started {
                Ok(()) => {
                    state.send_replace(AppState::of(AppPhase::Running));
                    self.events.add(Level::Info, "app", "the app runs".to_owned());
                    pause = RETRY.0;
                    self.until_other_than(true).await;
                }
                Err(error) => {
                    self.failed(&error, &state);
                    if error.is_transient() {
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            () = self.until_other_than(true) => {}
                        }
                        pause = pause.saturating_mul(2).min(RETRY.1);
                    } else {
                        self.until_other_than(true).await;
                    }
                }
            }
        }
    }

    fn failed(&self, error: &AppError, state: &watch::Sender<AppState>) {
        metrics::counter!("kedge_agent_app_start_failures_total").increment(1);
        let message = crate::lease::chain(error);
        self.events.add(Level::Error, "app", message.clone());
        state.send_replace(AppState {
            phase: AppPhase::Failed,
            message: Some(message),
            advice: Some(error.advice()),
            again: error.is_transient(),
        });
    }

    async fn stop(&mut self, state: &watch::Sender<AppState>) {
        let why = match self.wanted() {
            Wanted {
                stopped_by_operator: true,
                ..
            } => "it was stopped on request",
            _ => "its lease is lost and its grace is over",
        };
        let shown = |phase| AppState {
            phase,
            message: Some(why.to_owned()),
            advice: None,
            again: false,
        };
        state.send_replace(shown(AppPhase::Stopping));
        let mut pause = RETRY.0;
        while let Err(error) = self.app.stop().await {
            self.failed(&error, state);
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(RETRY.1);
        }
        self.events
            .add(Level::Warning, "app", format!("the app is stopped: {why}"));
        state.send_replace(shown(AppPhase::Stopped));
    }
}

async fn start(app: Arc<dyn App>, prelude: Option<Prelude>) -> Result<(), AppError> {
    if let Some(prelude) = prelude {
        prelude().await?;
    }
    app.up().await
}
