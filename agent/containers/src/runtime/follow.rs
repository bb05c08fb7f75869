//! Log lines of many containers as one stream: the past ordered by time, then what comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::error::RuntimeError;
use crate::logs::{LogLine, LogQuery, LogReader};
use crate::shell::Ops;
use crate::shell::supervisor::Told;

/// How often followed files are looked at.
const PERIOD: Duration = Duration::from_millis(200);
const AHEAD: usize = 256;

/// One line, and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// Service.
    pub service: String,
    /// Container.
    pub container: String,
    /// The line.
    pub line: LogLine,
}

type Sender = mpsc::Sender<Result<LogEntry, RuntimeError>>;

pub(super) fn stream(
    ops: Arc<Ops>,
    told: watch::Receiver<Told>,
    query: LogQuery,
) -> mpsc::Receiver<Result<LogEntry, RuntimeError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = pump(&ops, &told, &query, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

async fn pump(
    ops: &Ops,
    told: &watch::Receiver<Told>,
    query: &LogQuery,
    sender: &Sender,
) -> Result<(), RuntimeError> {
    let wanted: Vec<(String, String)> = told
        .borrow()
        .containers
        .iter()
        .filter(|one| {
            query
                .service
                .as_ref()
                .is_none_or(|service| *service == one.service)
        })
        .map(|one| (one.service.clone(), one.id.clone()))
        .collect();
    let mut readers = BTreeMap::new();
    let mut past = Vec::new();
    for (service, id) in wanted {
        let folder = ops.log_folder(&id);
        let opened = LogReader::open(&folder, query);
        let (reader, lines) = opened.map_err(RuntimeError::io(&folder, "reading a log"))?;
        past.extend(lines.into_iter().map(|line| entry(&service, &id, line)));
        readers.insert((service, id), reader);
    }
    past.sort_by_key(|entry| entry.line.time);
    for entry in past {
        if sender.send(Ok(entry)).await.is_err() {
            return Ok(());
        }
    }
    if !query.follow {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
        for ((service, id), reader) in &mut readers {
            let lines = reader
                .next_lines()
                .map_err(RuntimeError::io(ops.log_folder(id), "following a log"))?;
            for line in lines {
                if sender.send(Ok(entry(service, id, line))).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn entry(service: &str, container: &str, line: LogLine) -> LogEntry {
    LogEntry {
        service: service.to_owned(),
        container: container.to_owned(),
        line,
    }
}
