//! Gateway names and address records: any text is refused or read, and has one form in lower case.
#![no_main]

use app_manifest::{AppAddress, BaseDomain, EnvName, GatewayName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(base) = text.parse::<BaseDomain>() {
        assert_eq!(base.as_str(), text.to_ascii_lowercase());
    }
    let base = "gw.example.org".parse().expect("a domain");
    for name in [text.to_owned(), format!("{text}.gw.example.org")] {
        if let Ok(read) = GatewayName::parse(&name, &base) {
            assert_eq!(read.to_string(), name.to_ascii_lowercase());
            assert_eq!(GatewayName::parse(&read.to_string(), &base), Ok(read));
        }
    }
    if let Ok(address) = text.parse::<AppAddress>() {
        assert_eq!(address.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(name) = text.parse::<EnvName>() {
        assert!(name.as_str() == text && text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()));
    }
});
