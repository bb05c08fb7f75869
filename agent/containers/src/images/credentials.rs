//! Users and passwords of registries, read from a document shaped like Docker's `config.json`. Credential helpers are refused,
//! since they are programs; so are refresh tokens. Passwords are wiped on drop and printed nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::ImageError;

/// Bytes of a document.
const MAX_DOCUMENT: usize = 256 * 1024;

/// How one registry knows us.
pub(crate) enum Credential {
    /// User and password.
    Basic {
        user: String,
        password: Zeroizing<String>,
    },
    /// A token that is sent as it is.
    Token(Zeroizing<String>),
}

/// Credentials by registry host. A clone shares them.
#[derive(Clone, Default)]
pub struct Credentials {
    by_host: Arc<BTreeMap<String, Credential>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.by_host.keys()).finish()
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credsStore")]
    store: Option<serde::de::IgnoredAny>,
    #[serde(rename = "credHelpers")]
    helpers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<Zeroizing<String>>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    identitytoken: Option<Zeroizing<String>>,
    registrytoken: Option<Zeroizing<String>>,
}

fn refused(expected: &'static str, got: impl Into<String>) -> ImageError {
    ImageError::Setting {
        what: "registry credentials",
        expected,
        got: got.into(),
    }
}

impl Credentials {
    /// Reads a document with `auths`. Errors name the registry and never what stands there.
    ///
    /// # Errors
    /// When it is not such a document, or names credential helpers or refresh tokens.
    pub fn parse(document: &[u8]) -> Result<Self, ImageError> {
        if document.len() > MAX_DOCUMENT {
            return Err(refused("at most 256 KiB", format!("{} bytes", document.len())));
        }
        // The parser's message may quote the document.
        let read: Document = serde_json::from_slice(document).map_err(|error| {
            refused(
                "JSON like Docker's config.json, with `auths`",
                format!("an error at line {}, column {}", error.line(), error.column()),
            )
        })?;
        if read.store.is_some() || read.helpers.is_some() {
            return Err(refused(
                "`auths` only",
                "a credential helper, which is a program of another machine",
            ));
        }
        let mut by_host = BTreeMap::new();
        for (name, entry) in read.auths {
            let host = host_of(&name);
            let credential = entry.credential(&host)?;
            by_host.insert(host, credential);
        }
        Ok(Self {
            by_host: Arc::new(by_host),
        })
    }

    /// One user of one registry.
    pub fn basic(host: &str, user: &str, password: &str) -> Self {
        let credential = Credential::Basic {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        };
        Self {
            by_host: Arc::new(BTreeMap::from([(host_of(host), credential)])),
        }
    }

    pub(crate) fn of(&self, host: &str) -> Option<&Credential> {
        self.by_host.get(&host_of(host))
    }
}

impl Entry {
    fn credential(self, host: &str) -> Result<Credential, ImageError> {
        let wrong = |expected| refused(expected, format!("something else for {host}"));
        if self.identitytoken.is_some() {
            return Err(wrong("`auth`, `username` and `password`, or `registrytoken`"));
        }
        if let Some(token) = self.registrytoken {
            return header_safe(&token)
                .then_some(Credential::Token(token))
                .ok_or_else(|| wrong("a `registrytoken` of printable ASCII"));
        }
        let (user, password) = match (self.username, self.password, self.auth) {
            (Some(user), Some(password), _) => (user, password),
            (_, _, Some(auth)) => decode(&auth).ok_or_else(|| wrong("`auth`: base64 of user:password"))?,
            _ => return Err(wrong("`auth`, or `username` and `password`")),
        };
        if user.is_empty() || user.contains(':') {
            return Err(wrong("a user name without a colon"));
        }
        Ok(Credential::Basic { user, password })
    }
}

fn header_safe(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn decode(auth: &str) -> Option<(String, Zeroizing<String>)> {
    let bytes = Zeroizing::new(STANDARD.decode(auth.trim()).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}

/// Host of a key of `auths`, which may be a URL; Docker Hub has several names.
fn host_of(name: &str) -> String {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest).to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".to_owned(),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(credentials: &Credentials, host: &str) -> Option<String> {
        match credentials.of(host)? {
            Credential::Basic { user, password } => Some(format!("{user}/{}", password.as_str())),
            Credential::Token(token) => Some(token.to_string()),
        }
    }

    #[test]
    fn a_document_of_docker_is_read() {
        let text = br#"{"auths": {"https://index.docker.io/v1/": {"auth": "bGFiOnNlY3JldDp3aXRo"},
            "r.example:5000": {"username": "u", "password": "p"}, "t.example": {"registrytoken": "abc"}}, "other": 1}"#;
        let read = Credentials::parse(text).unwrap();
        assert_eq!(user(&read, "docker.io").as_deref(), Some("lab/secret:with"));
        assert_eq!(user(&read, "R.example:5000").as_deref(), Some("u/p"));
        assert_eq!(user(&read, "t.example").as_deref(), Some("abc"));
        assert_eq!(user(&read, "r.example"), None);
        assert!(!format!("{read:?}").contains("secret"));
    }

    #[test]
    fn refusals_do_not_quote_the_document() {
        for text in [
            r#"{"auths": {"a": {"auth": "SECRET!"}}}"#,
            r#"{"auths": {"a": {"auth": "SECRET"#,
            r#"{"auths": {"a": {"identitytoken": "SECRET"}}}"#,
            r#"{"auths": {"a": {"auth": 7, "password": "SECRET"}}}"#,
            r#"{"auths": {"a": {"registrytoken": "SECRET\r\nX: y"}}}"#,
            r#"{"credsStore": "SECRET"}"#,
        ] {
            let error = Credentials::parse(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
    }
}
