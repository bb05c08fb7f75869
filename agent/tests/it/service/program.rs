//! Start, scripts, stop, kill: with the `bash` runner, which needs nothing but bash.

use super::scene::{PATIENCE, Prepared, exists, is_alive};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

const SECRET: &str = "it's a \"secret\" $(touch /nope) \\ ünïcode\nline 2";

fn bash(script: &str) -> Value {
    json!({"manifest_version": 2, "name": "demo", "runner": "bash", "bash_script": script, "allowed_envs": ["SECRET"]})
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_script_runs_with_its_environment_and_nobody_else_sees_it() {
    let guest = Prepared::new(
        &bash("printf '%s' \"$SECRET\" > got; echo out; echo err >&2; exec sleep 1000"),
        &[("SECRET", SECRET)],
    );
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    agent.until_logged("app", "err").await;
    assert_eq!(
        fs::read_to_string(guest.paths.data().join("app/got")).unwrap(),
        SECRET
    );
    let containers = agent.containers().await;
    let pid = containers[0]["pid"].as_u64().unwrap();
    assert_eq!(containers[0]["state"], "running");
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!arguments.contains("secret"));
    for name in ["status", "inspect"] {
        let (_, text) = agent.get(&format!("/v1/{name}")).await.unwrap();
        assert!(!text.contains("ünïcode"), "{name}");
    }
    for file in ["agent.sock", "script/app.env", "script/app.sh"] {
        let mode = fs::metadata(guest.paths.run().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let log = agent.terminate().await;
    assert!(!log.contains("ünïcode"));
    // A script does not outlive its agent.
    assert!(!is_alive(pid));
    assert!(!exists(&guest.paths.run().join("script/app.env")));
}

#[tokio::test]
async fn a_script_that_fails_is_started_again_and_one_that_ends_well_is_not() {
    let guest = Prepared::new(&bash("echo run >> runs; [ $(wc -l < runs) -ge 3 ]"), &[]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    let end = Instant::now() + PATIENCE;
    while agent.containers().await[0]["state"] != "exited" {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let containers = agent.containers().await;
    assert_eq!(
        (&containers[0]["restarts"], &containers[0]["exit_code"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        fs::read_to_string(guest.paths.data().join("app/runs")).unwrap(),
        "run\nrun\nrun\n"
    );
    agent.terminate().await;
}

#[tokio::test]
async fn what_a_killed_agent_left_behind_is_ended_before_the_script_starts_again() {
    let guest = Prepared::new(&bash("sleep 1000 & wait"), &[]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    let first = agent.containers().await[0]["pid"].as_u64().unwrap();
    agent.kill();
    assert!(is_alive(first));
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    until("the end of the old script", || !is_alive(first)).await;
    assert_ne!(agent.containers().await[0]["pid"].as_u64().unwrap(), first);
    agent.terminate().await;
}

#[tokio::test]
async fn a_stop_stays_until_the_app_may_start_again() {
    let guest = Prepared::new(&bash("exec sleep 1000"), &[]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    let pid = agent.containers().await[0]["pid"].as_u64().unwrap();
    assert_eq!(agent.get("/readyz").await.unwrap().0, 200);
    assert_eq!(agent.post("/v1/stop").await.0, 200);
    assert!(!is_alive(pid));
    assert_eq!(agent.get("/readyz").await.unwrap().0, 503);
    agent.terminate().await;
    let mut agent = guest.start(&[]);
    agent.until_phase("stopped").await;
    assert_eq!(agent.post("/v1/start").await.0, 200);
    agent.until_phase("running").await;
    agent.terminate().await;
}

#[tokio::test]
async fn the_pre_launch_script_comes_first_and_its_failure_is_told() {
    let mut compose = bash("cat prepared; exec sleep 1000");
    compose["pre_launch_script"] = json!("echo before; echo ready > prepared");
    let guest = Prepared::new(&compose, &[]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    agent.until_logged("app", "ready").await;
    agent.terminate().await;

    compose["pre_launch_script"] = json!("echo no; exit 3");
    let guest = Prepared::new(&compose, &[]);
    let mut agent = guest.start(&[]);
    let status = agent.until_phase("failed").await;
    let message = status["app"]["message"].as_str().unwrap();
    assert!(
        message.contains("pre_launch_script") && message.contains('3'),
        "{message}"
    );
    assert!(status["app"]["advice"].is_string());
    assert!(!exists(&guest.paths.data().join("app/prepared")));
    agent.terminate().await;

    compose["pre_launch_script"] = json!("sleep 1000");
    let guest = Prepared::new(&compose, &[]).set("SCRIPTS__PRE_LAUNCH_TIMEOUT_S", 1);
    let mut agent = guest.start(&[]);
    let status = agent.until_phase("failed").await;
    assert!(status["app"]["message"].as_str().unwrap().contains("within 1 s"));
    agent.terminate().await;
}

#[tokio::test]
async fn a_guest_that_was_not_set_up_is_refused_with_what_to_do() {
    let guest = Prepared::new(&bash("true"), &[]);
    fs::remove_file(guest.paths.handover()).unwrap();
    let output = guest.command(&[]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("handover.json") && text.contains("tdxctl setup"),
        "{text}"
    );

    let guest = Prepared::new(&bash("true"), &[]);
    fs::write(guest.paths.app_compose(), bash("false").to_string()).unwrap();
    let output = guest.command(&[]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("compose document: expected the measured hash"),
        "{text}"
    );
}

#[tokio::test]
async fn a_bad_configuration_ends_with_64() {
    let guest = Prepared::new(&bash("true"), &[]).set("PAGE__PROT", 1);
    let output = guest.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[tokio::test]
async fn the_app_socket_and_the_control_socket_answer() {
    let guest = Prepared::new(&bash("exec sleep 1000"), &[]);
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    let mut called = 0;
    for socket in [guest.paths.dstack_socket(), guest.paths.kedge_socket()] {
        let client = reqwest::Client::builder().unix_socket(socket).build().unwrap();
        called += 1;
        let info: Value = client
            .get("http://d/Info")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(info["app_id"], super::scene::APP.to_plain_hex());
        if called == 1 {
            let unknown = client.get("http://d/Nothing").send().await.unwrap();
            assert_eq!(unknown.status(), 404);
        }
    }
    let described = agent.json("/openapi.json").await;
    for (path, item) in described["paths"].as_object().unwrap() {
        let method = item.as_object().unwrap().keys().next().unwrap().clone();
        if method == "get" {
            assert_ne!(agent.get(path).await.unwrap().0, 404, "{path}");
        }
    }
    assert_eq!(agent.get("/v1/nothing").await.unwrap().0, 404);
    assert_eq!(agent.get("/v1/stop").await.unwrap().0, 405);
    assert_eq!(agent.get("/v1/logs?service=other").await.unwrap().0, 404);
    assert_eq!(agent.get("/v1/logs?tail=x").await.unwrap().0, 400);
    let figures = agent.get("/metrics").await.unwrap().1;
    for line in [
        "kedge_agent_app_running 1".to_owned(),
        format!("kedge_agent_socket_calls_total{{method=\"Info\"}} {called}"),
        format!("kedge_agent_socket_call_seconds_count{{method=\"Info\"}} {called}"),
        format!("kedge_agent_socket_call_seconds_bucket{{method=\"Info\",le=\"30\"}} {called}"),
        "kedge_agent_socket_errors_total{method=\"none\",code=\"not_found\"} 1".to_owned(),
    ] {
        assert!(figures.contains(&line), "{line}: {figures}");
    }
    agent.terminate().await;
}

#[tokio::test]
async fn a_log_is_followed_while_it_is_written() {
    let guest = Prepared::new(
        &bash("n=0; while [ ! -e end ]; do n=$((n+1)); echo line $n; sleep 0.1; done; sleep 1000"),
        &[],
    );
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    let client = reqwest::Client::builder()
        .unix_socket(guest.paths.agent_socket())
        .build()
        .unwrap();
    let mut answer = client
        .get("http://agent/v1/logs?service=app&follow=true")
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    let read = async {
        while !text.contains("line 9\"") {
            let chunk = answer.chunk().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    let numbers: Vec<_> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["text"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let expected: Vec<_> = (1..=numbers.len()).map(|n| format!("line {n}")).collect();
    assert_eq!(numbers, expected, "each once, in order");
    fs::write(guest.paths.data().join("app/end"), "").unwrap();
    agent.terminate().await;
}
