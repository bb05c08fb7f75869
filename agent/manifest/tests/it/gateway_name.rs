//! Names under a gateway's domain.

use app_manifest::{
    AppAddress, BaseDomain, GatewayName, GatewayNameError, MAX_BASE_DOMAIN, NameId, PortMode,
};
use kms_types::{AppId, InstanceId};
use proptest::prelude::*;
use std::num::NonZeroU16;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn base() -> BaseDomain {
    "gw.example.org".parse().unwrap()
}

fn parse(label: &str) -> Result<GatewayName, GatewayNameError> {
    GatewayName::parse(&format!("{label}.gw.example.org"), &base())
}

#[test]
fn the_forms_of_dstack_are_read() {
    let forms = [
        ("", None, PortMode::Terminate, 80),
        ("s", None, PortMode::Passthrough, 443),
        ("g", None, PortMode::Http2, 80),
        ("-8090", Some(8090), PortMode::Terminate, 8090),
        ("-8443s", Some(8443), PortMode::Passthrough, 8443),
        ("-50051g", Some(50051), PortMode::Http2, 50051),
        ("-65535", Some(65535), PortMode::Terminate, 65535),
    ];
    for (suffix, port, mode, target) in forms {
        let name = parse(&format!("{ID}{suffix}")).unwrap();
        assert_eq!(
            (name.port.map(NonZeroU16::get), name.mode, name.target_port()),
            (port, mode, target),
            "{suffix}"
        );
        assert_eq!(name.to_string(), format!("{ID}{suffix}.gw.example.org"));
        assert_eq!(name.id.as_app().to_plain_hex(), ID);
        assert_eq!(name.id.as_instance().to_plain_hex(), ID);
    }
    assert_eq!(
        parse(&format!("{}-80S", ID.to_uppercase())).unwrap().to_string(),
        format!("{ID}-80s.gw.example.org")
    );
}

#[test]
fn passthrough_and_termination_at_once_are_refused() {
    for suffix in ["sg", "gs", "-443sg", "SG"] {
        assert_eq!(
            parse(&format!("{ID}{suffix}")),
            Err(GatewayNameError::BothModes),
            "{suffix}"
        );
    }
}

#[test]
fn ports_have_one_form() {
    for port in [
        "-", "-0", "-080", "-65536", "-99999", "-100000", "-s", "-+80", "--80", "- 80",
    ] {
        assert_eq!(
            parse(&format!("{ID}{port}")),
            Err(GatewayNameError::Port),
            "{port}"
        );
    }
    for suffix in ["x", "ss", "-80x", "-80-90", "_80", "-80ssg"] {
        assert_eq!(
            parse(&format!("{ID}{suffix}")),
            Err(GatewayNameError::Mode),
            "{suffix}"
        );
    }
}

#[test]
fn other_names_are_refused() {
    for label in [
        "",
        "www",
        &ID[1..],
        &format!("0x{}", &ID[2..]),
        &format!("{}g", &ID[1..]),
        &format!("{}é", &ID[1..]),
    ] {
        assert_eq!(parse(label), Err(GatewayNameError::Id), "{label}");
    }
    let other = GatewayNameError::OtherDomain { base: base() };
    for name in [
        ID.to_owned(),
        format!("{ID}.example.org"),
        format!("a.{ID}.gw.example.org"),
        format!("{ID}.gw.example.org."),
    ] {
        assert_eq!(GatewayName::parse(&name, &base()), Err(other.clone()), "{name}");
    }
    GatewayName::parse(&format!("{ID}.GW.example.ORG"), &base()).unwrap();
}

#[test]
fn base_domains_are_domain_names() {
    let longest = format!("{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63));
    for domain in ["example", "a.b-c.d0", &longest] {
        domain.parse::<BaseDomain>().unwrap();
    }
    assert_eq!(
        "EXAMPLE.org".parse::<BaseDomain>().unwrap().as_str(),
        "example.org"
    );
    let above = format!("{longest}.{}", "d".repeat(MAX_BASE_DOMAIN));
    for domain in [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a_b",
        "é",
        &"a".repeat(64),
        &above,
    ] {
        assert!(domain.parse::<BaseDomain>().is_err(), "{domain}");
    }
}

#[test]
fn address_records_name_an_id_and_a_port() {
    let address: AppAddress = format!("{ID}:443").parse().unwrap();
    assert_eq!(
        (address.port.get(), address.to_string()),
        (443, format!("{ID}:443"))
    );
    for text in [
        ID.to_owned(),
        format!("{ID}:"),
        format!("{ID}:0"),
        format!("{ID}:080"),
        format!("{ID}-443"),
        "10.0.0.1:443".to_owned(),
    ] {
        assert!(text.parse::<AppAddress>().is_err(), "{text}");
    }
}

fn names() -> impl Strategy<Value = GatewayName> {
    let modes = prop::sample::select(vec![PortMode::Terminate, PortMode::Passthrough, PortMode::Http2]);
    let ids = prop_oneof![
        any::<[u8; 20]>().prop_map(|id| NameId::from(AppId::new(id))),
        any::<[u8; 20]>().prop_map(|id| NameId::from(InstanceId::new(id))),
    ];
    let bases = "[a-z0-9]{1,8}(\\.[a-z0-9][a-z0-9-]{0,6}[a-z0-9]){0,3}";
    (ids, any::<Option<NonZeroU16>>(), modes, bases).prop_map(|(id, port, mode, base)| GatewayName {
        id,
        port,
        mode,
        base: base.parse().unwrap(),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(name in names()) {
        let text = name.to_string();
        prop_assert!(text.split('.').all(|label| label.len() <= 63) && text.len() <= 253);
        prop_assert_eq!(GatewayName::parse(&text, &name.base).unwrap(), name.clone());
        prop_assert_eq!(GatewayName::parse(&text.to_uppercase(), &name.base).unwrap(), name);
    }

    #[test]
    fn any_text_is_refused_or_has_one_form(label in "[0-9a-f]{39,41}(-[0-9]{0,6})?[sg]{0,2}|.{0,60}") {
        if let Ok(name) = parse(&label) {
            prop_assert_eq!(name.to_string(), format!("{}.gw.example.org", label.to_ascii_lowercase()));
        }
        if let Ok(address) = label.replace('-', ":").parse::<AppAddress>() {
            prop_assert_eq!(address.to_string(), label.replace('-', ":").to_ascii_lowercase());
        }
    }
}
