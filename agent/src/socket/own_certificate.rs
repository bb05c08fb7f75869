//! The instance's own certificate, shown in `Info`: asked for when the agent starts, renewed before it ends, asked for again with
//! growing pauses while there is none. Its key is made for it and forgotten: it shows that the KMS knows this instance, and
//! nobody speaks with it. One that has ended is not shown.

use super::{AppState, SocketError, certificates, messages::GetTlsKeyArgs};
use crate::events::now;
use kms_types::UnixTime;
use std::{sync::Arc, time::Duration};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

/// First pause after a request that brought none; doubled up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(600);
/// A certificate that is about to end, or a clock that is wrong, must not make requests without a pause.
const RENEW_SOONEST: Duration = Duration::from_secs(60);

/// Keeps the certificate until the task is dropped.
pub async fn keep_certificate(state: Arc<AppState>) {
    let (mut pause, mut end) = (RETRY_FIRST, UnixTime(0));
    loop {
        match renew(&state).await {
            Ok(until) => {
                (pause, end) = (RETRY_FIRST, until);
                tokio::time::sleep(renewal(now(), until)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "no certificate of this instance");
                if now() >= end {
                    state.set_app_certificate(String::new());
                }
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(RETRY_LONGEST);
            }
        }
    }
}

/// Asks for one and shows it; gives its end.
async fn renew(state: &AppState) -> Result<UnixTime, SocketError> {
    let args = GetTlsKeyArgs {
        usage_server_auth: true,
        usage_client_auth: true,
        ..GetTlsKeyArgs::default()
    };
    let chain = certificates::chain(state, &args, &certificates::fresh()?).await?;
    let end = chain
        .first()
        .and_then(|leaf| end_of(leaf))
        .ok_or(SocketError::Internal {
            reason: "certificate of the instance: expected a chain that begins with a certificate".to_owned(),
        })?;
    state.set_app_certificate(chain.concat());
    Ok(end)
}

fn end_of(leaf: &str) -> Option<UnixTime> {
    let (_, pem) = parse_x509_pem(leaf.as_bytes()).ok()?;
    let (_, leaf) = parse_x509_certificate(&pem.contents).ok()?;
    u64::try_from(leaf.validity().not_after.timestamp())
        .ok()
        .map(UnixTime)
}

/// Two thirds of what is left.
fn renewal(now: UnixTime, end: UnixTime) -> Duration {
    let left = end.0.saturating_sub(now.0);
    Duration::from_secs(left.saturating_mul(2) / 3).max(RENEW_SOONEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_before_it_ends_and_never_without_a_pause() {
        assert_eq!(renewal(UnixTime(100), UnixTime(1000)), Duration::from_secs(600));
        for end in [0, 100, 101] {
            assert_eq!(renewal(UnixTime(100), UnixTime(end)), RENEW_SOONEST);
        }
        assert!(renewal(UnixTime(0), UnixTime(u64::MAX)) > RENEW_SOONEST);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for text in [
            "",
            "x",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert_eq!(end_of(text), None);
        }
    }
}
