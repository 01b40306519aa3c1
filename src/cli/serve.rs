//! `tallystick serve`: the HTTP API of a data directory, and the control socket for other commands.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use clap::Args;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, UnixListener};

use super::control::{Control, FILE};
use super::{Failure, Outcome, failed};
use crate::app::{App, InitOptions};
use crate::http::state::{
    AppState, CreatedLedger, LedgerFactory, LedgerFactoryError, LedgerRequest, Service, Settings,
};
use crate::ingest::Ledger;
use crate::projections::Projections;

/// What to serve.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: std::path::PathBuf,
    /// Postgres URL; without it, what the data directory says
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Address to serve on; loopback unless you say otherwise
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
}

impl Serve {
    pub async fn run(self) -> Outcome {
        let settings = [("database.url", self.database), ("server.listen", self.listen)];
        let flags: Vec<_> = settings.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let app = Arc::new(App::open(&self.data, &flags)?);
        crate::telemetry::logs(app.config.text("telemetry.format"), app.config.text("telemetry.level"));
        if app.ledger_ids()?.is_empty() {
            app.ledger_pick(None)?;
        }
        let mut services = Vec::new();
        for id in app.ledger_ids()? {
            let (ledger, checkpoints) = app.ledger_open(id).await?;
            services.push(service(ledger, checkpoints).await?);
        }
        let listener = TcpListener::bind(app.config.text("server.listen")).await.map_err(failed)?;
        serve(app, services, listener, |address| eprintln!("tallystick: serving on http://{address}")).await
    }
}

/// Takes an open ledger into service: projections run, API keys are read.
pub(super) async fn service(
    ledger: Arc<Ledger>,
    checkpoints: crate::jobs::checkpoint::Checkpoints,
) -> Result<Arc<Service>, Failure> {
    let projections = Projections::start(Arc::clone(&ledger));
    crate::jobs::items::start(&ledger, &projections);
    Service::open(ledger, projections, Arc::new(checkpoints)).await.map_err(failed)
}

/// Makes ledgers for `POST /v1/admin/ledgers`.
struct Factory(Arc<App>);

impl LedgerFactory for Factory {
    fn ledger_create(&self, request: LedgerRequest) -> BoxFuture<'_, Result<CreatedLedger, LedgerFactoryError>> {
        Box::pin(async move {
            let fail = |why: String| LedgerFactoryError::Failed(why);
            let options = InitOptions { origin: request.origin, scratch: request.scratch, begins: request.begins };
            let (ledger, made) =
                self.0.ledger_create(options).await.map_err(|error| fail(crate::app::source_text(&error)))?;
            let checkpoints =
                self.0.jobs_start(&ledger).await.map_err(|error| fail(crate::app::source_text(&error)))?;
            let service = service(ledger, checkpoints).await.map_err(|error| fail(format!("{error:?}")))?;
            Ok(CreatedLedger { service, verifier_key: made.verifier_key, admin_key: made.admin_key })
        })
    }
}

/// Serves until the process is asked to stop, then answers what was accepted, publishes a last checkpoint and closes.
pub(super) async fn serve(
    app: Arc<App>,
    services: Vec<Arc<Service>>,
    listener: TcpListener,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Outcome {
    let settings = Settings {
        log_public: app.config.switch("log.public"),
        metrics: crate::telemetry::metrics(),
        ledgers: Some(Arc::new(Factory(Arc::clone(&app)))),
        ..Settings::default()
    };
    let state = AppState::new(services, settings, app.clock.clone(), app.random.clone(), app.tasks.clone());
    let router = crate::http::router(Arc::clone(&state));
    let control = control_listener(&app, &state).await?;
    let address = listener.local_addr().map_err(failed)?;
    let stop = app.tasks.clone();
    app.tasks.spawn(async move {
        // Also ended by a stop that no signal asked for: whoever stops waits for every task.
        tokio::select! {
            () = shutdown_signal() => stop.signal_stop(),
            () = stop.stopping() => {}
        }
    });
    let commands = app.tasks.spawn(crate::http::serve(control, router.clone(), app.tasks.clone()));
    ready(address);
    let served = crate::http::serve(listener, router, app.tasks.clone()).await;
    let _commands_ended = commands.await;
    let ledgers: Vec<Arc<Ledger>> = state.services().iter().map(|service| Arc::clone(&service.ledger)).collect();
    app.close(&ledgers).await;
    let _gone = std::fs::remove_file(app.folder.join(FILE));
    served.map_err(failed)
}

/// Opens the control socket and says where it is, with a key that this run alone accepts.
async fn control_listener(app: &App, state: &Arc<AppState>) -> Result<UnixListener, Failure> {
    let run = data_encoding::HEXLOWER.encode(&app.random.bytes::<8>());
    let socket = Control::socket_path(&app.folder, &run);
    let _stale = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).map_err(failed)?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let Some(service) = state.services().into_iter().next() else {
        return Err(Failure::Failed("there is no ledger to serve".to_owned()));
    };
    let key = service.key_for_this_run(&app.random).map_err(failed)?;
    let control = Control { socket, key };
    let path = app.folder.join(FILE);
    let _stale = std::fs::remove_file(&path);
    let text = serde_json::to_vec(&control).map_err(failed)?;
    crate::config::keys::write_private(&path, &text).map_err(failed)?;
    Ok(listener)
}

async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
