//! What commands print: for people by default, one JSON object on standard output with `--json`. Progress goes to standard
//! error, so that standard output can be piped.

use crate::connection::Effect;
use anvil_tests::{Action, Mined};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use kms_types::ChainAddress;
use serde_json::{Value, json};
use std::{cell::RefCell, fmt::Display, io::Write};

/// Where a command's results go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    transactions: RefCell<Vec<Value>>,
}

impl Output {
    /// For people, or as JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            transactions: RefCell::default(),
        }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A transaction is about to be sent.
    pub(crate) fn sending(&self, action: &Action, from: ChainAddress) {
        if !self.json {
            line(format_args!("{action}"));
            line(format_args!("  contract     {}", action.address));
            line(format_args!("  sender       {from}"));
        }
    }

    /// A transaction was mined.
    pub(crate) fn mined(&self, mined: &Mined) {
        if !self.json {
            line(format_args!("  transaction  {}", mined.transaction));
            line(format_args!("  block        {}, {} gas", mined.block, mined.gas));
        }
    }

    /// Something takes a while.
    pub(crate) fn waiting(&self, what: &str) {
        if !self.json {
            eprintln!("  … {what}");
        }
    }

    /// Something is probably not meant; on standard error in both forms of output.
    pub(crate) fn warn(&self, text: impl Display) {
        eprintln!("  warning: {text}");
    }

    /// A transaction has its effect.
    pub(crate) fn settled(&self, mined: &Mined, effect: Effect, waited: bool) {
        let note = match (effect, waited) {
            (Effect::Grant, true) => "final: in force",
            (Effect::Grant, false) => "in force once final",
            (Effect::Restriction, _) => "in force at once",
        };
        if !self.json {
            line(format_args!("  {note}"));
        }
        self.transactions.borrow_mut().push(json!({
            "contract": mined.action.contract,
            "address": mined.action.address,
            "function": mined.action.function,
            "arguments": mined.action.arguments,
            "transaction": mined.transaction,
            "block": mined.block,
            "gas": mined.gas,
            "final": waited,
        }));
    }

    /// A line of progress or explanation, for people alone.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            line(text.as_ref());
        }
    }

    /// The result: rows of name and value; in JSON an object with the transactions in it.
    pub(crate) fn result(&self, title: &str, rows: &[(&str, Value)]) {
        if self.json {
            let mut object: serde_json::Map<String, Value> = rows
                .iter()
                .map(|(name, value)| (key(name), value.clone()))
                .collect();
            object.insert("ok".to_owned(), true.into());
            let sent = self.transactions.borrow();
            if !sent.is_empty() {
                object.insert("transactions".to_owned(), sent.clone().into());
            }
            line(Value::Object(object));
            return;
        }
        if !title.is_empty() {
            line(format_args!("{title}"));
        }
        print_rows(rows);
    }
}

/// A row's name as a JSON key.
pub(crate) fn key(name: &str) -> String {
    name.to_ascii_lowercase().replace([' ', '-'], "_")
}

/// A line on standard output. A reader that went away must not stop a command halfway through its work.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Two columns, wrapped to the terminal.
pub(crate) fn print_rows(rows: &[(&str, Value)]) {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in rows {
        table.add_row([format!("  {name}"), text(value)]);
    }
    if !rows.is_empty() {
        for row in table.to_string().lines() {
            line(row.trim_end());
        }
    }
}

/// A value as a person reads it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", text(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Number(number) => number.to_string(),
    }
}
