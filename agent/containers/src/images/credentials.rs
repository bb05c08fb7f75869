//! Users and passwords of registries, read from a document shaped like Docker's `config.json`. Credential helpers are refused,
//! since they are programs; so are refresh tokens. Passwords are wiped on drop and printed nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ImageError;

/// Bytes of a document.
const MAX_DOCUMENT: usize = 256 * 1024;

/// Variable of the app's environment: user of one registry. Named as in dstack.
pub const USERNAME: &str = "DSTACK_DOCKER_USERNAME";
/// Variable: that user's password.
pub const PASSWORD: &str = "DSTACK_DOCKER_PASSWORD";
/// Variable: the registry; Docker Hub when absent.
pub const REGISTRY: &str = "DSTACK_DOCKER_REGISTRY";
/// Variable: a document like Docker's `config.json`, for several registries.
pub const DOCUMENT: &str = "KEDGE_REGISTRY_AUTH";

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

    /// Whether no registry knows us.
    pub fn is_empty(&self) -> bool {
        self.by_host.is_empty()
    }

    /// What an app's environment says: a document, one user, or both; the user counts where both name a registry.
    ///
    /// # Errors
    /// When one of them is not what it should be; values are not repeated.
    pub fn from_environment(value: &dyn Fn(&str) -> Option<String>) -> Result<Self, ImageError> {
        let secret = |name: &str| value(name).map(Zeroizing::new).filter(|text| !text.is_empty());
        let mut all = match secret(DOCUMENT) {
            Some(document) => Self::parse(document.as_bytes())?,
            None => Self::default(),
        };
        let registry = value(REGISTRY).filter(|text| !text.is_empty());
        match (secret(USERNAME), secret(PASSWORD)) {
            (None, None) => Ok(all),
            (Some(user), Some(password)) if !user.contains(':') => {
                let one = Self::basic(registry.as_deref().unwrap_or("docker.io"), &user, &password);
                let mut by_host = Arc::try_unwrap(all.by_host).unwrap_or_default();
                by_host.extend(Arc::try_unwrap(one.by_host).unwrap_or_default());
                all.by_host = Arc::new(by_host);
                Ok(all)
            }
            (Some(_), Some(_)) => Err(refused("a user name without a colon", "one with a colon")),
            _ => Err(refused(
                "DSTACK_DOCKER_USERNAME and DSTACK_DOCKER_PASSWORD",
                "only one of them",
            )),
        }
    }

    /// The part that is about these registries, as a document that [`Credentials::parse`] reads. `None` when there is none.
    pub fn document_for(&self, registries: &[&str]) -> Option<Zeroizing<String>> {
        let hosts: std::collections::BTreeSet<String> = registries.iter().map(|name| host_of(name)).collect();
        let auths: BTreeMap<&str, Written<'_>> = self
            .by_host
            .iter()
            .filter(|(host, _)| hosts.contains(*host))
            .map(|(host, credential)| (host.as_str(), Written::of(credential)))
            .collect();
        if auths.is_empty() {
            return None;
        }
        let text = serde_json::to_string(&BTreeMap::from([("auths", auths)])).ok()?;
        Some(Zeroizing::new(text))
    }

    pub(crate) fn of(&self, host: &str) -> Option<&Credential> {
        self.by_host.get(&host_of(host))
    }
}

/// One entry of a document, as it is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Basic { username: &'a str, password: &'a str },
    Token { registrytoken: &'a str },
}

impl<'a> Written<'a> {
    fn of(credential: &'a Credential) -> Self {
        match credential {
            Credential::Basic { user, password } => Self::Basic {
                username: user,
                password,
            },
            Credential::Token(token) => Self::Token { registrytoken: token },
        }
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
    fn an_environment_names_one_user_or_a_document_or_both() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: BTreeMap<String, String> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            Credentials::from_environment(&|name| pairs.get(name).cloned())
        };
        let document = r#"{"auths": {"r.example": {"username": "u", "password": "p"}, "docker.io": {"username": "old", "password": "x"}}}"#;
        let both = of(&[(USERNAME, "lab"), (PASSWORD, "secret"), (DOCUMENT, document)]).unwrap();
        assert_eq!(user(&both, "docker.io").as_deref(), Some("lab/secret"));
        assert_eq!(user(&both, "r.example").as_deref(), Some("u/p"));
        let named = of(&[
            (USERNAME, "lab"),
            (PASSWORD, "secret"),
            (REGISTRY, "https://ghcr.io/v2/"),
        ])
        .unwrap();
        assert_eq!(user(&named, "ghcr.io").as_deref(), Some("lab/secret"));
        assert_eq!(user(&named, "docker.io"), None);
        assert_eq!(user(&of(&[]).unwrap(), "docker.io"), None);
        for odd in [
            &[(USERNAME, "lab")][..],
            &[(PASSWORD, "SECRET")],
            &[(USERNAME, "a:b"), (PASSWORD, "SECRET")],
        ] {
            let error = of(odd).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
        let part = both.document_for(&["r.example", "elsewhere"]).unwrap();
        let read = Credentials::parse(part.as_bytes()).unwrap();
        assert_eq!(user(&read, "r.example").as_deref(), Some("u/p"));
        assert_eq!(user(&read, "docker.io"), None);
        assert!(both.document_for(&["elsewhere"]).is_none());
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
