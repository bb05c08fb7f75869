//! The running agent as its interfaces see it.

use crate::{
    app::{App, AppState},
    events::{Event, Events},
    facts::Facts,
    lease::LeaseStatus,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The running agent.
pub struct Agent {
    /// The instance.
    pub facts: Facts,
    /// Exact text of its compose document.
    pub compose: String,
    /// The app.
    pub app: Arc<dyn App>,
    /// Where it is.
    pub state: watch::Receiver<AppState>,
    /// Its lease.
    pub lease: watch::Receiver<LeaseStatus>,
    /// Whether its operator has stopped it.
    pub stopped: watch::Sender<bool>,
    /// Its presence says that the operator has stopped the app; gone with the boot.
    pub stop_mark: PathBuf,
    /// What happened.
    pub events: Events,
    /// Figures.
    pub metrics: PrometheusHandle,
    /// Since when.
    pub started: Instant,
}

/// Everything at a glance.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The instance.
    #[serde(flatten)]
    pub facts: Facts,
    /// Where the app is.
    pub app: AppState,
    /// Its lease.
    pub lease: LeaseStatus,
    /// Seconds since the agent started.
    pub agent_uptime_s: u64,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

impl Agent {
    /// Everything at a glance.
    pub fn status(&self) -> Status {
        Status {
            facts: self.facts.clone(),
            app: self.state.borrow().clone(),
            lease: self.lease.borrow().clone(),
            agent_uptime_s: self.started.elapsed().as_secs(),
            events: self.events.list(),
        }
    }

    /// Whether everything of the app was started and may run.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().phase == crate::app::AppPhase::Running
    }

    /// Stops the app, or lets it run again. It stays so across restarts of the agent within this boot.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub fn set_stopped(&self, stopped: bool) -> std::io::Result<()> {
        if stopped {
            crate::app::private_file(&self.stop_mark, b"")?;
        } else if let Err(error) = std::fs::remove_file(&self.stop_mark)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        self.stopped.send_replace(stopped);
        Ok(())
    }

    /// Waits until the app has stopped; false when it did not within `patience`.
    pub async fn until_stopped(&self, patience: Duration) -> bool {
        let mut state = self.state.clone();
        let stopped = state.wait_for(|state| state.phase == crate::app::AppPhase::Stopped);
        matches!(tokio::time::timeout(patience, stopped).await, Ok(Ok(_)))
    }

    /// Figures in the text form of Prometheus.
    pub fn metrics_text(&self) -> String {
        metrics::gauge!("kedge_agent_app_running").set(f64::from(u8::from(self.is_ready())));
        metrics::gauge!("kedge_agent_uptime_seconds").set(self.started.elapsed().as_secs_f64());
        self.metrics.run_upkeep();
        self.metrics.render()
    }
}
