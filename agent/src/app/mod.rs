//! The app: containers of a compose file, or a script. What it is told is "run" and "stop"; what it tells is its state and
//! its log.

mod bash;
mod compose;
mod environment;
mod error;
mod prelude;
mod registries;
mod script;
mod supervisor;
mod unfit;
mod view;

pub use bash::BashApp;
pub use compose::ComposeApp;
pub use environment::read_environment;
pub use error::AppError;
pub use prelude::pre_launch;
pub(crate) use script::private_file;
pub use script::{Script, ScriptEnvironment, ScriptLog};
pub use supervisor::{AppPhase, AppState, Prelude, Supervisor, Wanted};
pub use unfit::UnfitApp;
pub use view::{ContainerView, LogItem, LogRequest, LogStream};

use std::{future::Future, pin::Pin};

/// A future of an app.
pub type AppFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AppError>> + Send + 'a>>;

/// Something that runs as the app.
pub trait App: Send + Sync + 'static {
    /// Starts it, or takes over what runs already. Ends when everything was started.
    fn up(&self) -> AppFuture<'_, ()>;
    /// Stops it, each part within its own grace.
    fn stop(&self) -> AppFuture<'_, ()>;
    /// Its parts.
    fn containers(&self) -> AppFuture<'_, Vec<ContainerView>>;
    /// Its log.
    fn logs(&self, request: LogRequest) -> AppFuture<'_, LogStream>;
}
