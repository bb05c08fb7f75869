//! QEMU's monitor (QMP): commands, their answers, and the events that say how a guest ended. QEMU connects to a socket that the runner
//! listens at. Lines are bounded and answers have a deadline.

use crate::RunnerError;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

const MAX_LINE: u64 = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(10);
/// Answers that wait to be taken.
const WAITING: usize = 16;

/// Who hears QEMU's events: name and data.
pub(crate) type OnMachineEvent = Arc<dyn Fn(&str, &Value) + Send + Sync>;

/// The monitor of a running QEMU.
#[derive(Debug)]
pub(crate) struct Monitor {
    conversation: Mutex<Conversation>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Conversation {
    writer: OwnedWriteHalf,
    answers: mpsc::Receiver<Value>,
    asked: u64,
}

impl Monitor {
    /// Begins the conversation; events go to `on_event` from now on, by name and data.
    pub(crate) async fn begin(stream: UnixStream, on_event: OnMachineEvent) -> Result<Self, RunnerError> {
        let (reader, writer) = stream.into_split();
        let (sender, answers) = mpsc::channel(WAITING);
        let listener = tokio::spawn(listen(BufReader::new(reader), sender, on_event));
        let mut conversation = Conversation {
            writer,
            answers,
            asked: 0,
        };
        let greeting = answer(&mut conversation.answers, |greeting| {
            greeting.get("QMP").is_some()
        })
        .await?;
        if greeting.pointer("/QMP/version/qemu").is_none() {
            return Err(other("a greeting", &greeting));
        }
        let monitor = Self {
            conversation: Mutex::new(conversation),
            listener: Mutex::new(Some(listener)),
        };
        monitor.ask("qmp_capabilities").await?;
        Ok(monitor)
    }

    /// Runs a command without arguments; gives what it returned.
    pub(crate) async fn ask(&self, command: &str) -> Result<Value, RunnerError> {
        let mut conversation = self.conversation.lock().await;
        let conversation = &mut *conversation;
        conversation.asked += 1;
        let id = conversation.asked;
        let line = format!("{}\n", json!({ "execute": command, "id": id }));
        let written = conversation.writer.write_all(line.as_bytes()).await;
        written.map_err(|error| RunnerError::Monitor {
            expected: "an open socket",
            actual: error.to_string(),
        })?;
        // An answer to a command whose asker gave up is not the answer to this one.
        let mine = |answer: &Value| answer.get("id").and_then(Value::as_u64) == Some(id);
        let answer = answer(&mut conversation.answers, mine).await?;
        match answer.get("return") {
            Some(value) => Ok(value.clone()),
            None => Err(other("a result", &answer)),
        }
    }

    /// Returns when QEMU has said its last event.
    pub(crate) async fn ended(&self) {
        if let Some(listener) = self.listener.lock().await.take() {
            let _ = listener.await;
        }
    }
}

/// The first answer that is wanted.
async fn answer(
    answers: &mut mpsc::Receiver<Value>,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, RunnerError> {
    let fault = |actual: &str| RunnerError::Monitor {
        expected: "an answer",
        actual: actual.to_owned(),
    };
    let next = async {
        loop {
            match answers.recv().await {
                Some(answer) if !wanted(&answer) => {}
                answer => return answer,
            }
        }
    };
    match tokio::time::timeout(DEADLINE, next).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(fault("end of stream: QEMU has ended")),
        Err(_) => Err(fault("none in time")),
    }
}

fn other(expected: &'static str, answer: &Value) -> RunnerError {
    let said = answer.pointer("/error/desc").unwrap_or(answer).to_string();
    RunnerError::Monitor {
        expected,
        actual: said.chars().take(200).collect(),
    }
}

async fn listen(
    mut reader: BufReader<OwnedReadHalf>,
    answers: mpsc::Sender<Value>,
    on_event: OnMachineEvent,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) || line.last() != Some(&b'\n') {
            return;
        }
        let Ok(message) = serde_json::from_slice::<Value>(&line) else {
            return;
        };
        match message.get("event").and_then(Value::as_str) {
            Some(name) => on_event(name, message.get("data").unwrap_or(&Value::Null)),
            // Nobody waits for more answers than there were questions.
            None => drop(answers.try_send(message)),
        }
    }
}
