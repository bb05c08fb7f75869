//! Tables for people.

use crate::exit::printable;
use attestation::CheckResult;
use comfy_table::{ContentArrangement, Table, presets};

/// Wide enough for a register of 48 bytes beside its name.
const WIDTH: u16 = 132;

/// A table with a head.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(head);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    table.trim_fmt()
}

/// Names and values.
pub(crate) fn list<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    for (name, value) in rows {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    table.trim_fmt()
}

/// Every check, expected and actual.
pub(crate) fn checks(checks: &[CheckResult]) -> String {
    table(
        ["check", "", "expected", "actual"],
        checks.iter().map(|check| {
            let word = if check.ok { "ok" } else { "FAILED" };
            [
                check.id.to_owned(),
                word.to_owned(),
                check.expected.clone(),
                check.actual.clone(),
            ]
        }),
    )
}
