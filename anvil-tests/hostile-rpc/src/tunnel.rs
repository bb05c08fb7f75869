//! A TCP tunnel that can be cut: a connection that ends, not a lie.

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};

/// Forwards connections to a port of this machine while it is open.
#[derive(Debug)]
pub struct Tunnel {
    port: u16,
    open: tokio::sync::watch::Sender<bool>,
}

impl Tunnel {
    /// Starts open.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (open, is_open) = tokio::sync::watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", upstream)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Ok(Self { port, open })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection and takes no new one, or takes them again.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}
