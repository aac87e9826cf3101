//! Tables in columns, for people.

use crate::text::escaped;

/// The widest column. Beyond it, which a start command may be, it is the reader's terminal that breaks the
/// line; and more than 65535 is more than Rust's formatting takes.
const WIDEST: usize = 200;

/// A line for each of the `rows`, with `between` between its cells. Control characters are escaped.
pub fn lines<R: AsRef<[String]>>(rows: &[R], between: &str) -> Vec<String> {
    let rows: Vec<Vec<_>> =
        rows.iter().map(|row| row.as_ref().iter().map(|cell| escaped(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        // The last may be as long as it likes.
        let is_last = column + 1 == columns;
        if is_last { 0 } else { cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(WIDEST) }
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join(between).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_any_length_and_content_is_one_of_its_column() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let long = "x".repeat(70_000);
        for (rows, expected) in [
            ([row(["A", "B", "C"]), row(["long", "", ""])], ["A     B  C".to_owned(), "long".to_owned()]),
            (
                [row(["", "", "ü\x1b[2J\n"]), row(["ü", "b", "c"])],
                ["      ü\\u{1b}[2J\\n".to_owned(), "ü  b  c".to_owned()],
            ),
            (
                [row([&long, "", &long]), row(["a", "b", "c"])],
                [format!("{long}     {long}"), format!("a{}  b  c", " ".repeat(WIDEST - 1))],
            ),
        ] {
            assert_eq!(lines(&rows, "  "), expected);
        }
        assert_eq!(lines::<Vec<String>>(&[], " "), Vec::<String>::new());
    }
}
