//! Files for tests and measurements.

use std::fmt::Write;

/// A file of so many items: in groups of fifty, every tenth with sub-items' indentation, with notes, dependencies and
/// every status.
#[must_use]
pub fn sample(items: usize) -> String {
    let mut text = String::from("# TODO\n\nWhat is to be done, and what was.\n");
    for n in 1..=items {
        if n % 50 == 1 {
            let _ = write!(text, "\n## Group {} {{mission: m{}}}\n\nSome words about it.\n\n", n / 50 + 1, n / 200 + 1);
        }
        let mark = [' ', '~', 'x', 'x', '!', ' ', ' ', 'x', '-', ' '][n % 10];
        let indent = if n % 10 == 5 { "  " } else { "" };
        let after = if n % 3 == 0 { format!("; after: t{}", n - 1) } else { String::new() };
        let _ = writeln!(
            text,
            "{indent}- [{mark}] t{n}: Change what number {n} is about {{agent: worker; files: src/part{n}.rs, \
             tests/part{n}.rs; size: M{after}}}"
        );
        if n % 4 == 0 {
            let _ = writeln!(text, "{indent}  A note about item {n}.");
        }
    }
    text
}
