//! `tallystick demo`: a scratch ledger with 120 days of a lead business behind it, served. Scratch, because its past is
//! made up; everything else is what a real ledger does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::seed::{self, DAYS, Seeded};
use super::{Failure, Outcome, failed, serve};
use crate::app::{App, InitOptions, Initialised};
use crate::decisions::{BillingError, ContactQuestion, DocumentAsked, Gate, InvoiceAsked, Run};
use crate::domain::time::{Timestamp, day_text};
use crate::http::state::Service;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::create::SERVICE;
use crate::ingest::forms::Received;
use crate::ingest::{Ledger, Outcome as EventOutcome};
use crate::policy::pricing::Period;

/// How to show it.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Folder to make the demo in; a new one under the system's temporary folder without it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to serve on; a free port of 127.0.0.1 when the usual one is taken
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Stop after this many seconds instead of at Ctrl-C
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

impl Demo {
    pub async fn run(self) -> Outcome {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => {
                let name = data_encoding::HEXLOWER.encode(&crate::runtime::Randomness::System.bytes::<4>());
                crate::config::temporary_folder().join(format!("tallystick-demo-{name}"))
            }
        };
        let archive = folder.with_extension("archive");
        let now = crate::runtime::Clock::system().now();
        let begins = now.checked_add_days(-DAYS - 1).unwrap_or(now);
        let flags = [("archive.url", archive.display().to_string())];
        let options = InitOptions { scratch: true, begins: Some(begins), ..InitOptions::default() };
        let (app, ledger, made) = App::init(&folder, &flags, options).await?;
        let app = Arc::new(app);
        crate::telemetry::logs("text", "warn");
        let events = seed::events(now);
        println!("Recording {} events of the last {DAYS} days ...", events.len());
        record(&ledger, events).await?;
        let checkpoints = app.jobs_start(&ledger).await?;
        let service = serve::service(ledger, checkpoints).await?;
        let wait = Duration::from_secs(30);
        service.runner.wait_for(service.ledger.size() - 1, wait).await.map_err(failed)?;
        bill(&service, now).await?;
        service.runner.wait_for(service.ledger.size() - 1, wait).await.map_err(failed)?;
        service.checkpoints.wait_for(service.ledger.size(), wait).await;
        let listener = self.listener().await?;
        if let Some(seconds) = self.seconds {
            let tasks = app.tasks.clone();
            app.tasks.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(seconds)) => tasks.signal_stop(),
                    () = tasks.stopping() => {}
                }
            });
        }
        let size = service.ledger.size();
        serve::serve(Arc::clone(&app), vec![service], listener, |address| {
            print(&made, &folder.display().to_string(), &archive.display().to_string(), size, address);
        })
        .await
    }

    async fn listener(&self) -> Result<TcpListener, Failure> {
        if let Some(address) = &self.listen {
            return TcpListener::bind(address).await.map_err(failed);
        }
        match TcpListener::bind("127.0.0.1:8480").await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind("127.0.0.1:0").await.map_err(failed),
        }
    }
}

/// One contact of so many is made without asking the gate: a finding, so that there is something to find.
const UNASKED: u64 = 20;
/// What the ledger learns together carries the time of the last: an hour at most.
const TOGETHER_MICROS: i64 = 3_600_000_000;

/// Records the seeded events, each at its own time. Before a contact the gate is asked, as an automation would; one that it refuses is not made, and
/// costs nothing.
async fn record(ledger: &Arc<Ledger>, events: Vec<Seeded>) -> Outcome {
    let gate = Gate::default();
    let mut batch: Vec<Received> = Vec::new();
    let (mut first, mut last) = (Timestamp::MIN, Timestamp::MIN);
    let mut unsent: BTreeSet<String> = BTreeSet::new();
    let mut contacts = 0;
    for Seeded { recorded, mut event } in events {
        let message = event.pointer("/data/message").and_then(Value::as_str).map(str::to_owned);
        let is_contact = event.get("type").and_then(Value::as_str) == Some("contact.attempted");
        contacts += u64::from(is_contact);
        if is_contact && contacts % UNASKED != 0 {
            submit(ledger, &mut batch, last).await?;
            last = last.max(recorded);
            let Some(decision) = allowed(ledger, &gate, &event, last).await? else {
                unsent.extend(message);
                continue;
            };
            if let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) {
                data.insert("decision".to_owned(), json!(decision));
            }
            if let Some(event) = event.as_object_mut() {
                event.insert("time".to_owned(), json!(last));
            }
        }
        if message.is_some_and(|message| unsent.contains(&message)) {
            continue;
        }
        if recorded.micros_since(first) >= TOGETHER_MICROS {
            submit(ledger, &mut batch, last).await?;
        }
        if batch.is_empty() {
            first = recorded;
        }
        last = last.max(recorded);
        batch.push(Received { raw: event.to_string().into() });
    }
    submit(ledger, &mut batch, last).await
}

