//! Waiting for an instance, with what it does meanwhile: stages of the boot, then the app's own state and health.

use super::{control, instance::Instance, supervisor};
use crate::{
    exit::{Refused, Unreachable},
    output::Output,
};
use anyhow::Result;
use guest_files::StageState;
use serde_json::Value;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(20);

/// Waits until everything of the app runs, and is healthy where it says what that is.
///
/// # Errors
/// When the boot or the app fails, or it takes too long.
pub(super) async fn until_up(instance: &Instance, name: &str, seconds: u64, output: &Output) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut said = String::new();
    let client = control::client(instance)?;
    loop {
        // What is read after the supervisor was seen alive is of this boot; what it left when it ended is final.
        let alive = supervisor::alive(instance)?;
        let now = look(instance, &client).await?;
        if now.done {
            return Ok(());
        }
        if now.text != said {
            output.waiting(&now.text);
            said.clone_from(&now.text);
        }
        if !alive {
            let tail = anvil_tests::process::tail(&instance.log("supervisor"));
            return Err(Refused(format!("{name} did not start: {}\n{tail}", now.text)).into());
        }
        if Instant::now() > end {
            return Err(Unreachable(format!(
                "{name} is not up within {seconds} s ({}): it goes on in the background; see `kedge ps` and `kedge logs {name}`",
                now.text
            ))
            .into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct Now {
    done: bool,
    text: String,
}

async fn look(instance: &Instance, client: &reqwest::Client) -> Result<Now> {
    let busy = |text: String| Now { done: false, text };
    let paths = instance.paths();
    if let Ok(progress) = paths.read_progress()
        && (progress.state != StageState::Done || !paths.handover().exists())
    {
        if progress.state == StageState::Failed {
            return Err(Refused(format!(
                "boot stopped at {}: {}\n  what to do: {}",
                progress.stage, progress.message, progress.advice
            ))
            .into());
        }
        return Ok(busy(format!("boot: {}", progress.stage)));
    }
    let Ok(status) = control::ask(client, "/v1/status").await else {
        return Ok(busy("starting".to_owned()));
    };
    let field = |at: &str| {
        status
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match field("/app/phase").as_str() {
        "failed" => {
            let text = format!(
                "the app did not start: {}\n  what to do: {}",
                field("/app/message"),
                field("/app/advice")
            );
            let again = status.pointer("/app/again").and_then(Value::as_bool) == Some(true);
            return Err(match again {
                true => Unreachable(text).into(),
                false => Refused(text).into(),
            });
        }
        "running" => {}
        other => {
            let said = match newest(&status) {
                Some(event) => event,
                None => field("/app/message"),
            };
            return Ok(busy(format!("app: {other} {said}")));
        }
    }
    let containers = control::ask(client, "/v1/containers").await?;
    Ok(health(&containers))
}

/// What the agent did last: images come in parts, and that takes a while.
fn newest(status: &Value) -> Option<String> {
    let event = status.pointer("/events")?.as_array()?.last()?;
    let about = event.get("about").and_then(Value::as_str);
    let message = event.get("message").and_then(Value::as_str)?;
    (about == Some("container")).then(|| message.to_owned())
}

/// Healthy where there is a check, running or ended well where there is none.
fn health(containers: &Value) -> Now {
    let list = containers.get("containers").and_then(Value::as_array);
    let text = |container: &Value, name: &str| {
        container
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let waiting: Vec<String> = list
        .into_iter()
        .flatten()
        .filter(|container| {
            let (state, health) = (text(container, "state"), text(container, "health"));
            let ended = state == "exited" && container.get("exit_code").and_then(Value::as_u64) == Some(0);
            let up = state == "running" && (health.is_empty() || health == "healthy");
            !(ended || up)
        })
        .map(|container| {
            format!(
                "{} {} {}",
                text(container, "service"),
                text(container, "state"),
                text(container, "health")
            )
        })
        .collect();
    Now {
        done: waiting.is_empty(),
        text: format!("waiting for {}", waiting.join(", ")),
    }
}
