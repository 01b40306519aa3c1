//! `tallystick events post | import | tail`.

use std::collections::VecDeque;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use clap::{Args, Subcommand};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::control::{Connection, Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json};
use crate::app::App;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::create::SERVICE;
use crate::ingest::forms::Received;
use crate::ingest::{Ledger, Outcome as EventOutcome};

/// Events of one request while importing.
const IMPORT_EVENTS: usize = 1_000;
/// Requests under way at once while importing.
const IMPORT_REQUESTS: usize = 4;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// Post one event or a list of events from a file or standard input
    Post(Post),
    /// Import a file with one event a line
    Import(Import),
    /// Follow the log: one line an entry
    Tail(Tail),
}

#[derive(Debug, Args)]
pub(super) struct Post {
    /// JSON file; standard input without it
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// File with one JSON event a line
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    data: DataArgs,
    /// First position to show
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How many events ended how.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
struct Counts {
    recorded: u64,
    duplicate: u64,
    quarantined: u64,
    size: u64,
}

impl Counts {
    fn add(&mut self, outcome: &EventOutcome) -> Result<(), Failure> {
        match outcome {
            EventOutcome::Recorded(_) => self.recorded += 1,
            EventOutcome::Duplicate { .. } => self.duplicate += 1,
            EventOutcome::Quarantined { .. } | EventOutcome::DryRun { .. } => self.quarantined += 1,
            EventOutcome::Refused { code, detail } => {
                return Err(Failure::Failed(format!("refused: {code}: {detail}")));
            }
        }
        Ok(())
    }

    fn print(self, json: bool) -> Outcome {
        if json {
            return print_json(&self);
        }
        println!(
            "recorded {}, duplicate {}, quarantined {}; the log holds {} entries",
            self.recorded, self.duplicate, self.quarantined, self.size
        );
        Ok(())
    }
}

/// The ledger of a command: opened here, or in the server that has the directory.
enum Session {
    Local(Box<App>, Arc<Ledger>),
    Remote(Connection),
}

impl Session {
    async fn open(data: &DataArgs) -> Result<Session, Failure> {
        if let Some(connection) = Control::find(&data.data).await {
            return Ok(Session::Remote(connection));
        }
        let app = App::open(&data.data, &data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(data.ledger)?).await?;
        Ok(Session::Local(Box::new(app), ledger))
    }

