//! Score files: comma-separated, a header, one lead a row. Errors name the row and the column, never what stands there.

use std::fs::File;
use std::path::Path;

use crate::cli::{Failure, failed};
use crate::domain::score::logistic::Rows;

/// A file's rows.
pub(super) struct Table {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn read(path: &Path) -> Result<Table, Failure> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let columns: Vec<String> = reader.headers().map_err(failed)?.iter().map(str::to_owned).collect();
        if let Some(twice) =
            columns.iter().enumerate().find(|(at, column)| columns.iter().take(*at).any(|c| c == *column))
        {
            return Err(Failure::Failed(format!("{name}: column {} stands twice in the header", twice.0 + 1)));
        }
        let rows = reader.records().map(|record| Ok(record?.iter().map(str::to_owned).collect()));
        let rows = rows.collect::<Result<Vec<Vec<String>>, csv::Error>>().map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            Failure::Failed(format!("{name}, line {line}: {}", kind(&error)))
        })?;
        Ok(Table { name, columns, rows })
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn column(&self, name: &str) -> Result<usize, Failure> {
        let found = self.columns.iter().position(|column| column == name);
        found.ok_or_else(|| Failure::Failed(format!("{}: the header has no column {name}", self.name)))
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|row| row.get(column)).map_or("", String::as_str)
    }

    fn wrong(&self, row: usize, column: &str, what: &str) -> Failure {
        // The header is line 1.
        Failure::Failed(format!("{}, line {}, column {column}: {what}", self.name, row + 2))
    }

    /// A column of finite numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, Failure> {
        let column = self.column(name)?;
        let number = |row: usize| {
            let number = self.cell(row, column).parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| self.wrong(row, name, "not a number"))
        };
        (0..self.rows.len()).map(number).collect()
    }

    /// A column of 0 and 1, or true and false.
    pub fn outcomes(&self, name: &str) -> Result<Vec<bool>, Failure> {
        let column = self.column(name)?;
        let outcome = |row: usize| match self.cell(row, column) {
            "1" | "true" | "True" => Ok(true),
            "0" | "false" | "False" => Ok(false),
            _ => Err(self.wrong(row, name, "not 0 or 1")),
        };
        (0..self.rows.len()).map(outcome).collect()
    }

    /// The rows of some columns.
    pub fn features(&self, names: &[String], outcome: &str) -> Result<Rows, Failure> {
        let columns = names.iter().map(|name| self.numbers(name)).collect::<Result<Vec<_>, _>>()?;
        let values = (0..self.rows.len()).flat_map(|row| columns.iter().filter_map(move |column| column.get(row)));
        Ok(Rows { features: names.len(), values: values.copied().collect(), outcomes: self.outcomes(outcome)? })
    }
}

/// What is wrong, without what stands in the file.
fn kind(error: &csv::Error) -> &'static str {
    match error.kind() {
        csv::ErrorKind::Io(_) => "cannot be read",
        csv::ErrorKind::UnequalLengths { .. } => "more or fewer fields than the header has",
        csv::ErrorKind::Utf8 { .. } => "not UTF-8",
        _ => "not a comma-separated row",
    }
}
