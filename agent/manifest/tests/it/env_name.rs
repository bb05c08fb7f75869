//! Names an environment may have.

use app_manifest::{EnvName, EnvNameError, MAX_ENV_NAME};
use proptest::prelude::*;

fn parse(name: &str) -> Result<EnvName, EnvNameError> {
    name.parse()
}

#[test]
fn g5_names_that_steer_a_loader_or_a_tool_are_refused() {
    let steering = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GLIBC_TUNABLES",
        "PATH",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "IFS",
        "PROMPT_COMMAND",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "CONTAINERD_ADDRESS",
        "COMPOSE_FILE",
        "COMPOSE_PROJECT_NAME",
        "NERDCTL_TOML",
        "CNI_PATH",
        "BUILDKIT_HOST",
        "GIT_SSH_COMMAND",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PERL5OPT",
        "RUBYOPT",
        "NODE_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "HOME",
        "XDG_RUNTIME_DIR",
        "OPENSSL_CONF",
        "SSL_CERT_FILE",
        "SSLKEYLOGFILE",
        "NOTIFY_SOCKET",
        "GCONV_PATH",
        "HOSTALIASES",
    ];
    for name in steering {
        let error = parse(name).unwrap_err();
        assert!(
            matches!(&error, EnvNameError::Steering { name: refused, .. } if refused == name),
            "{error}"
        );
        assert!(error.to_string().contains("check G5"));
    }
}

#[test]
fn g5_names_outside_the_grammar_are_refused() {
    assert_eq!(parse(""), Err(EnvNameError::Length { actual: 0 }));
    assert_eq!(parse(&"A".repeat(256)), Err(EnvNameError::Length { actual: 256 }));
    assert_eq!(parse("1A"), Err(EnvNameError::Character { at: 0, byte: b'1' }));
    assert_eq!(parse("A=B"), Err(EnvNameError::Character { at: 1, byte: b'=' }));
    for name in ["A B", "A\n", "A\0", "É", "BASH_FUNC_x%%", "A.B", "-A"] {
        assert!(
            matches!(parse(name), Err(EnvNameError::Character { .. })),
            "{name:?}"
        );
    }
}

#[test]
fn names_an_app_needs_are_accepted() {
    let fine = [
        "A",
        "_",
        "_x9",
        "DATABASE_URL",
        "API_KEY",
        "DSTACK_DOCKER_USERNAME",
        "HTTP_PROXY",
        "https_proxy",
        "NO_PROXY",
        "PATHS",
        "MY_PATH",
        "ENVIRONMENT",
        "LDAP_URL",
        "path",
        "GITHUB_TOKEN",
        "DOCKERHUB_TOKEN",
        "HOMEPAGE",
    ];
    for name in fine {
        assert_eq!(parse(name).unwrap().as_str(), name);
    }
    parse(&"A".repeat(MAX_ENV_NAME)).unwrap();
}

proptest! {
    #[test]
    fn g5_what_is_accepted_fits_the_grammar(name in "[A-Za-z0-9_=.-]{0,12}|.{0,8}|(LD|DOCKER|BASH)_[A-Z]{0,6}") {
        if let Ok(accepted) = parse(&name) {
            let mut bytes = accepted.as_str().bytes();
            prop_assert!(bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic()));
            prop_assert!(bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric()));
            prop_assert!(!["LD_", "DOCKER_", "BASH_"].iter().any(|prefix| name.starts_with(prefix)));
            prop_assert_eq!(accepted.to_string(), name);
        }
    }
}
