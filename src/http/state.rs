//! What handlers share: the open ledgers, and what the process gives them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::api::exports::Exports;
use super::front::OPERATOR;
use super::idempotency::Idempotency;
use super::keys::{Keys, Known};
use super::metrics::RouteMetrics;
use super::session::Sessions;
use crate::crypto::token;
use crate::decisions::{Biller, Gate, Router};
use crate::domain::ids::LedgerId;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::jobs::checkpoint::Checkpoints;
use crate::policy::access::Role;
use crate::projections::Projections;
use crate::runtime::{Clock, Randomness, Tasks};
use crate::store::StoreError;
use crate::views::matters::Matters;

/// Event streams that may be open at once: each holds a task and reads the log on its own.
const STREAMS_MAX: usize = 256;
/// How often expired sessions and remembered answers are dropped and metrics are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// One ledger and what serves it.
pub struct Service {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// Its projections.
    pub runner: Projections,
    /// Its published checkpoints.
    pub checkpoints: Arc<Checkpoints>,
    /// Its API keys.
    pub keys: Keys,
    /// Its gate of contacts.
    pub gate: Gate,
    /// Its lane of rating and billing.
    pub biller: Biller,
    /// Its lane of routing.
    pub router: Router,
    /// Exports that can be fetched.
    pub(super) exports: Exports,
    /// Rights requests and holds.
    pub(super) matters: tokio::sync::Mutex<Matters>,
}

impl Service {
    /// Takes a ledger into service: reads its API keys, and begins to read its people's histories.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn open(
        ledger: Arc<Ledger>,
        runner: Projections,
        checkpoints: Arc<Checkpoints>,
    ) -> Result<Arc<Service>, StoreError> {
        let (keys, gate, biller, router, exports, matters) = Default::default();
        let service = Service { ledger, runner, checkpoints, keys, gate, biller, router, exports, matters };
        service.keys_reload().await?;
        service.gate.remember(&service.ledger);
        Ok(Arc::new(service))
    }

    /// Makes an admin key that lives as long as this process: what `DIR/control` gives the operator's own commands.
    ///
    /// # Errors
    /// None in practice: the key is of our own making.
    pub fn key_for_this_run(&self, random: &Randomness) -> Result<String, token::TokenError> {
        let key = token::mint(&self.ledger.id, &random.bytes());
        let hash = token::hash(&self.ledger.secrets.pepper, &token::parse(&key)?);
        self.keys.keep_for_this_run(hash, Known { principal: OPERATOR, role: Role::Admin });
        Ok(key)
    }

    /// Reads the API keys again, after one was made or revoked.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn keys_reload(&self) -> Result<(), StoreError> {
        self.keys.load(&self.ledger.store(), self.ledger.clock.elapsed()).await
    }
}

/// What a new ledger is asked to be.
#[derive(Debug, Clone)]
pub struct LedgerRequest {
    /// Whether its clock is the caller's.
    pub scratch: bool,
    /// Its origin; `None` takes the default.
    pub origin: Option<String>,
    /// When its history begins, on a scratch ledger.
    pub begins: Option<Timestamp>,
}

/// A ledger just made, with what is shown once.
pub struct CreatedLedger {
    /// Serves it from now on.
    pub service: Arc<Service>,
    /// Verifier key of its checkpoints.
    pub verifier_key: String,
    /// Its first admin key; shown once.
    pub admin_key: String,
}

/// Why no ledger was made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFactoryError {
    /// What was asked for cannot be had this way; the text is for the client.
    #[error("{0}")]
    Refused(&'static str),
    /// It failed; the text is for the operator.
    #[error("ledger cannot be made: {0}")]
    Failed(String),
}

/// Makes ledgers while the service runs. `app` knows folders, keys and databases; this layer does not.
pub trait LedgerFactory: Send + Sync {
    /// Makes a ledger and everything that serves it.
    fn ledger_create(&self, request: LedgerRequest) -> BoxFuture<'_, Result<CreatedLedger, LedgerFactoryError>>;
}

