//! Calls to a KMS. Answers are read within a bound and a time; redirects and proxies are not followed.

use crate::{
    RequestError,
    tls::{OtherKms, PinnedKms},
};
use kms_types::KmsIdentity;
use kms_wire::Problem;
use reqwest::{Client, Response, StatusCode, Url, header, redirect::Policy};
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};

/// Longest answer: a sealed answer is 128 KiB of hex and a few fields around it.
const MAX_ANSWER: usize = 256 * 1024;
/// Longest part of an unreadable answer that is shown.
const MAX_SHOWN: usize = 200;

pub(crate) struct KmsClient {
    client: Client,
    pinned: Arc<PinnedKms>,
    base: Url,
}

impl KmsClient {
    pub(crate) fn new(base: Url, identity: KmsIdentity, timeout: Duration) -> Result<Self, RequestError> {
        if base.scheme() != "https" {
            return Err(RequestError::Address {
                actual: base.scheme().to_owned(),
            });
        }
        let pinned = Arc::new(PinnedKms::new(identity));
        let tls = pinned.client_config().map_err(|error| RequestError::Tls {
            reason: error.to_string(),
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(timeout)
            .build()
            .map_err(|source| RequestError::Transport {
                step: "client",
                source,
            })?;
        Ok(Self { client, pinned, base })
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        step: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, RequestError> {
        let url = self.base.join(path).map_err(|_| RequestError::Address {
            actual: self.base.to_string(),
        })?;
        let response = self.client.post(url).json(body).send().await;
        let response = response.map_err(|source| self.explain(step, source))?;
        let status = response.status();
        let body = self.read(step, response).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| RequestError::Protocol {
                step,
                expected: "an answer of the protocol".to_owned(),
                actual: error.to_string(),
            });
        }
        Err(refusal(step, status, &body))
    }

    /// A connection that was refused by the pin is no fault of the network.
    fn explain(&self, step: &'static str, source: reqwest::Error) -> RequestError {
        match self.pinned.refusal() {
            Some(OtherKms { expected, actual }) => RequestError::Identity {
                at: "TLS",
                expected,
                actual,
            },
            None => RequestError::Transport { step, source },
        }
    }

    async fn read(&self, step: &'static str, mut response: Response) -> Result<Vec<u8>, RequestError> {
        let too_long = |actual: String| RequestError::Protocol {
            step,
            expected: format!("at most {MAX_ANSWER} bytes"),
            actual,
        };
        let declared = response.headers().get(header::CONTENT_LENGTH);
        if let Some(length) = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            && length > MAX_ANSWER as u64
        {
            return Err(too_long(length.to_string()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|source| self.explain(step, source))?
        {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(too_long("more".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn refusal(step: &'static str, status: StatusCode, body: &[u8]) -> RequestError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.status == status.as_u16() && problem.code.status() == status.as_u16() => {
            RequestError::Refused {
                step,
                problem: Box::new(problem),
            }
        }
        _ => RequestError::Protocol {
            step,
            expected: "200 or a problem document".to_owned(),
            actual: format!("{status}: {}", shown(body)),
        },
    }
}

/// The other end's words, cut, without what steers a terminal.
fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_SHOWN)
        .collect()
}
