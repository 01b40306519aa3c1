//! `tallystick demo`: a scratch ledger with 120 days of a lead business behind it, served. Scratch, because its past is
//! made up; everything else is what a real ledger does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use super::seed::{self, DAYS, Seeded};
use super::{Failure, Outcome, failed, serve};
use crate::app::{App, InitOptions, Initialised};
use crate::decisions::{BillingError, DocumentAsked, InvoiceAsked, Run};
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

/// Records the seeded events, each day's at that day's time.
async fn record(ledger: &Arc<Ledger>, events: Vec<Seeded>) -> Outcome {
    let mut events = events.into_iter().peekable();
    while let Some(first) = events.next() {
        let mut recorded = first.recorded;
        let mut batch = vec![Received { raw: first.event.to_string().into() }];
        // An hour at a time: what the ledger learns together carries the time of the last.
        while let Some(next) = events.next_if(|next| next.recorded.micros_since(first.recorded) < 3_600_000_000) {
            recorded = next.recorded;
            batch.push(Received { raw: next.event.to_string().into() });
        }
        let options = SubmitOptions {
            actor: SERVICE,
            strict: false,
            dry_run: false,
            now: Some(recorded),
            service: false,
            closing: None,
        };
        for outcome in ledger.submit(batch, options).await.map_err(failed)? {
            if !matches!(outcome, EventOutcome::Recorded(_)) {
                return Err(Failure::Failed(format!("a demo event was not recorded: {outcome:?}")));
            }
        }
    }
    Ok(())
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
