//! Whom to ask, and how. Pure: settings and a registry's name in, an ordered list of places out. Plain http is refused for
//! hosts that are neither on this machine nor listed.

use reqwest::Url;

use super::config::RegistryConfig;
use super::error::ImageError;

/// Host of Docker Hub's API; its images are named after another one.
const HUB_API: &str = "registry-1.docker.io";

/// One place that may have an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Scheme, host and port, without a path.
    pub(crate) base: Url,
    /// Name of its credentials.
    pub(crate) host: String,
    /// Whether it is the registry of the image's name.
    pub(crate) is_origin: bool,
}

/// Places for what a digest names, in the order to ask.
pub(crate) fn sources(registry: &str, config: &RegistryConfig) -> Result<Vec<Source>, ImageError> {
    let mirrors = config
        .mirrors
        .get(registry)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut all = mirrors
        .iter()
        .map(|url| mirror(url))
        .collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() || !config.mirrors_only {
        all.push(origin(registry, config)?);
    }
    Ok(all)
}

/// Places that may say what a tag names.
pub(crate) fn tag_sources(registry: &str, config: &RegistryConfig) -> Result<Vec<Source>, ImageError> {
    if config.mirrors_answer_tags {
        return sources(registry, config);
    }
    // A mirror is not trusted to say what a name means: it could serve any image under it.
    Ok(vec![origin(registry, config)?])
}

fn origin(registry: &str, config: &RegistryConfig) -> Result<Source, ImageError> {
    let host = if registry == "docker.io" {
        HUB_API
    } else {
        registry
    };
    let scheme = if is_loopback(registry) || config.insecure.contains(registry) {
        "http"
    } else {
        "https"
    };
    let base = Url::parse(&format!("{scheme}://{host}")).map_err(|_| setting(registry))?;
    Ok(Source {
        base,
        host: registry.to_owned(),
        is_origin: true,
    })
}

fn mirror(text: &str) -> Result<Source, ImageError> {
    let base = Url::parse(text).map_err(|_| setting(text))?;
    let plain = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
    let anonymous = base.username().is_empty() && base.password().is_none();
    if !matches!(base.scheme(), "http" | "https") || !plain || !anonymous {
        return Err(setting(text));
    }
    let name = base.host_str().ok_or_else(|| setting(text))?;
    let host = base
        .port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    Ok(Source {
        base,
        host,
        is_origin: false,
    })
}

fn setting(got: &str) -> ImageError {
    // A URL of settings may have a password in front of its host.
    let got = got.rsplit_once('@').map_or(got, |(_, host)| host);
    ImageError::Setting {
        what: "registry or mirror",
        expected: "http[s]://host[:port] without user, path and query",
        got: got.chars().take(200).collect(),
    }
}

/// Whether `host[:port]` is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a URL may be asked at all, and whether a secret may be sent there.
pub(crate) fn may_have_secrets(url: &Url, config: &RegistryConfig) -> bool {
    let name = url.host_str().unwrap_or_default();
    let host = url
        .port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    url.scheme() == "https" || is_loopback(&host) || config.insecure.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(all: &[Source]) -> Vec<String> {
        all.iter().map(|source| source.base.to_string()).collect()
    }

    #[test]
    fn mirrors_come_first_and_answer_no_tags() {
        let mut config = RegistryConfig::default();
        config.mirrors.insert(
            "docker.io".to_owned(),
            vec!["http://10.0.0.1:5000".to_owned(), "https://m.example".to_owned()],
        );
        let all = sources("docker.io", &config).unwrap();
        let hub = "https://registry-1.docker.io/";
        assert_eq!(bases(&all), ["http://10.0.0.1:5000/", "https://m.example/", hub]);
        assert_eq!(bases(&tag_sources("docker.io", &config).unwrap()), [hub]);
        config.mirrors_only = true;
        assert_eq!(sources("docker.io", &config).unwrap().len(), 2);
        assert_eq!(
            bases(&sources("r.example", &config).unwrap()),
            ["https://r.example/"]
        );
    }

    #[test]
    fn plain_http_is_for_this_machine_and_listed_hosts() {
        let mut config = RegistryConfig::default();
        let scheme = |host: &str, config: &RegistryConfig| {
            sources(host, config)
                .unwrap()
                .pop()
                .unwrap()
                .base
                .scheme()
                .to_owned()
        };
        assert_eq!(scheme("localhost:5000", &config), "http");
        assert_eq!(scheme("127.0.0.1:5000", &config), "http");
        assert_eq!(scheme("localhost.evil.example", &config), "https");
        assert_eq!(scheme("10.0.0.1:5000", &config), "https");
        config.insecure.insert("10.0.0.1:5000".to_owned());
        assert_eq!(scheme("10.0.0.1:5000", &config), "http");
        assert_eq!(scheme("10.0.0.1", &config), "https");
    }

    #[test]
    fn odd_mirrors_are_refused_without_their_password() {
        for text in ["ftp://a", "http://a/path", "http://a?x", "http://u:SECRET@a", "a"] {
            let config = RegistryConfig {
                mirrors: [("r".to_owned(), vec![text.to_owned()])].into(),
                ..RegistryConfig::default()
            };
            let error = sources("r", &config).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }
}
