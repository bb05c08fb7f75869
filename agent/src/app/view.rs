//! The app's parts and log lines, as they are shown.

use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One container, or the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContainerView {
    /// Service of the compose file; `app` for a script.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Image, as the compose file names it.
    pub image: Option<String>,
    /// `waiting`, `starting`, `running`, `restarting`, `exited`, `failed`, `stopped`.
    pub state: String,
    /// `starting`, `healthy`, `unhealthy`; absent without a health check.
    pub health: Option<String>,
    /// Process id in the guest.
    pub pid: Option<u32>,
    /// How it ended last.
    pub exit_code: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Published ports, `8080:80/tcp`.
    #[serde(default)]
    pub ports: Vec<String>,
    /// Why it does not run.
    pub message: Option<String>,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogRequest {
    /// Of one service; of all when absent.
    pub service: Option<String>,
    /// The last so many.
    pub tail: Option<usize>,
    /// From this time on, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Go on with lines as they are written.
    pub follow: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogItem {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Who wrote it.
    pub service: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line.
    pub text: String,
}

/// Lines, oldest first.
pub type LogStream = BoxStream<'static, LogItem>;
