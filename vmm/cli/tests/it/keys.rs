//! Keys reach a command through a file of the owner's alone or a named variable, and are never repeated.

use super::{Down, fails, json};
use std::os::unix::fs::PermissionsExt;

#[test]
fn k4_a_key_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("net");
    let _down = Down(&state);
    json(&state, &["dev", "up"]);
    let key = folder.path().join("key");
    let image = format!("0x{}", "11".repeat(32));
    let name = key.to_str().unwrap();
    let arguments = ["os", "allow", &image, "--key-file", name];

    std::fs::write(
        &key,
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    )
    .unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = fails(&state, &arguments, 1);
    assert!(error.contains("expected mode 0600, got 0644"), "{error}");

    // The guardian's key: it may restrict, not grant.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = fails(&state, &arguments, 3);
    assert!(error.contains("OwnableUnauthorizedAccount"), "{error}");

    std::fs::write(&key, "not-a-key-but-nearly").unwrap();
    let error = fails(&state, &arguments, 1);
    assert!(!error.contains("nearly"), "{error}");

    // The key where the name of its variable belongs.
    let error = fails(
        &state,
        &["os", "allow", &image, "--key-env", "a-key-in-the-wrong-place"],
        1,
    );
    assert!(!error.contains("wrong-place"), "{error}");
}