/// Settings of the HTTP surface.
pub struct Settings {
    /// This program's version.
    pub version: &'static str,
    /// Whether checkpoints and hash tiles are open to all (`log.public`).
    pub log_public: bool,
    /// Whether clients reach this service by TLS, so that cookies can say so.
    pub secure_cookies: bool,
    /// How long `proof=wait` waits by default: 2 s, or 10 s with an archive.
    pub proof_wait: Duration,
    /// Renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// Makes ledgers, where that is allowed.
    pub ledgers: Option<Arc<dyn LedgerFactory>>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: env!("CARGO_PKG_VERSION"),
            log_public: true,
            secure_cookies: false,
            proof_wait: Duration::from_secs(2),
            metrics: None,
            ledgers: None,
        }
    }
}

/// Shared by all handlers.
pub struct AppState {
    services: RwLock<Vec<Arc<Service>>>,
    /// Settings.
    pub settings: Settings,
    /// The clock of the process.
    pub clock: Clock,
    /// Randomness of the process.
    pub random: Randomness,
    /// Tasks of the process.
    pub tasks: Tasks,
    pub(super) idempotency: Idempotency,
    pub(super) sessions: Sessions,
    pub(super) streams: Arc<Semaphore>,
    pub(super) routes: RouteMetrics,
    request_prefix: [u8; 8],
    request_count: AtomicU64,
}

impl AppState {
    /// The state of a process that serves these ledgers. Starts the upkeep task.
    pub fn new(
        services: Vec<Arc<Service>>,
        settings: Settings,
        clock: Clock,
        random: Randomness,
        tasks: Tasks,
    ) -> Arc<AppState> {
        let mut request_prefix = [0; 8];
        // The buffer is twice as long as the bytes, which is all that encoding asks for.
        data_encoding::HEXLOWER.encode_mut(&random.bytes::<4>(), &mut request_prefix);
        let state = Arc::new(AppState {
            services: RwLock::new(services),
            settings,
            clock,
            random,
            tasks,
            idempotency: Idempotency::default(),
            sessions: Sessions::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            routes: RouteMetrics::default(),
            request_prefix,
            request_count: AtomicU64::new(0),
        });
        let kept = Arc::downgrade(&state);
        let stop = state.tasks.clone();
        state.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.stopping() => return,
                    () = tokio::time::sleep(UPKEEP) => {}
                }
                let Some(state) = kept.upgrade() else { return };
                state.upkeep();
            }
        });
        state
    }

    fn upkeep(&self) {
        let elapsed = self.clock.elapsed();
        self.idempotency.expire(elapsed);
        self.sessions.expire(elapsed);
        if let Some(metrics) = &self.settings.metrics {
            metrics.run_upkeep();
        }
    }

    /// All ledgers in service.
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes one more ledger into service.
    pub fn service_add(&self, service: Arc<Service>) {
        self.services.write().unwrap_or_else(PoisonError::into_inner).push(service);
    }

    /// Takes a ledger out of service.
    pub fn service_remove(&self, ledger: LedgerId) {
        self.services.write().unwrap_or_else(PoisonError::into_inner).retain(|service| service.ledger.id != ledger);
    }

    /// The service of a ledger.
    pub fn service(&self, ledger: LedgerId) -> Option<Arc<Service>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.iter().find(|service| service.ledger.id == ledger).map(Arc::clone)
    }

    /// Ledgers that an API key with this short name can be for: nearly always one.
    pub(super) fn find_key(&self, text: &str, short: [u8; 4]) -> Option<(Arc<Service>, Known)> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.iter().filter(|service| token::ledger_short(&service.ledger.id) == short).find_map(|service| {
            service.keys.find(text, &service.ledger.secrets.pepper).map(|known| (Arc::clone(service), known))
        })
    }

    /// A fresh request id: 8 hex digits of this process and a counter.
    pub(super) fn request_id(&self) -> String {
        let count = self.request_count.fetch_add(1, Ordering::Relaxed);
        let mut digits = [0; 16];
        data_encoding::HEXLOWER.encode_mut(&count.to_be_bytes(), &mut digits);
        let mut id = String::with_capacity(25);
        id.extend(self.request_prefix.iter().map(|byte| char::from(*byte)));
        id.push('-');
        id.extend(digits.iter().skip(6).map(|byte| char::from(*byte)));
        id
    }
}
