//! Lies below JSON-RPC: stalls, statuses, bodies that are cut, endless or not JSON, ids and results that do not belong.

use crate::Lie;
use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};

/// Pause between two bytes of an answer that trickles.
const PAUSE: Duration = Duration::from_millis(20);
/// How deep nested JSON is.
const DEPTH: usize = 100_000;
/// Piece of a body that never ends.
const PIECE: usize = 64 * 1024;

/// The whole response, where the lie needs nothing from upstream.
pub(crate) async fn instead(lie: &Lie) -> Option<Response> {
    Some(match lie {
        Lie::Stall => std::future::pending().await,
        Lie::StallAfterHeaders => {
            let one = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"[")) });
            Body::from_stream(stream_without_end(one)).into_response()
        }
        Lie::Status(code) => StatusCode::from_u16(*code)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Lie::Redirect => (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, "http://127.0.0.1:1/")],
        )
            .into_response(),
        Lie::Oversized => {
            let start = stream::once(async { Bytes::from_static(b"[\"") });
            let rest = stream::repeat(Bytes::from(vec![b'a'; PIECE]));
            let endless = futures_util::StreamExt::chain(start, rest);
            Body::from_stream(futures_util::StreamExt::map(endless, Ok::<_, Infallible>)).into_response()
        }
        Lie::DeeplyNested => "[".repeat(DEPTH).into_response(),
        Lie::DeepResult => {
            let (open, close) = ("[".repeat(DEPTH / 5), "]".repeat(DEPTH / 5));
            format!("[{{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{open}{close}}}]").into_response()
        }
        Lie::Garbage => b"\xff\x00{".to_vec().into_response(),
        Lie::Empty => Body::empty().into_response(),
        Lie::Null => "null".into_response(),
        Lie::NoAnswers => "[]".into_response(),
        _ => return None,
    })
}

fn stream_without_end(
    first: impl Stream<Item = Result<Bytes, Infallible>> + Send,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    futures_util::StreamExt::chain(first, stream::pending())
}

/// Lies about the list of answers as such.
pub(crate) fn garble(lie: &Lie, answers: &mut [Value]) {
    match lie {
        Lie::OtherIds => {
            for answer in answers {
                put(answer, "id", json!(u64::MAX));
            }
        }
        Lie::AnswersExchanged => {
            let results: Vec<Value> = answers
                .iter()
                .rev()
                .map(|answer| answer.get("result").cloned().unwrap_or_default())
                .collect();
            for (answer, result) in answers.iter_mut().zip(results) {
                put(answer, "result", result);
            }
        }
        Lie::NullResults => answers
            .iter_mut()
            .for_each(|answer| put(answer, "result", Value::Null)),
        Lie::RpcErrors => {
            for answer in answers {
                let id = answer.get("id").cloned().unwrap_or_default();
                let error = json!({"code": -32005, "message": "limit exceeded\u{7}\n for key abc"});
                *answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
            }
        }
        Lie::HugeNumbers => {
            for answer in answers {
                if let Some(result) = answer.get_mut("result") {
                    enlarge(result);
                }
            }
        }
        _ => {}
    }
}

fn put(answer: &mut Value, field: &str, value: Value) {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// Every quantity becomes one of 320 bits.
fn enlarge(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("0x") && text.len() < 20 => {
            *text = format!("0x{}", "f".repeat(80))
        }
        Value::Array(items) => items.iter_mut().for_each(enlarge),
        Value::Object(fields) => fields.values_mut().for_each(enlarge),
        _ => {}
    }
}

/// Sends the answer, whole or not.
pub(crate) fn deliver(lie: &Lie, mut body: Vec<u8>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match lie {
        Lie::Truncated => {
            body.truncate(body.len() / 2);
            (json, body).into_response()
        }
        Lie::Trickle => {
            let bytes = stream::unfold(body.into_iter(), |mut rest| async move {
                let byte = rest.next()?;
                tokio::time::sleep(PAUSE).await;
                Some((Ok::<_, Infallible>(Bytes::from(vec![byte])), rest))
            });
            (json, Body::from_stream(bytes)).into_response()
        }
        _ => (json, body).into_response(),
    }
}
