//! A loopback forwarder that cuts connections: the registry that goes away in the middle of a layer.

use anyhow::{Context, Result};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Forwards to one address until its budget of answered bytes is used up; then connections are cut where they are.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    budget: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of `target` (host:port) that cuts nothing.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the proxy")?;
        let address = listener.local_addr()?;
        let budget = Arc::new(AtomicU64::new(u64::MAX));
        let (target, shared) = (target.to_owned(), Arc::clone(&budget));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, budget) = (target.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let _ = forward(client, &target, &budget).await;
                });
            }
        });
        Ok(Self {
            address,
            budget,
            task,
        })
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Answers may have this many bytes more, over all connections; `u64::MAX` is no limit.
    pub fn allow(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, target: &str, budget: &AtomicU64) -> Result<()> {
    let server = TcpStream::connect(target).await?;
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let up = async {
        tokio::io::copy(&mut client_read, &mut server_write)
            .await
            .map(|_| ())
    };
    let down = async {
        let mut buffer = vec![0_u8; 16 * 1024];
        loop {
            let count = server_read.read(&mut buffer).await?;
            let left = budget.load(Ordering::SeqCst);
            let allowed = u64::try_from(count).unwrap_or(u64::MAX).min(left);
            if left != u64::MAX {
                budget.fetch_sub(allowed, Ordering::SeqCst);
            }
            let part = buffer
                .get(..usize::try_from(allowed).unwrap_or(0))
                .unwrap_or_default();
            client_write.write_all(part).await?;
            if count == 0 || part.len() < count {
                return std::io::Result::Ok(());
            }
        }
    };
    // Whichever side ends, both connections are dropped.
    tokio::select! { ended = up => ended?, ended = down => ended? }
    Ok(())
}