    async fn close(self) {
        if let Session::Local(app, ledger) = self {
            app.close(&[ledger]).await;
        }
    }
}

fn options() -> SubmitOptions {
    SubmitOptions { actor: SERVICE, strict: false, dry_run: false, now: None, service: false, closing: None }
}

impl Events {
    pub async fn run(self) -> Outcome {
        match self {
            Events::Post(post) => post.run().await,
            Events::Import(import) => import.run().await,
            Events::Tail(tail) => tail.run().await,
        }
    }
}

impl Post {
    async fn run(self) -> Outcome {
        let mut body = Vec::new();
        match &self.file {
            Some(path) => body = tokio::fs::read(path).await.map_err(failed)?,
            None => {
                std::io::stdin().lock().read_to_end(&mut body).map_err(failed)?;
            }
        }
        let forms =
            crate::ingest::forms::read(&[("content-type", b"application/json")], body.into()).map_err(failed)?;
        let mut session = Session::open(&self.data).await?;
        let mut counts = Counts::default();
        let done = submit(&mut session, forms.events, &mut counts).await;
        session.close().await;
        done?;
        counts.print(self.json)
    }
}

/// Submits events and counts how they ended.
async fn submit(session: &mut Session, events: Vec<Received>, counts: &mut Counts) -> Outcome {
    match session {
        Session::Local(_, ledger) => {
            let outcomes = ledger.submit(events, options()).await.map_err(failed)?;
            outcomes.iter().try_for_each(|outcome| counts.add(outcome))?;
            counts.size = ledger.size();
        }
        Session::Remote(connection) => {
            let mut body = BytesMut::new();
            for event in &events {
                body.extend_from_slice(&event.raw);
                body.extend_from_slice(b"\n");
            }
            let answer = connection.request("POST", "/v1/events", "application/x-ndjson", body.freeze()).await?;
            if answer.status != 200 {
                return Err(Failure::Failed(problem_text(&answer)));
            }
            let value: serde_json::Value = serde_json::from_slice(&answer.body).map_err(failed)?;
            let count = |name: &str| value.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default();
            counts.recorded += count("recorded");
            counts.duplicate += count("duplicate");
            counts.quarantined += count("quarantined");
            let ledger = connection.request("GET", "/v1/admin/ledger", "application/json", Bytes::new()).await?;
            let ledger: serde_json::Value = serde_json::from_slice(&ledger.body).unwrap_or_default();
            counts.size = ledger.get("size").and_then(serde_json::Value::as_u64).unwrap_or(counts.size);
        }
    }
    Ok(())
}

impl Import {
    async fn run(self) -> Outcome {
        let file = tokio::fs::File::open(&self.file)
            .await
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", self.file.display())))?;
        let bytes = file.metadata().await.map_or(0, |found| found.len());
        let mut session = Session::open(&self.data).await?;
        let bar = super::progress::bar(bytes, "importing");
        let mut counts = Counts::default();
        let done = import(&mut session, BufReader::with_capacity(1 << 20, file), &mut counts, &bar).await;
        bar.finish_and_clear();
        session.close().await;
        done?;
        counts.print(self.json)
    }
}

async fn import(
    session: &mut Session,
    mut reader: BufReader<tokio::fs::File>,
    counts: &mut Counts,
    bar: &indicatif::ProgressBar,
) -> Outcome {
    let mut under_way = VecDeque::new();
    loop {
        let mut events = Vec::with_capacity(IMPORT_EVENTS);
        let mut ended = false;
        while events.len() < IMPORT_EVENTS && !ended {
            let mut line = Vec::new();
            ended = reader.read_until(b'\n', &mut line).await.map_err(failed)? == 0;
            bar.inc(line.len() as u64);
            let line = line.trim_ascii();
            if !line.is_empty() {
                events.push(Received { raw: Bytes::copy_from_slice(line) });
            }
        }
        match session {
            Session::Local(app, ledger) => {
                let ledger = Arc::clone(ledger);
                under_way.push_back(app.tasks.spawn(async move { ledger.submit(events, options()).await }));
                while under_way.len() > IMPORT_REQUESTS || (ended && !under_way.is_empty()) {
                    let Some(oldest) = under_way.pop_front() else { break };
                    let outcomes = oldest.await.map_err(failed)?.map_err(failed)?;
                    outcomes.iter().try_for_each(|outcome| counts.add(outcome))?;
                }
            }
            Session::Remote(_) => submit(session, events, counts).await?,
        }
        if ended {
            if let Session::Local(_, ledger) = session {
                counts.size = ledger.size();
            }
            return Ok(());
        }
    }
}

impl Tail {
    async fn run(self) -> Outcome {
        let mut session = Session::open(&self.data).await?;
        let Session::Local(_, ledger) = &session else {
            let done = self.remote(&mut session).await;
            session.close().await;
            return done;
        };
        let facts = read_all(ledger, self.from, |fact| self.line(&fact.entry)).await;
        session.close().await;
        facts
    }

    async fn remote(&self, session: &mut Session) -> Outcome {
        let Session::Remote(connection) = session else { return Ok(()) };
        let mut from = self.from;
        loop {
            let path = format!("/v1/events?after={}&limit=500", from.saturating_sub(1));
            let path = if from == 0 { "/v1/events?limit=500".to_owned() } else { path };
            let answer = connection.request("GET", &path, "application/json", Bytes::new()).await?;
            if answer.status != 200 {
                return Err(Failure::Failed(problem_text(&answer)));
            }
            let page: serde_json::Value = serde_json::from_slice(&answer.body).map_err(failed)?;
            let items = page.get("items").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
            for item in &items {
                println!("{item}");
                from = item.get("position").and_then(serde_json::Value::as_u64).map_or(from, |position| position + 1);
            }
            if items.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
        }
    }

    fn line(&self, entry: &[u8]) -> Outcome {
        let entry = crate::chain::decode::EntryRef::decode(entry).map_err(failed)?;
        if self.json {
            return print_json(&serde_json::json!({
                "position": entry.position, "type": entry.event_type, "recorded": entry.recorded,
                "event": entry.event, "subject": entry.subject.map(|link| link.subject),
            }));
        }
        let subject = entry.subject.map_or_else(|| "-".to_owned(), |link| link.subject.to_string());
        println!("{:>10}  {}  {:<28} {subject}", entry.position, entry.recorded, entry.event_type);
        Ok(())
    }
}

async fn read_all(
    ledger: &Ledger,
    from: u64,
    mut each: impl FnMut(&crate::ingest::ledger::RawFact) -> Outcome,
) -> Outcome {
    let mut next = from;
    while next < ledger.size() {
        let facts = ledger.facts(next, next + 1_000).await.map_err(failed)?;
        facts.iter().try_for_each(&mut each)?;
        next += facts.len().max(1) as u64;
    }
    Ok(())
}
