//! Query strings as the JSON object a POST would have carried. A repeated field that is no list, and a switch that is neither true
//! nor false, are refused.

use super::{
    SocketError,
    limits::{MAX_BODY, MAX_FIELDS},
};
use serde_json::{Map, Value};

const LISTS: [&str; 1] = ["alt_names"];
const SWITCHES: [&str; 5] = [
    "usage_ra_tls",
    "usage_server_auth",
    "usage_client_auth",
    "with_app_info",
    "random_seed",
];
const NUMBERS: [&str; 2] = ["not_before", "not_after"];

/// The fields of a query string.
pub(super) fn fields(query: &str) -> Result<Map<String, Value>, SocketError> {
    if query.len() > MAX_BODY {
        return Err(SocketError::TooLarge {
            what: "query",
            max: MAX_BODY,
        });
    }
    let mut fields = Map::new();
    for (count, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
        if count >= MAX_FIELDS {
            return Err(SocketError::TooLarge {
                what: "fields of the query",
                max: MAX_FIELDS,
            });
        }
        if LISTS.contains(&name.as_ref()) {
            let list = fields
                .entry(name.into_owned())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(Value::String(value.into_owned()));
            }
            continue;
        }
        let value = typed(&name, &value)?;
        if fields.contains_key(name.as_ref()) {
            return Err(SocketError::malformed(cut(&name), "one value", "another one"));
        }
        fields.insert(name.into_owned(), value);
    }
    Ok(fields)
}

fn typed(name: &str, value: &str) -> Result<Value, SocketError> {
    if SWITCHES.contains(&name) {
        return match value {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            other => Err(SocketError::malformed(name, "true or false", cut(other))),
        };
    }
    if NUMBERS.contains(&name) {
        let number: u64 = value
            .parse()
            .map_err(|_| SocketError::malformed(name, "a number of seconds", cut(value)))?;
        return Ok(Value::from(number));
    }
    Ok(Value::String(value.to_owned()))
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
