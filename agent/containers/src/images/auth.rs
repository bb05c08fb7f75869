//! What a registry asks for when it answers 401, and the token service it names. Pure but for the one request for a token. A
//! challenge over its bounds, without a realm or with a realm over plain http is refused.

use reqwest::Url;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Bytes of a challenge that are looked at.
const MAX_CHALLENGE: usize = 4096;

/// One challenge of `WWW-Authenticate` (RFC 9110, section 11.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with the request itself.
    Basic,
    /// A token of the service at `realm`.
    Bearer {
        /// Where to ask.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads the header's value.
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > MAX_CHALLENGE {
            return None;
        }
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let mut service = None;
        for (name, value) in Parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" if realm.is_none() => realm = Some(value),
                "service" if service.is_none() => service = Some(value),
                _ => {}
            }
        }
        realm.map(|realm| Self::Bearer { realm, service })
    }
}

/// `name="value"` or `name=value`, divided by commas.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_start_matches([' ', ',', '\t']);
        let (name, rest) = text.split_once('=')?;
        let name = name.trim().to_owned();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut letters = quoted.chars();
            loop {
                match letters.next()? {
                    '"' => break,
                    '\\' => value.push(letters.next()?),
                    letter => value.push(letter),
                }
            }
            self.0 = letters.as_str();
            return Some((name, value));
        }
        let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
        self.0 = rest;
        Some((name, value.trim().to_owned()))
    }
}

/// The URL that gives a token to read one repository.
pub(crate) fn token_url(realm: &str, service: Option<&str>, repository: &str) -> Option<Url> {
    let mut url = Url::parse(realm).ok()?;
    let mut query = url.query_pairs_mut();
    if let Some(service) = service {
        query.append_pair("service", service);
    }
    query.append_pair("scope", &format!("repository:{repository}:pull"));
    drop(query);
    Some(url)
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
}

/// The token of a token service's answer.
pub(crate) fn token(answer: &[u8]) -> Option<Zeroizing<String>> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let token = answer.token.or(answer.access_token)?;
    let sound = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        let hub = r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(hub),
            bearer("https://auth.example/token", Some("r"))
        );
        assert_eq!(
            Challenge::parse("bearer realm=x, service=y"),
            bearer("x", Some("y"))
        );
        assert_eq!(Challenge::parse(r#"Bearer realm="a\"b""#), bearer("a\"b", None));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        for odd in ["", "Bearer", "Bearer realm=\"open", "Digest realm=x"] {
            assert_eq!(Challenge::parse(odd), None, "{odd}");
        }
        let url = token_url("https://a.example/t?x=1", Some("s&t"), "a/b").unwrap();
        assert_eq!(
            url.as_str(),
            "https://a.example/t?x=1&service=s%26t&scope=repository%3Aa%2Fb%3Apull"
        );
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = Challenge::parse(&text);
            let _ = Challenge::parse(&format!("Bearer {text}"));
        }
    }
}
