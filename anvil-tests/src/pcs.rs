//! The software platform's collateral over HTTP, in the shape of Intel's service.

use crate::ports;
use anyhow::{Context, Result};
use soft_td::SoftPlatform;
use std::{
    net::Ipv4Addr,
    sync::{Arc, RwLock},
};
use tokio::task::JoinHandle;

/// A running collateral service.
#[derive(Debug)]
pub struct Pcs {
    port: u16,
    task: JoinHandle<()>,
}

impl Pcs {
    /// Serves a platform's collateral; changes of the platform show at once.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(platform: Arc<RwLock<SoftPlatform>>, wanted: Option<u16>) -> Result<Self> {
        let port = ports::free(wanted)?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .context("collateral service")?;
        let router = soft_td::pcs::router(platform, soft_td::pcs::system_clock());
        let task = tokio::spawn(async move {
            // Ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { port, task })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Base URL, everything before `/sgx/certification` and `/tdx/certification`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops serving.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Pcs {
    fn drop(&mut self) {
        self.task.abort();
    }
}
