//! A TCP relay before a node that can be cut, held up, or turned to another node. A change ends every connection.

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use url::Url;

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Goes to the node at this port.
    To(u16),
    /// Is closed.
    Cut,
    /// Stays open and carries nothing.
    Stalled,
}

pub struct Gate {
    pub url: Url,
    way: watch::Sender<Way>,
}

impl Gate {
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (way, ways) = watch::channel(Way::To(port));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(relay(near, ways.clone()));
            }
        });
        Self {
            url: url.parse().unwrap(),
            way,
        }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    pub fn way(&self) -> Way {
        *self.way.borrow()
    }
}

async fn relay(mut near: TcpStream, mut ways: watch::Receiver<Way>) {
    let way = *ways.borrow_and_update();
    let carried = async {
        match way {
            Way::Cut => {}
            Way::Stalled => std::future::pending().await,
            Way::To(port) => {
                if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            }
        }
    };
    tokio::select! {
        () = carried => {}
        _ = ways.changed() => {}
    }
}
