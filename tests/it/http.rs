//! The HTTP surface through its real router, most of it in process, the wire itself on a loopback socket.

mod access;
mod admin;
mod bad_input;
mod billing;
mod console;
mod decisions;
mod documents;
mod exports;
mod forms;
mod hostile;
mod limits;
mod lists;
mod log;
mod optimisation;
mod people;
mod privacy;
mod read;
mod routing;
mod scores;
mod settle;
mod stages;
mod wire;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use tallystick::crypto::token;
use tallystick::domain::ids::{PrincipalId, uuid_v7};
use tallystick::http::state::{AppState, Service, Settings};
use tallystick::jobs::checkpoint::Checkpoints;
use tallystick::policy::access::Role;
use tallystick::projections::Projections;
use tallystick::store::PrincipalRow;
use tower::ServiceExt;

use crate::support::{Bench, scratch};

/// A served ledger with a key of each role.
pub struct Served {
    pub bench: Bench,
    pub state: Arc<AppState>,
    pub router: Router,
    keys: Vec<(Role, String)>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts status and code of a problem.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let json = self.json();
        assert_eq!((self.status.as_u16(), json["code"].as_str()), (status, Some(code)), "{json}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(json["request_id"], self.header("x-request-id"));
        assert!(json["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{json}");
        json
    }

    /// Asserts a status and gives the body.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }
}

fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let recorder = tallystick::http::metrics::recorder().unwrap();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).unwrap();
        tallystick::http::metrics::describe();
        handle
    };
    RECORDER.get_or_init(install).clone()
}

/// Serves a scratch ledger.
pub async fn served(seed: u64) -> Served {
    served_with(seed, Settings::default()).await
}

pub async fn served_with(seed: u64, settings: Settings) -> Served {
    serve_bench(scratch(None, seed).await, settings).await
}

pub async fn serve_bench(bench: Bench, settings: Settings) -> Served {
    let ledger = &bench.ledger;
    let mut keys = Vec::new();
    for role in Role::ALL {
        let key = token::mint(&ledger.id, &ledger.random.bytes());
        let row = PrincipalRow {
            principal: PrincipalId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())),
            hash: token::hash(&ledger.secrets.pepper, &token::parse(&key).unwrap()),
            role: role.name().to_owned(),
            label: format!("{role}-key"),
            created: ledger.now(),
            revoked: None,
        };
        ledger.store().principal_insert(&row).await.unwrap();
        keys.push((role, key));
    }
    let checkpoints = Arc::new(Checkpoints::start(ledger, None).await.unwrap());
    let runner = Projections::start(Arc::clone(ledger));
    let service = Service::open(Arc::clone(ledger), runner, checkpoints).await.unwrap();
    let settings = Settings { metrics: Some(recorder()), ..settings };
    let state = AppState::new(
        vec![service],
        settings,
        tallystick::runtime::Clock::system(),
        tallystick::runtime::Randomness::System,
        bench.tasks.clone(),
    );
    let router = tallystick::http::router(Arc::clone(&state));
    Served { bench, state, router, keys }
}

impl Served {
    pub fn key(&self, role: Role) -> &str {
        self.keys.iter().find(|(known, _)| *known == role).map(|(_, key)| key.as_str()).unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    /// A request with a role's key and more headers.
    pub async fn call(
        &self,
        role: Role,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", self.key(role)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Role::Admin, "GET", path, &[], Body::empty()).await
    }

    /// Posts JSON as the recorder.
    pub async fn post(&self, event: &Value) -> Answer {
        self.post_with("/v1/events", &[], event).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.call(Role::Recorder, "POST", path, &all, body.to_string()).await
    }

    /// Posts JSON as admin.
    pub async fn manage(&self, path: &str, body: &Value) -> Answer {
        self.call(Role::Admin, "POST", path, &[("content-type", "application/json")], body.to_string()).await
    }
}
