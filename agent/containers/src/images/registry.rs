//! Requests to registries (OCI distribution specification, "pull"). Every answer is bounded in time and size. It refuses to go
//! from TLS to plain http, and to send a secret over plain http to a host that is not listed for it.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::auth::{Challenge, token, token_url};
use super::config::RegistryConfig;
use super::credentials::Credential;
use super::error::ImageError;
use super::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, MAX_DOCUMENT, OCI_INDEX, OCI_MANIFEST};
use super::source::{Source, is_loopback, may_have_secrets};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const MAX_REDIRECTS: usize = 5;
const MAX_TOKEN_ANSWER: usize = 64 * 1024;

/// Asks registries for the parts of images.
pub(crate) struct Registries<'a> {
    http: Client,
    pub(crate) config: &'a RegistryConfig,
    tokens: Mutex<HashMap<String, HeaderValue>>,
}

/// One thing to ask one source for.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) source: &'a Source,
    pub(crate) repository: &'a str,
    /// `manifests/…` or `blobs/…`.
    pub(crate) path: &'a str,
    /// What it is, for people.
    pub(crate) what: &'a str,
}

impl Ask<'_> {
    pub(crate) fn unreachable(&self, reason: impl ToString) -> ImageError {
        ImageError::Unreachable {
            registry: self.source.host.clone(),
            what: self.what.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn denied(&self, status: StatusCode, advice: &'static str) -> ImageError {
        ImageError::Denied {
            registry: self.source.host.clone(),
            what: self.what.to_owned(),
            status: status.as_u16(),
            advice,
        }
    }
}

impl<'a> Registries<'a> {
    pub(crate) fn new(config: &'a RegistryConfig) -> Result<Self, ImageError> {
        let insecure = config.insecure.clone();
        let policy = Policy::custom(move |attempt| {
            let url = attempt.url();
            let last = attempt.previous().last();
            let same =
                last.is_some_and(|last| (last.host_str(), last.port()) == (url.host_str(), url.port()));
            let name = url.host_str().unwrap_or_default();
            let host = url
                .port()
                .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
            let listed = same || is_loopback(&host) || insecure.contains(&host);
            // A registry asked over TLS must not be able to have the rest read by anyone on the way.
            let downgrade = url.scheme() != "https" && last.is_some_and(|last| last.scheme() == "https");
            if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("more than 5 redirects")
            } else if downgrade || (url.scheme() != "https" && !listed) {
                attempt.error("a redirect to plain http")
            } else {
                attempt.follow()
            }
        });
        let http = Client::builder()
            .redirect(policy)
            .connect_timeout(config.limits.patience)
            .read_timeout(config.limits.patience)
            .user_agent(concat!("kedge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ImageError::Setting {
                what: "HTTP client",
                expected: "TLS with the machine's certificates",
                got: describe(&error),
            })?;
        Ok(Self {
            http,
            config,
            tokens: Mutex::default(),
        })
    }

    /// A manifest or index, by tag or digest.
    pub(crate) async fn manifest(&self, ask: Ask<'_>) -> Result<Vec<u8>, ImageError> {
        let limit = self.config.limits.attempts;
        let mut wait = Waits::new(limit);
        loop {
            let answer = self.get(ask, 0).await?;
            match body(answer, MAX_DOCUMENT, ask).await {
                Err(error) if error.is_transient() && wait.again(None).await => {}
                other => return other,
            }
        }
    }

    /// An answer with status 200, or 206 when `offset` is not 0; tried again while the registry cannot answer.
    pub(crate) async fn get(&self, ask: Ask<'_>, offset: u64) -> Result<Response, ImageError> {
        let mut wait = Waits::new(self.config.limits.attempts);
        loop {
            let error = match self.once(ask, offset).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err((after, error))) => (after, error),
                Err(error) => (None, error),
            };
            if !error.1.is_transient() || !wait.again(error.0).await {
                return Err(error.1);
            }
        }
    }

    async fn once(
        &self,
        ask: Ask<'_>,
        offset: u64,
    ) -> Result<Result<Response, (Option<Duration>, ImageError)>, ImageError> {
        let mut answer = self.send(ask, offset).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.authenticate(ask, &answer).await?;
            answer = self.send(ask, offset).await?;
        }
        let status = answer.status();
        Ok(match status {
            StatusCode::OK => Ok(answer),
            StatusCode::PARTIAL_CONTENT if offset > 0 => Ok(answer),
            StatusCode::NOT_FOUND => Err((
                None,
                ImageError::NotFound {
                    registry: ask.source.host.clone(),
                    what: ask.what.to_owned(),
                },
            )),
            StatusCode::UNAUTHORIZED => Err((
                None,
                ask.denied(status, "check user and password for this registry"),
            )),
            StatusCode::FORBIDDEN => Err((
                None,
                ask.denied(status, "this user may not read the image, or it does not exist"),
            )),
            _ => {
                let after = answer
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                Err((
                    after.map(Duration::from_secs),
                    ask.unreachable(format!("it answered {status}")),
                ))
            }
        })
    }

    async fn send(&self, ask: Ask<'_>, offset: u64) -> Result<Response, ImageError> {
        let url = format!("{}v2/{}/{}", ask.source.base, ask.repository, ask.path);
        let mut request = self.http.get(url);
        if ask.path.starts_with("manifests/") {
            let types = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX].join(", ");
            request = request.header(ACCEPT, types);
        }
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let known = self.tokens.lock().await.get(&key(ask)).cloned();
        if let Some(value) = known {
            request = request.header(AUTHORIZATION, value);
        }
        request
            .send()
            .await
            .map_err(|error| ask.unreachable(describe(&error)))
    }

    /// Learns what to send to this source from now on.
    async fn authenticate(&self, ask: Ask<'_>, refusal: &Response) -> Result<(), ImageError> {
        let status = refusal.status();
        let challenge = refusal
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .find_map(|value| Challenge::parse(value.to_str().ok()?));
        // The answer may come from where a redirect led; credentials are for the source alone.
        let same = (refusal.url().host_str(), refusal.url().port())
            == (ask.source.base.host_str(), ask.source.base.port());
        let credential = self.config.credentials.of(&ask.source.host).filter(|_| same);
        let value = match (challenge, credential) {
            (None, _) => return Err(ask.denied(status, "it asks for a kind of login that is not known here")),
            (Some(_), Some(Credential::Token(token))) => {
                self.guard(refusal.url())?;
                bearer(token)
            }
            (Some(Challenge::Basic), Some(Credential::Basic { user, password })) => {
                self.guard(refusal.url())?;
                basic(user, password)
            }
            (Some(Challenge::Basic), None) => {
                return Err(ask.denied(status, "give user and password for this registry"));
            }
            (Some(Challenge::Bearer { realm, service }), credential) => {
                self.fetch_token(ask, &realm, service.as_deref(), credential)
                    .await?
            }
        };
        let mut value =
            value.ok_or_else(|| ask.denied(status, "the credentials cannot be sent in a header"))?;
        value.set_sensitive(true);
        self.tokens.lock().await.insert(key(ask), value);
        Ok(())
    }

    async fn fetch_token(
        &self,
        ask: Ask<'_>,
        realm: &str,
        service: Option<&str>,
        credential: Option<&Credential>,
    ) -> Result<Option<HeaderValue>, ImageError> {
        let unusable = || ask.unreachable("the token service it names is not a URL");
        let url = token_url(realm, service, ask.repository).ok_or_else(unusable)?;
        self.guard(&url)?;
        let mut request = self.http.get(url);
        if let Some(Credential::Basic { user, password }) = credential {
            let value = basic(user, password);
            request = request.header(AUTHORIZATION, value.ok_or_else(unusable)?);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| ask.unreachable(format!("token service: {}", describe(&error))))?;
        let status = answer.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(ask.denied(
                status,
                "the token service refused user and password for this registry",
            ));
        }
        if status != StatusCode::OK {
            return Err(ask.unreachable(format!("its token service answered {status}")));
        }
        let bytes = body(answer, MAX_TOKEN_ANSWER, ask).await?;
        let token = token(&bytes).ok_or_else(|| ask.unreachable("its token service gave no token"))?;
        Ok(bearer(&token))
    }

    /// A token is a secret too: it reads private images.
    fn guard(&self, url: &Url) -> Result<(), ImageError> {
        if !matches!(url.scheme(), "http" | "https") || !may_have_secrets(url, self.config) {
            return Err(ImageError::PlainHttp {
                host: url.host_str().unwrap_or_default().to_owned(),
            });
        }
        Ok(())
    }
}

