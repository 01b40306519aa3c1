//! Rows of CSV (RFC 4180). Text cells that a spreadsheet would run as a formula are defused; numbers of our own are not
//! text.

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A number, a time, a code: written by this program alone.
    Plain(String),
    /// A name that somebody chose.
    Text(String),
}

impl Cell {
    /// A number.
    pub fn number(value: impl ToString) -> Cell {
        Cell::Plain(value.to_string())
    }

    /// A name, empty where there is none.
    pub fn text(value: Option<&str>) -> Cell {
        Cell::Text(value.unwrap_or_default().to_owned())
    }
}

/// A whole table: the columns' names, then the rows.
pub fn table(columns: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut out = String::with_capacity(64 * (rows.len() + 1));
    line(&mut out, columns.iter().map(|column| (*column).to_owned()));
    out.push_str("\r\n");
    for row in rows {
        self::row(&mut out, row);
        out.push_str("\r\n");
    }
    out
}

/// Writes one row, without a line break.
pub fn row(out: &mut String, cells: &[Cell]) {
    line(
        out,
        cells.iter().map(|cell| match cell {
            Cell::Plain(text) => text.clone(),
            Cell::Text(text) => defused(text),
        }),
    );
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
}

/// Spreadsheets take cells that begin so for formulas.
fn defused(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_defused_numbers_are_not() {
        for evil in ["=1+1", "+1", "-1", "@x", "\tx", "\rx"] {
            assert_eq!(defused(evil), format!("'{evil}"));
        }
        assert_eq!(defused("spring=sale"), "spring=sale");
        let mut out = String::new();
        line(&mut out, ["-12.34".to_owned(), "a,\"b\"".to_owned()].into_iter());
        assert_eq!(out, "-12.34,\"a,\"\"b\"\"\"");
        assert_eq!(table(&["a"], &[vec![Cell::Text("=1".to_owned())], vec![Cell::number(-1)]]), "a\r\n'=1\r\n-1\r\n");
    }
}
