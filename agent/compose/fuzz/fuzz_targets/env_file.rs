//! Env files: any bytes are refused or read within their bounds, and no name has what a name cannot have.
#![no_main]

use compose_file::{EnvFormat, MAX_SUBSTITUTED, env_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for format in [EnvFormat::Compose, EnvFormat::Raw] {
        let variables = |name: &str| name.len().is_multiple_of(2).then(|| name.to_lowercase());
        let Ok(entries) = env_file::parse(bytes, format, &variables) else {
            continue;
        };
        assert!(entries.len() <= env_file::MAX_ENV_ENTRIES);
        let mut written = 0;
        for (name, value) in entries {
            assert!((1..=255).contains(&name.len()) && !name.contains(['=', ' ', '\0', '\n']));
            written += value.as_ref().map_or(0, String::len);
            assert!(value.is_none_or(|value| !value.contains('\0')));
        }
        assert!(written <= 2 * MAX_SUBSTITUTED);
    }
});
