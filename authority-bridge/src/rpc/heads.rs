//! Announcements of new heads over WebSocket. An announcement only says "ask now": the header itself comes from the
//! [`crate::HeaderSource`], so a lying or silent announcer can delay by the polling interval and do nothing else.

use super::{endpoint_name, shown};
use alloy::{
    providers::{Provider, ProviderBuilder, WsConnect},
    transports::ws::WebSocketConfig,
};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::sync::watch;
use url::Url;

/// Largest WebSocket message; a header has about 2 KiB.
const MAX_MESSAGE: usize = 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What the announcer last said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Announcements {
    /// Whether there is a subscription.
    pub(crate) subscribed: bool,
    /// Height last announced, if any. A claim.
    pub(crate) number: u64,
    /// How many there were.
    pub(crate) count: u64,
}

/// Subscribes, and subscribes again whenever the connection ends, until the receiver is gone.
pub(crate) async fn announce(url: Url, timeout: Duration, heads: watch::Sender<Announcements>) {
    let name = endpoint_name(&url);
    let mut pause = FIRST_PAUSE;
    while !heads.is_closed() {
        match listen(&url, timeout, &heads).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(detail) => {
                tracing::warn!(endpoint = %name, %detail, "no subscription to new heads; polling");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        heads.send_if_modified(|state| std::mem::take(&mut state.subscribed));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = heads.closed() => return,
        }
    }
}

/// One connection, from subscribing to its end.
async fn listen(url: &Url, timeout: Duration, heads: &watch::Sender<Announcements>) -> Result<(), String> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let connect = WsConnect::new(url.as_str())
        .with_config(limits)
        .with_max_retries(0);
    let subscribe = async {
        let provider = ProviderBuilder::new().connect_ws(connect).await?;
        let stream = provider.subscribe_blocks().await?.into_stream();
        Ok::<_, alloy::transports::TransportError>((provider, stream))
    };
    let subscribed = tokio::time::timeout(timeout, subscribe).await;
    let (_provider, mut stream) = subscribed
        .map_err(|_| format!("no subscription within {timeout:?}"))?
        .map_err(|error| shown(&error.to_string()))?;
    heads.send_modify(|state| {
        state.subscribed = true;
        state.count += 1;
    });
    loop {
        let header = tokio::select! {
            header = stream.next() => header,
            () = heads.closed() => return Ok(()),
        };
        let Some(header) = header else {
            return Ok(());
        };
        heads.send_modify(|state| {
            state.number = header.number;
            state.count += 1;
        });
    }
}
