//! A compose document is checked before it is allowed, and before anybody is asked.

use super::{fails, kedge};

#[test]
fn g5_a_document_no_guest_would_start_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app-compose.json");
    let create = ["app", "create", "--compose", file.to_str().unwrap()];
    let document = |rest: &str| {
        let head = r#"{"manifest_version":2,"name":"x","runner":"bash","bash_script":"true""#;
        std::fs::write(&file, format!("{head}{rest}}}")).unwrap();
    };
    document(r#","allowed_envs":["LD_PRELOAD"]"#);
    let error = fails(folder.path(), &create, 1);
    assert!(
        error.contains("LD_PRELOAD") && error.contains("check G5"),
        "{error}"
    );

    document(r#","name":"y""#);
    let error = fails(folder.path(), &create, 1);
    assert!(error.contains("expected the key \"name\" once"), "{error}");

    // This one is fine, so the first that fails is the network that is not there.
    document(r#","allow_envs":["A"]"#);
    fails(folder.path(), &create, 4);
    let told = String::from_utf8(kedge(folder.path(), &create).stderr).unwrap();
    assert!(
        told.contains("warning") && told.contains("\"allow_envs\" is unknown"),
        "{told}"
    );
}
