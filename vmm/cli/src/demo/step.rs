//! One step of the demo, and how it is shown: a table for people, one JSON object on a line for programs.

use super::fingerprint::Fingerprints;
use crate::output::{key, line, print_rows, text};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kms_types::BlockRef;
use serde_json::{Map, Value, json};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// What a step showed.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The block that decided, or that a transaction is in.
    pub(crate) block: Option<BlockRef>,
    /// Why it was refused.
    pub(crate) reason: Option<String>,
    /// The keys that came.
    pub(crate) keys: Option<Fingerprints>,
    /// Whatever else there is to see, in order.
    pub(crate) facts: Vec<(&'static str, Value)>,
    /// Figures for programs.
    pub(crate) figures: Vec<(&'static str, Value)>,
    /// Set when the step did not do what it should: what that would have been.
    pub(crate) failure: Option<String>,
}

impl Shown {
    /// Adds a fact.
    pub(crate) fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    /// Names the block.
    pub(crate) fn block(mut self, block: BlockRef) -> Self {
        self.block = Some(block);
        self
    }

    /// Holds the step to something.
    pub(crate) fn must(mut self, holds: bool, what: &str) -> Self {
        if !holds && self.failure.is_none() {
            self.failure = Some(format!("expected: {what}"));
        }
        self
    }
}

/// Prints steps.
#[derive(Debug)]
pub(crate) struct Story {
    json: bool,
    number: usize,
    begun: Instant,
    bar: ProgressBar,
    title: &'static str,
    step: &'static str,
}

impl Story {
    /// Starts at the first step.
    pub(crate) fn new(json: bool) -> Self {
        let bar = if std::io::stderr().is_terminal() && !json {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(
            ProgressStyle::with_template("   {spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self {
            json,
            number: 0,
            begun: Instant::now(),
            bar,
            title: "",
            step: "",
        }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, step: &'static str, title: &'static str) {
        self.number += 1;
        self.begun = Instant::now();
        self.step = step;
        self.title = title;
        if self.bar.is_hidden() {
            eprintln!("… {title}");
        } else {
            self.bar.set_message(title);
            self.bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// A step is over. Says whether it did what it should.
    pub(crate) fn end(&mut self, shown: &Shown) -> bool {
        self.bar.disable_steady_tick();
        self.bar.set_message("");
        if !self.bar.is_hidden() {
            self.bar.finish_and_clear();
            self.bar.reset();
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.json {
            line(self.object(shown, seconds));
        } else {
            self.print(shown, seconds);
        }
        shown.failure.is_none()
    }

    fn object(&self, shown: &Shown, seconds: f64) -> Value {
        let facts: Map<String, Value> = shown
            .facts
            .iter()
            .chain(&shown.figures)
            .map(|(name, value)| (key(name), value.clone()))
            .collect();
        json!({
            "step": self.step,
            "ok": shown.failure.is_none(),
            "block": shown.block.map(|block| block.number),
            "block_hash": shown.block.map(|block| block.hash),
            "reason": shown.reason,
            "keys": shown.keys,
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "failure": shown.failure,
            "facts": facts,
        })
    }

    fn print(&self, shown: &Shown, seconds: f64) {
        let (mark, colour) = if shown.failure.is_none() {
            ("✓", "32")
        } else {
            ("✗", "31")
        };
        let bold = |text: &str, code: &str| {
            if std::io::stdout().is_terminal() {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let number = self.number;
        let number = bold(&format!("{number:>2}"), "1");
        line(format_args!(
            "{} {number} {}  {seconds:.1} s",
            bold(mark, colour),
            bold(self.title, "1")
        ));
        let mut rows = shown.facts.clone();
        if let Some(keys) = &shown.keys {
            rows.push(("disk key", json!(keys.disk)));
            rows.push(("env key", json!(keys.env)));
            rows.push(("app key", json!(keys.app)));
            rows.push(("app CA", json!(keys.ca)));
        }
        if let Some(reason) = &shown.reason {
            rows.push(("REFUSED", json!(reason)));
        }
        if let Some(block) = shown.block {
            rows.push(("block", json!(block.to_string())));
        }
        if let Some(failure) = &shown.failure {
            rows.push(("FAILED", json!(failure)));
        }
        for (_, value) in &mut rows {
            *value = Value::String(shortened(&text(value)));
        }
        print_rows(&rows);
        line("");
    }
}

/// Hashes longer than an address, by their first and last digits; whole ones are in the JSON.
fn shortened(text: &str) -> String {
    let long =
        |word: &str| word.len() > 42 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'x');
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match (
                word.get(..10),
                word.get(word.len().saturating_sub(6)..),
                part.get(word.len()..),
            ) {
                (Some(first), Some(last), Some(rest)) if long(word) => format!("{first}…{last}{rest}"),
                _ => part.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_shortened_and_addresses_are_not() {
        let hash = format!("0x{}", "ab".repeat(32));
        let address = format!("0x{}", "12".repeat(20));
        assert_eq!(
            shortened(&format!("7 ({hash}), {address}\n{hash}")),
            format!("7 (0xabababab…ababab), {address}\n0xabababab…ababab")
        );
        assert_eq!(shortened("denied: no"), "denied: no");
    }
}
