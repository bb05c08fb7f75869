//! Announcements of new heads over WebSocket. An announcement only says "ask now": the header itself comes from the
//! [`crate::HeaderSource`], so a lying or silent announcer can cost requests, within bounds, and do nothing else.

use super::{
    endpoint::{secrets, without},
    endpoint_name, shown,
};
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
/// Announcements of one endpoint between two heads that are acted on.
const CREDIT: u32 = 8;
/// Between two announcements of one endpoint that are listened to.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What one announcer last said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Whether there is a subscription.
    pub(crate) subscribed: bool,
    /// Height last announced, if any. A claim.
    pub(crate) number: u64,
    /// How many there were.
    pub(crate) count: u64,
}

/// What all of them last said, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announcements(Vec<Announced>);

impl Announcements {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self(vec![Announced::default(); endpoints])
    }
    pub(crate) fn all(&self) -> &[Announced] {
        &self.0
    }
    pub(crate) fn subscribed(&self) -> usize {
        self.0.iter().filter(|one| one.subscribed).count()
    }
}

/// How much each announcer is still listened to until there is a new head: announcements cost requests, and whoever makes
/// them without end must not use up what the other providers allow.
#[derive(Debug)]
pub(crate) struct Credit(Vec<(u64, u32)>);

impl Credit {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self(vec![(0, CREDIT); endpoints])
    }

    /// Whether what is new in `now` is worth a step.
    pub(crate) fn spend(&mut self, now: &Announcements) -> bool {
        let mut is_worth = false;
        for ((seen, left), said) in self.0.iter_mut().zip(&now.0) {
            if std::mem::replace(seen, said.count) != said.count && *left > 0 {
                *left -= 1;
                is_worth = true;
            }
        }
        is_worth
    }

    /// There is a new head.
    pub(crate) fn renew(&mut self) {
        self.0.iter_mut().for_each(|(_, left)| *left = CREDIT);
    }
}

/// Where one announcer writes.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    heads: watch::Sender<Announcements>,
    index: usize,
}

impl Announcer {
    pub(crate) fn new(heads: &watch::Sender<Announcements>, index: usize) -> Self {
        Self {
            heads: heads.clone(),
            index,
        }
    }
    fn change(&self, change: impl FnOnce(&mut Announced) -> bool) {
        self.heads
            .send_if_modified(|all| all.0.get_mut(self.index).is_some_and(change));
    }
}

/// Subscribes, and subscribes again whenever the connection ends, until the receiver is gone.
pub(crate) async fn announce(url: Url, timeout: Duration, announcer: Announcer) {
    let name = endpoint_name(&url);
    let mut pause = FIRST_PAUSE;
    while !announcer.heads.is_closed() {
        match listen(&url, timeout, &announcer).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(detail) => {
                tracing::warn!(endpoint = %name, %detail, "no subscription to new heads; polling");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        announcer.change(|state| std::mem::take(&mut state.subscribed));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = announcer.heads.closed() => return,
        }
    }
}

/// One connection, from subscribing to its end.
async fn listen(url: &Url, timeout: Duration, announcer: &Announcer) -> Result<(), String> {
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
        .map_err(|error| shown(&without(&secrets(url), &error.to_string())))?;
    announcer.change(|state| {
        state.subscribed = true;
        state.count += 1;
        true
    });
    loop {
        let header = tokio::select! {
            header = stream.next() => header,
            () = announcer.heads.closed() => return Ok(()),
        };
        let Some(header) = header else {
            return Ok(());
        };
        announcer.change(|state| {
            state.number = header.number;
            state.count += 1;
            true
        });
        // One that announces without end makes no more requests than this.
        tokio::time::sleep(LEAST_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_announces_without_end_is_listened_to_a_few_times_a_head() {
        let (mut credit, mut now) = (Credit::new(2), Announcements::new(2));
        let mut spent = 0;
        for count in 1..=100 {
            now.0[0].count = count;
            spent += u32::from(credit.spend(&now));
        }
        assert_eq!(spent, CREDIT);
        // The other one is still heard.
        now.0[1].count = 1;
        assert!(credit.spend(&now));
        assert!(!credit.spend(&now));
        credit.renew();
        now.0[0].count = 101;
        assert!(credit.spend(&now));
    }
}
