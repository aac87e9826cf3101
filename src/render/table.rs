//! Tables in columns, for people.

use crate::text::escaped;

/// The widest column of a page. A cell that is longer, which a start command may be, makes its own row longer and no
/// other; and more than 65535 is more than Rust's formatting takes.
pub const WIDEST: usize = 200;

/// A line for each of the `rows`, with `between` between its cells. Control characters are escaped. What is longer than
/// `widest` makes no column wide.
pub fn lines(rows: &[Vec<String>], between: &str, widest: usize) -> Vec<String> {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let lengths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        // The last may be as long as it likes.
        let is_last = column + 1 == columns;
        if is_last { 0 } else { lengths.filter(|length| *length <= widest).max().unwrap_or(0) }
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
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let long = "x".repeat(70_000);
        for (rows, expected) in [
            ([row(["A", "B", "C"]), row(["long", "", ""])], ["A     B  C".to_owned(), "long".to_owned()]),
            (
                [row(["", "", "ü\x1b[2J\n"]), row(["ü", "b", "c"])],
                ["      ü\\u{1b}[2J\\n".to_owned(), "ü  b  c".to_owned()],
            ),
            (
                [row([&long, "", &long]), row(["a", "b", "c"])],
                [format!("{long}     {long}"), "a  b  c".to_owned()],
            ),
        ] {
            assert_eq!(lines(&rows, "  ", WIDEST), expected);
        }
        assert_eq!(lines(&[], " ", WIDEST), Vec::<String>::new());
    }
}
