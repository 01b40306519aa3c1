//! The HTTP surface: one router over the open ledgers.
//!
//! Promises: every request passes the front (id, key, access table, counting) before a handler sees it; every refusal is
//! a problem document of one form; what is documented at `/openapi.json` is what the router serves. Handlers never hold a
//! transaction and never wait without a bound.

pub mod api;
pub mod codes;
mod console;
pub mod csv;
pub mod error;
pub mod front;
pub mod idempotency;
pub mod keys;
pub mod metrics;
pub mod paging;
pub mod request;
pub mod routes;
mod serve;
pub mod session;
pub mod state;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use serve::{Socket, serve};

use api::{
    attribution, billing, billing_documents, billing_items, compliance, decisions, events_post, events_read, exports,
    health, holds, journal, keys as keys_api, leads, ledgers, lists, log, merge, optimisation, privacy_acts,
    privacy_requests, proofs, quarantine, retention, routing, schemas, scores, stages, stream, subjects, views,
};
use error::Problem;
use front::{Front, front};
use state::AppState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tallystick",
        description = "An event-sourced compliance and revenue ledger: every dollar traced to a consent you can prove.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "events", description = "The way in, and reading the log"),
        (name = "log", description = "The transparency log, in public formats"),
        (name = "subjects", description = "People, by pseudonym"),
        (name = "decisions", description = "May this person be contacted now? Recorded before it is answered"),
        (name = "quarantine", description = "What could not be recorded, until a person settles it"),
        (name = "views", description = "Questions over everybody, without personal data"),
        (name = "exports", description = "Bundles that a stranger verifies offline"),
        (name = "privacy", description = "Rights requests, holds, erasure and retention"),
        (name = "admin", description = "Keys, ledgers, event types"),
        (name = "operations", description = "For operators and their machines")
    )
)]
struct Description;

fn described() -> (Router<Arc<AppState>>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(events_post::events_post, events_post::events_options, events_read::events_list))
        .routes(routes!(stream::events_stream))
        .routes(routes!(events_read::event_read))
        .routes(routes!(proofs::event_proof))
        .routes(routes!(proofs::consistency))
        .routes(routes!(log::checkpoint))
        .routes(routes!(subjects::subject_search))
        .routes(routes!(subjects::subject_read))
        .routes(routes!(subjects::subject_timeline))
        .routes(routes!(merge::subject_merge))
        .routes(routes!(merge::subject_unmerge))
        .routes(routes!(views::subject_consent))
        .routes(routes!(decisions::decision_contact))
        .routes(routes!(routing::decision_route))
        .routes(routes!(routing::routing_plan_read, routing::routing_plan_activate))
        .routes(routes!(routing::view_routing))
        .routes(routes!(scores::scores_assign))
        .routes(routes!(scores::score_replay))
        .routes(routes!(scores::scoring_card_read, scores::scoring_card_activate))
        .routes(routes!(scores::scoring_models_read, scores::scoring_model_activate))
        .routes(routes!(scores::scoring_model_retire))
        .routes(routes!(billing::billing_contract_read, billing::billing_contract_activate))
        .routes(routes!(billing::billing_rate))
        .routes(routes!(billing::billing_invoice))
        .routes(routes!(billing::billing_credit_note))
        .routes(routes!(billing_documents::billing_documents))
        .routes(routes!(billing_documents::billing_document))
        .routes(routes!(billing_items::billing_line))
        .routes(routes!(billing_items::billing_commissions))
        .routes(routes!(billing_items::billing_item))
        .routes(routes!(billing_items::billing_item_replay))
        .routes(routes!(billing::view_billing))
        .routes(routes!(stages::view_funnel))
        .routes(routes!(stages::view_metrics))
        .routes(routes!(stages::view_cohorts))
        .routes(routes!(scores::view_scores))
        .routes(routes!(decisions::decision_read))
        .routes(routes!(decisions::decision_replay))
        .routes(routes!(lists::lists_read, lists::list_import))
        .routes(routes!(views::view_roi))
        .routes(routes!(views::view_roi_moves))
        .routes(routes!(leads::view_roi_compliant))
        .routes(routes!(leads::view_leads))
        .routes(routes!(attribution::view_attribution))
        .routes(routes!(journal::view_journal))
        .routes(routes!(optimisation::view_optimisation))
        .routes(routes!(optimisation::suggestion_record))
        .routes(routes!(views::view_health))
        .routes(routes!(compliance::view_consent))
        .routes(routes!(views::quarantine_list))
        .routes(routes!(quarantine::quarantine_read))
        .routes(routes!(quarantine::quarantine_replay))
        .routes(routes!(quarantine::quarantine_fix))
        .routes(routes!(quarantine::quarantine_discard))
        .routes(routes!(exports::exports_list, exports::export_create))
        .routes(routes!(exports::export_bundle))
        .routes(routes!(privacy_requests::privacy_requests_list, privacy_requests::privacy_request_create))
        .routes(routes!(privacy_requests::privacy_request_read))
        .routes(routes!(privacy_requests::privacy_request_letter))
        .routes(routes!(privacy_acts::privacy_request_act))
        .routes(routes!(holds::holds_list, holds::hold_place))
        .routes(routes!(holds::hold_release))
        .routes(routes!(retention::retention_read))
        .routes(routes!(retention::retention_run))
        .routes(routes!(retention::erasures_list, retention::erasure_create))
        .routes(routes!(retention::erasure_read))
        .routes(routes!(keys_api::keys_list, keys_api::key_create))
        .routes(routes!(keys_api::key_revoke))
        .routes(routes!(keys_api::log_key_rotate))
        .routes(routes!(ledgers::ledger_create))
        .routes(routes!(ledgers::ledger_read))
        .routes(routes!(ledgers::clock_confirm))
        .routes(routes!(ledgers::projections_rebuild))
        .routes(routes!(schemas::schemas_list, schemas::schema_register))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics_read))
        .split_for_parts();
    // A tile's index has slashes, which OpenAPI paths cannot say: documented as one segment, matched as the rest.
    let router = router.route("/log/{ledger}/tile/{*tile}", get(log::tile));
    describe_tile(&mut document);
    describe_security(&mut document);
    (router, document)
}

