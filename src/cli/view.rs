//! Tables and single tasks for people.

use std::{fmt::Write, time::Duration};

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets::NOTHING};

use super::{
    context::Out,
    json::{TaskRow, TotalsRow},
};

/// How a state is shown.
#[must_use]
pub fn symbol(state: &str) -> (&'static str, Option<Color>) {
    match state {
        "pending" => ("○ pending", None),
        "running" => ("● running", Some(Color::Cyan)),
        "paused" => ("‖ paused", Some(Color::Yellow)),
        "complete" => ("✓ complete", Some(Color::Green)),
        "failed" => ("✗ failed", Some(Color::Red)),
        _ => ("⊗ cancelled", Some(Color::Yellow)),
    }
}

/// A time in words: two units at most.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, 0) => format!("{minutes}m"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, 0, _) => format!("{hours}h"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, 0, ..) => format!("{days}d"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}

/// A text of one line that steers no terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain = crate::queue::log::plain(&text.replace(['\n', '\r'], " "));
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tasks as a table that fits the terminal: one line each.
#[must_use]
pub fn tasks(rows: &[TaskRow], out: Out) -> String {
    let lines = rows.iter().map(|row| {
        let (state, color) = symbol(row.state);
        let again = if row.retry_of.is_some() || row.attempt > 1 { "↻ " } else { "" };
        let what = match &row.reason {
            Some(reason) => format!("{}: {}", one_line(&row.title), one_line(reason)),
            None => one_line(&row.title),
        };
        let cells = [
            row.short_id.clone(),
            state.to_owned(),
            row.agent.clone(),
            time(row),
            attempts(row),
            format!("{again}{what}"),
        ];
        (cells, color)
    });
    table(["ID", "STATE", "AGENT", "TIME", "TRY", "TASK"], lines.collect(), out)
}

/// How long it takes, of how long it may; how long ago it ended is not told.
fn time(row: &TaskRow) -> String {
    let limit = duration(Duration::from_secs(row.timeout_seconds));
    match row.elapsed_seconds {
        Some(elapsed) => format!("{} / {limit}", duration(Duration::from_secs(elapsed))),
        None => String::new(),
    }
}

fn attempts(row: &TaskRow) -> String {
    if row.max_attempts > 1 { format!("{}/{}", row.attempt, row.max_attempts) } else { String::new() }
}

/// A table whose last column takes what is left of the width.
#[must_use]
pub fn table<const N: usize>(head: [&str; N], rows: Vec<([String; N], Option<Color>)>, out: Out) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).force_no_tty();
    if out.color {
        table.enforce_styling();
    }
    if let Some(width) = out.width {
        table.set_width(width.max(20));
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    let one = |cells: Vec<Cell>| {
        let mut row = Row::from(cells);
        row.max_height(1);
        row
    };
    let dim = |cell: Cell| if out.color { cell.fg(Color::DarkGrey) } else { cell };
    table.set_header(one(head.iter().map(|name| dim(Cell::new(name))).collect()));
    // Columns that hold nothing are left out.
    let mut longest = head.map(|_| 0);
    for (cells, color) in rows {
        for (longest, cell) in longest.iter_mut().zip(&cells) {
            *longest = cell.len().max(*longest);
        }
        let cells = cells.into_iter().enumerate().map(|(at, cell)| match color {
            Some(color) if out.color && at == 1 => Cell::new(cell).fg(color),
            _ => Cell::new(cell),
        });
        table.add_row(one(cells.collect()));
    }
    for (at, longest) in longest.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, if at + 1 == N { 0 } else { 2 }));
            if *longest == 0 {
                column.set_constraint(ColumnConstraint::Hidden);
            } else if at + 1 < N {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                    u16::try_from((*longest).min(12)).unwrap_or(12) + 2,
                )));
            }
        }
    }
    table.trim_fmt()
}

/// One task with all that is known of it.
#[must_use]
pub fn task(row: &TaskRow, prompt: &str, log: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {}", crate::queue::log::plain(value));
    };
    line("id", &row.id);
    line("state", symbol(row.state).0);
    if let Some(reason) = &row.reason {
        line("reason", &one_line(reason));
    }
    line("agent", &row.agent);
    line("title", &row.title);
    line("directory", &row.directory);
    line("priority", row.priority);
    line("attempt", &format!("{} of {}", row.attempt, row.max_attempts));
    line("limit", &duration(Duration::from_secs(row.timeout_seconds)));
    if let Some(elapsed) = row.elapsed_seconds {
        line("runs for", &duration(Duration::from_secs(elapsed)));
    }
    if let Some(pid) = row.pid {
        line("process", &pid.to_string());
    }
    if !row.after.is_empty() {
        line("after", &row.after.join(", "));
    }
    if let Some(of) = &row.retry_of {
        line("repeats", of);
    }
    line("created", &row.created_at);
    if let Some(ended) = &row.ended_at {
        line("ended", ended);
    }
    if row.queued {
        line("log", log);
    }
    let _ = write!(text, "\n{}", prompt.trim_end());
    text
}

/// How many tasks there are, in one line.
#[must_use]
pub fn totals(totals: TotalsRow) -> String {
    let parts = [
        (totals.running, "running"),
        (totals.paused, "paused"),
        (totals.pending, "pending"),
        (totals.complete, "complete"),
        (totals.failed, "failed"),
        (totals.cancelled, "cancelled"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    if parts.is_empty() { "no tasks".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units() {
        for (seconds, words) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3_600, "1h"),
            (3_661, "1h 1m"),
            (90_000, "1d 1h"),
            (172_800, "2d"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_table_fits_and_steers_no_terminal() {
        let out = Out { json: false, color: false, width: Some(40) };
        let cells =
            ["ab12".to_owned(), "○ pending".to_owned(), one_line("a very \u{1b}[2Jlong\ntitle that goes on and on")];
        let text = table(["ID", "STATE", "TASK"], vec![(cells, None)], out);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.contains("ab12") && text.contains("a very long") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
