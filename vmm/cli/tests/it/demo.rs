//! The demo, as programs read it.

use super::kedge;
use serde_json::Value;

#[test]
fn every_step_does_what_it_should_and_says_so() {
    let state = tempfile::tempdir().unwrap();
    let output = kedge(state.path(), &["demo", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |name: &str| {
        steps
            .iter()
            .find(|step| step["step"] == name)
            .unwrap_or_else(|| panic!("{name} in {text}"))
    };
    assert!(steps.iter().all(|step| step["ok"] == true), "{text}");
    assert_eq!(find("release")["keys"], find("same-instance")["keys"]);
    assert_ne!(
        find("release")["keys"]["disk"],
        find("other-instance")["keys"]["disk"]
    );
    assert_ne!(find("release")["keys"]["app"], find("other-app")["keys"]["app"]);
    for (step, reason) in [
        ("wrong-compose", "compose_hash_not_allowed: "),
        ("unregistered-app", "app_not_registered: "),
        ("refused", "compose_hash_not_allowed: "),
    ] {
        assert!(
            find(step)["reason"].as_str().unwrap().starts_with(reason),
            "{text}"
        );
        assert!(
            find(step)["block"].is_u64() && find(step)["keys"].is_null(),
            "{text}"
        );
    }
    assert_eq!(find("foreign-platform")["facts"]["check"], "Q1");
    assert!(find("refused")["block"].as_u64() >= find("revoke")["block"].as_u64());
    assert_eq!(
        std::fs::read_dir(state.path()).unwrap().count(),
        0,
        "the demo leaves nothing behind"
    );
}
