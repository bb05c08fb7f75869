//! The public page and its three gates.

use super::scene::{PATIENCE, Prepared, Program};
use serde_json::{Value, json};

fn compose(logs: bool, sysinfo: bool, tcbinfo: bool) -> Value {
    json!({"manifest_version": 2, "name": "demo", "runner": "bash",
        "bash_script": "printf '\\033[31m<script>alert(1)</script>\\n'; exec sleep 1000",
        "public_logs": logs, "public_sysinfo": sysinfo, "public_tcbinfo": tcbinfo})
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn started(compose: &Value) -> (Prepared, Program, String) {
    let port = free_port();
    let guest = Prepared::new(compose, &[])
        .set("PAGE__PORT", port)
        .set("PAGE__ADDRESS", "127.0.0.1");
    let mut agent = guest.start(&[]);
    agent.until_phase("running").await;
    agent.until_logged("app", "script").await;
    (guest, agent, format!("http://127.0.0.1:{port}"))
}

async fn get(url: String) -> (u16, reqwest::header::HeaderMap, String) {
    let answer = reqwest::get(url).await.unwrap();
    (
        answer.status().as_u16(),
        answer.headers().clone(),
        answer.text().await.unwrap(),
    )
}

#[tokio::test]
async fn an_open_app_shows_itself_and_nothing_of_it_becomes_markup() {
    let (_guest, agent, url) = started(&compose(true, true, true)).await;
    let (status, headers, page) = get(format!("{url}/")).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("&lt;b&gt;demo&lt;/b&gt;") && !page.contains("<b>"),
        "{page}"
    );
    assert!(page.contains("Compose hash") && page.contains("/logs/app") && page.contains("Memory"));
    assert!(page.contains("simulated machine"), "a simulation says so");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
    let (status, headers, log) = get(format!("{url}/logs/app?tail=5")).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert!(log.contains("<script>") && !log.contains('\u{1b}'), "{log:?}");
    assert_eq!(get(format!("{url}/logs/other")).await.0, 404);
    assert_eq!(get(format!("{url}/nothing")).await.0, 404);
    assert_eq!(get(format!("{url}/logs/app?x=1")).await.0, 400);
    assert!(
        get(format!("{url}/metrics"))
            .await
            .2
            .contains("kedge_guest_memory_bytes")
    );
    let info: Value = serde_json::from_str(&get(format!("{url}/info")).await.2).unwrap();
    assert!(info["tcb_info"]["compose_hash"].is_string());
    agent.terminate().await;
}

#[tokio::test]
async fn a_closed_app_shows_that_it_is_there_and_no_more() {
    let (_guest, agent, url) = started(&compose(false, false, false)).await;
    let (status, _, page) = get(format!("{url}/")).await;
    assert_eq!(status, 200);
    for word in ["Compose hash", "/logs/", "Memory", "Containers", "/metrics"] {
        assert!(!page.contains(word), "{word}");
    }
    for path in ["/metrics", "/logs/app", "/logs/other"] {
        let (status, _, text) = get(format!("{url}{path}")).await;
        assert_eq!(status, 403, "{path}");
        assert!(text.contains("public_"), "{text}");
    }
    let info: Value = serde_json::from_str(&get(format!("{url}/info")).await.2).unwrap();
    assert!(info.get("tcb_info").is_none() && info.get("app_compose").is_none());
    agent.terminate().await;
}

#[tokio::test]
async fn g8_idle_strangers_take_neither_the_page_nor_its_descriptors_for_good() {
    use tokio::io::AsyncReadExt;
    let (_guest, agent, url) = started(&compose(true, true, true)).await;
    let address = url.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    // One too many is closed at once, one that says nothing after a while.
    for mut stream in [idle.pop().unwrap(), idle.remove(0)] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        // A reset is an end, too.
        assert!(ended.is_ok(), "the connection stands");
    }
    let answered = async {
        while !reqwest::get(format!("{url}/info"))
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("the page answers again");
    drop(idle);
    agent.terminate().await;
}

#[tokio::test]
async fn g8_readers_of_logs_are_counted_whether_they_follow_or_not() {
    let (_guest, agent, url) = started(&compose(true, true, true)).await;
    let mut followers = Vec::new();
    for _ in 0..16 {
        let answer = reqwest::get(format!("{url}/logs/app?follow=true")).await.unwrap();
        assert_eq!(answer.status(), 200);
        followers.push(answer);
    }
    assert_eq!(get(format!("{url}/logs/app?tail=1")).await.0, 429);
    drop(followers);
    agent.terminate().await;
}
