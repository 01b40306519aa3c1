//! `tallystick journal`: the journal as text for hledger or Beancount, from the data directory, whether a server runs or not.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DataArgs, Failure, Outcome, failed};
use crate::exports::accounting::Dialect;
use crate::exports::journal_text::JournalText;

/// Whose program is to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// hledger
    Hledger,
    /// Beancount
    Beancount,
}

/// Which journal, and where to.
#[derive(Debug, Args)]
pub(super) struct Journal {
    #[command(flatten)]
    data: DataArgs,
    /// Whose program is to read it
    #[arg(long, value_enum, default_value_t = Format::Hledger)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Journal {
    pub async fn run(self) -> Outcome {
        let source = crate::app::reading(&self.data.data, &self.data.flags(), self.data.ledger).await?;
        let dialect = match self.format {
            Format::Hledger => Dialect::Hledger,
            Format::Beancount => Dialect::Beancount,
        };
        let mut journal = JournalText::begin(source.store, dialect).await.map_err(failed)?;
        let mut out: Box<dyn Write> = match &self.out {
            Some(path) => Box::new(
                std::fs::File::create(path)
                    .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?,
            ),
            None => Box::new(std::io::stdout().lock()),
        };
        while let Some(text) = journal.next().await.map_err(failed)? {
            out.write_all(text.as_bytes()).map_err(failed)?;
        }
        out.flush().map_err(failed)
    }
}