fn describe_tile(document: &mut utoipa::openapi::OpenApi) {
    let mut tiles = utoipa::openapi::Paths::new();
    tiles.add_path_operation(
        <log::__path_tile as utoipa::Path>::path(),
        <log::__path_tile as utoipa::Path>::methods(),
        <log::__path_tile as utoipa::Path>::operation(),
    );
    document.paths.merge(tiles);
}

/// Says at each operation whether it needs a key, from the access table itself.
fn describe_security(document: &mut utoipa::openapi::OpenApi) {
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("key", scheme);
    for (path, item) in &mut document.paths.paths {
        let matched = if path == "/log/{ledger}/tile/{tile}" { "/log/{ledger}/tile/{*tile}" } else { path.as_str() };
        let operations = [
            ("GET", &mut item.get),
            ("POST", &mut item.post),
            ("PUT", &mut item.put),
            ("DELETE", &mut item.delete),
            ("OPTIONS", &mut item.options),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let access =
                routes::find(method, matched).and_then(|number| routes::ROUTES.get(number)).map(|route| route.access);
            operation.security = match access {
                Some(routes::Access::Needs(_)) => Some(vec![SecurityRequirement::new("key", Vec::<String>::new())]),
                Some(routes::Access::Log(_)) => {
                    Some(vec![SecurityRequirement::default(), SecurityRequirement::new("key", Vec::<String>::new())])
                }
                Some(routes::Access::Open | routes::Access::Console) | None => None,
            };
        }
    }
}

/// The OpenAPI 3.1 document, as served and as checked in at `ops/openapi.json`.
///
/// # Errors
/// None in practice: the document is made of our own types.
pub fn openapi_document() -> Result<String, serde_json::Error> {
    let (_, document) = described();
    let mut text = document.to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

/// The router of a service.
pub fn router(state: Arc<AppState>) -> Router {
    let (router, document) = described();
    router
        .route("/", get(console::overview))
        .route("/console/login", post(console::login))
        .route("/console/logout", post(console::logout))
        .route("/console/{asset}", get(console::asset))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(|| async { Problem::absent("address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(codes::METHOD_NOT_ALLOWED, "This address does not take this method.")
        })
        .layer(from_fn_with_state(Front { state: Arc::clone(&state) }, front))
        .with_state(state)
}
