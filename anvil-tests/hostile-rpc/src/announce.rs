//! The WebSocket side: subscriptions are the real node's, announcements are what the lie makes of them.

use crate::{Lie, server::Shared, upstream::quantity};
use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};
use url::Url;

/// How often false announcements are made.
const OFTEN: Duration = Duration::from_millis(20);

pub(crate) async fn serve(listener: TcpListener, upstream: Url, shared: Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        let (upstream, shared) = (upstream.clone(), Arc::clone(&shared));
        // A connection ends when either end of it does; nobody needs to know why.
        tokio::spawn(async move { connection(near, &upstream, &shared).await.ok() });
    }
}

async fn connection(near: TcpStream, upstream: &Url, shared: &Shared) -> Result<()> {
    let port = upstream.port().context("an upstream with a port")?;
    let far = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut far, _) = client_async(upstream.as_str(), far).await?;
    let mut near = accept_async(near).await?;
    let mut lies = shared.lie.subscribe();
    let mut subscription = None;
    let mut often = tokio::time::interval(OFTEN);
    loop {
        let lie = lies.borrow_and_update().clone();
        tokio::select! {
            message = near.next() => far.send(message.context("closed")??).await?,
            message = far.next() => {
                let message = message.context("closed")??;
                let value: Value = message.to_text().ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                if let Some(id) = value.get("result").filter(|result| result.is_string()) {
                    subscription = Some(id.clone());
                }
                let announcement = value.get("method") == Some(&json!("eth_subscription"));
                if !(announcement && matches!(lie, Lie::HeadsSilent)) {
                    near.send(message).await?;
                }
            }
            _ = often.tick(), if subscription.is_some() => {
                if let Some(message) = false_news(&lie, subscription.as_ref(), shared).await? {
                    near.send(message).await?;
                }
            }
            changed = lies.changed() => changed?,
        }
    }
}

/// What is announced again and again under this lie.
async fn false_news(lie: &Lie, subscription: Option<&Value>, shared: &Shared) -> Result<Option<Message>> {
    Ok(match lie {
        Lie::FalseHeads => {
            let mut head = shared.upstream.block("latest").await?;
            let number = head
                .get("number")
                .and_then(quantity)
                .context("a head without a number")?;
            if let Some(fields) = head.as_object_mut() {
                fields.insert(
                    "number".to_owned(),
                    json!(format!("{:#x}", number.saturating_add(1_000_000))),
                );
            }
            let params = json!({"subscription": subscription, "result": head});
            let news = json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": params});
            Some(Message::text(news.to_string()))
        }
        Lie::HeadsGarbage => Some(Message::text("\u{0}{not json")),
        Lie::HeadsOversized => Some(Message::text(format!("[\"{}\"]", "a".repeat(2 * 1024 * 1024)))),
        _ => None,
    })
}