async fn submit(ledger: &Arc<Ledger>, batch: &mut Vec<Received>, recorded: Timestamp) -> Outcome {
    if batch.is_empty() {
        return Ok(());
    }
    let now = Some(recorded);
    let options = SubmitOptions { actor: SERVICE, strict: false, dry_run: false, now, service: false, closing: None };
    for outcome in ledger.submit(std::mem::take(batch), options).await.map_err(failed)? {
        if !matches!(outcome, EventOutcome::Recorded(_)) {
            return Err(Failure::Failed(format!("a demo event was not recorded: {outcome:?}")));
        }
    }
    Ok(())
}

/// Asks the gate about a contact; the decision's id if it may be made.
async fn allowed(ledger: &Ledger, gate: &Gate, event: &Value, now: Timestamp) -> Result<Option<String>, Failure> {
    let of = |name: &str| event.pointer(&format!("/data/{name}"));
    let question = json!({
        "recipient": { "ref": event.get("subject"), "source": event.get("source"), "phone": of("phone") },
        "contact": {
            "channel": of("channel"), "technology": of("technology"), "purpose": of("purpose"), "seller": of("seller"),
            "topic": of("topic"), "campaign": of("campaign"), "caller_id": of("from"),
        },
    });
    let question: ContactQuestion = serde_json::from_value(question).map_err(failed)?;
    let decided = gate.decide(ledger, &question, SERVICE, Some(now)).await.map_err(failed)?;
    Ok(decided.answer.allow.then_some(decided.decision))
}

/// Puts a contract in force, prices what it is about, and bills each seller for the last whole month.
async fn bill(service: &Service, now: Timestamp) -> Outcome {
    let run = Run {
        ledger: &service.ledger,
        rows: &service.runner,
        gate: &service.gate,
        actor: SERVICE,
        now: Some(service.ledger.now().max(now)),
    };
    service.biller.activate(run, &seed::contract(now)).await.map_err(failed)?;
    service.biller.rate(run).await.map_err(failed)?;
    let this_month = Period::Month.begins(now.unix_days());
    let (day_from, day_to) = (Period::Month.begins(this_month - 1), this_month - 1);
    for seller in seed::SELLERS {
        let month: String = day_text(day_to).chars().take(7).collect();
        let number = format!("{month}-{seller}");
        let invoice = InvoiceAsked { day_from, due: Some(day_to + 15) };
        let mut asked =
            DocumentAsked { number, seller: seller.to_owned(), currency: None, day_to, invoice: Some(invoice) };
        service.biller.document(run, &asked, false).await.map_err(failed)?;
        asked.number.push_str("-credit");
        asked.invoice = None;
        match service.biller.document(run, &asked, false).await {
            Ok(_) | Err(BillingError::Nothing) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn print(made: &Initialised, folder: &str, archive: &str, size: u64, address: std::net::SocketAddr) {
    let key = &made.admin_key;
    println!();
    println!("Tallystick demo: {size} entries, chained, sealed, signed.");
    println!();
    println!("  console        http://{address}/");
    println!("  API reference  http://{address}/docs");
    println!("  checkpoint     http://{address}/log/{}/checkpoint", made.ledger);
    println!("  data           {folder}");
    println!("  archive        {archive}");
    println!("  verifier key   {}", made.verifier_key);
    println!("  admin key      {key}   (shown this once)");
    println!();
    println!("Next, in another terminal:");
    println!();
    println!("  curl -s -H 'Authorization: Bearer {key}' 'http://{address}/v1/views/roi?by=campaign'");
    println!();
    println!("  {} verify --data {folder}", crate::config::program());
    println!();
    println!(
        "  {program} export --data {folder} --profile audit --subject lead-10001 --out bundle.zip && {program} verify bundle.zip --verifier-key '{}'",
        made.verifier_key,
        program = crate::config::program()
    );
    println!();
    println!("Ctrl-C stops it.");
}