fn key(ask: Ask<'_>) -> String {
    format!("{}{}", ask.source.base, ask.repository)
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    use base64::Engine as _;
    use zeroize::Zeroizing;
    let pair = Zeroizing::new(format!("{user}:{password}"));
    let text = Zeroizing::new(format!(
        "Basic {}",
        *Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()))
    ));
    sensitive(&text)
}

fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&zeroize::Zeroizing::new(format!("Bearer {token}")))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The whole answer, if it is not larger than `limit`.
async fn body(mut answer: Response, limit: usize, ask: Ask<'_>) -> Result<Vec<u8>, ImageError> {
    let too_large = |got: u64| ImageError::TooLarge {
        what: format!("answer of {} for {}", ask.source.host, ask.what),
        limit: limit as u64,
        got,
    };
    if let Some(length) = answer.content_length().filter(|length| *length > limit as u64) {
        return Err(too_large(length));
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer
        .chunk()
        .await
        .map_err(|error| ask.unreachable(describe(&error)))?
    {
        if bytes.len() + part.len() > limit {
            return Err(too_large((bytes.len() + part.len()) as u64));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// An error of the transport with its causes, without the URL, which may carry a signature.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        "no answer".to_owned()
    };
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Waits that double, a bounded number of them.
pub(crate) struct Waits {
    left: u32,
    next: Duration,
}

impl Waits {
    pub(crate) fn new(attempts: u32) -> Self {
        Self {
            left: attempts.saturating_sub(1),
            next: FIRST_WAIT,
        }
    }

    /// Waits and says whether to try again. `asked` is what the registry wants; it cannot make us wait for long.
    pub(crate) async fn again(&mut self, asked: Option<Duration>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(asked.unwrap_or(self.next).min(LONGEST_WAIT)).await;
        self.next = self.next.saturating_mul(2);
        true
    }
}
