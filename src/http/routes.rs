//! Every route with the action it needs. The front refuses what is not listed here, so a route without a decision about
//! access cannot be reached; a test compares this table with the router's own description.

use Access::{Needs, Open};

use crate::policy::access::Action;

/// Who reaches a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Open,
    /// A key whose role allows the action.
    Needs(Action),
    /// Anybody where the log is public, else a key whose role allows the action. The ledger is in the path.
    Log(Action),
    /// The console decides: its pages show a login to strangers.
    Console,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path as the router matches it.
    pub path: &'static str,
    /// Who reaches it.
    pub access: Access,
}

const fn route(method: &'static str, path: &'static str, access: Access) -> Route {
    Route { method, path, access }
}

/// All routes.
pub const ROUTES: &[Route] = &[
    route("POST", "/v1/events", Needs(Action::EventsAppend)),
    route("OPTIONS", "/v1/events", Open),
    route("GET", "/v1/events", Needs(Action::ReceiptsRead)),
    route("GET", "/v1/events/stream", Needs(Action::ReceiptsRead)),
    route("GET", "/v1/events/{position}", Needs(Action::ReceiptsRead)),
    route("GET", "/v1/events/{position}/proof", Needs(Action::ReceiptsRead)),
    route("GET", "/v1/consistency", Needs(Action::ReceiptsRead)),
    route("GET", "/log/{ledger}/checkpoint", Access::Log(Action::LogHashes)),
    route("GET", "/log/{ledger}/tile/{*tile}", Access::Log(Action::LogHashes)),
    route("POST", "/v1/subjects/search", Needs(Action::SubjectsRead)),
    route("GET", "/v1/subjects/{subject}", Needs(Action::SubjectsRead)),
    route("GET", "/v1/subjects/{subject}/timeline", Needs(Action::SubjectsRead)),
    route("GET", "/v1/subjects/{subject}/consent", Needs(Action::SubjectsRead)),
    route("POST", "/v1/subjects/{subject}/merge", Needs(Action::SubjectsMerge)),
    route("POST", "/v1/subjects/{subject}/unmerge", Needs(Action::SubjectsMerge)),
    route("POST", "/v1/decisions/contact", Needs(Action::DecisionsMake)),
    route("POST", "/v1/decisions/route", Needs(Action::DecisionsMake)),
    route("GET", "/v1/routing/plan", Needs(Action::DecisionsRead)),
    route("POST", "/v1/routing/plan", Needs(Action::RoutingManage)),
    route("GET", "/v1/views/routing", Needs(Action::ViewsRead)),
    route("POST", "/v1/scores", Needs(Action::DecisionsMake)),
    route("POST", "/v1/scores/{position}/replay", Needs(Action::DecisionsRead)),
    route("GET", "/v1/scoring/card", Needs(Action::DecisionsRead)),
    route("POST", "/v1/scoring/card", Needs(Action::RoutingManage)),
    route("GET", "/v1/scoring/models", Needs(Action::DecisionsRead)),
    route("POST", "/v1/scoring/models", Needs(Action::RoutingManage)),
    route("DELETE", "/v1/scoring/models/{file_sha256}", Needs(Action::RoutingManage)),
    route("GET", "/v1/billing/contract", Needs(Action::ViewsRead)),
    route("POST", "/v1/billing/contract", Needs(Action::BillingManage)),
    route("POST", "/v1/billing/rate", Needs(Action::BillingManage)),
    route("POST", "/v1/billing/invoices", Needs(Action::BillingManage)),
    route("POST", "/v1/billing/credit-notes", Needs(Action::BillingManage)),
    route("GET", "/v1/billing/documents", Needs(Action::ViewsRead)),
    route("GET", "/v1/billing/documents/{position}", Needs(Action::ViewsRead)),
    route("GET", "/v1/billing/documents/{position}/lines/{line}", Needs(Action::ViewsRead)),
    route("GET", "/v1/billing/commissions", Needs(Action::ViewsRead)),
    route("GET", "/v1/billing/items/{position}", Needs(Action::DecisionsRead)),
    route("POST", "/v1/billing/items/{position}/replay", Needs(Action::DecisionsRead)),
    route("GET", "/v1/views/billing", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/funnel", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/metrics", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/cohorts", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/scores", Needs(Action::ViewsRead)),
    route("GET", "/v1/decisions/{decision}", Needs(Action::DecisionsRead)),
    route("POST", "/v1/decisions/{decision}/replay", Needs(Action::DecisionsRead)),
    route("GET", "/v1/lists", Needs(Action::DecisionsRead)),
    route("POST", "/v1/lists", Needs(Action::ListsManage)),
    route("GET", "/v1/views/attribution", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/journal", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/optimisation", Needs(Action::ViewsRead)),
    route("POST", "/v1/optimisation/suggestions", Needs(Action::SuggestionsRecord)),
    route("GET", "/v1/views/roi", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/roi/moves", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/roi/compliant", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/leads", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/health", Needs(Action::ViewsRead)),
    route("GET", "/v1/views/consent", Needs(Action::ViewsRead)),
    route("GET", "/v1/quarantine", Needs(Action::QuarantineRead)),
    route("GET", "/v1/quarantine/{position}", Needs(Action::QuarantineRead)),
    route("POST", "/v1/quarantine/{position}/replay", Needs(Action::QuarantineManage)),
    route("POST", "/v1/quarantine/{position}/fix", Needs(Action::QuarantineManage)),
    route("POST", "/v1/quarantine/{position}/discard", Needs(Action::QuarantineManage)),
    route("GET", "/v1/exports", Needs(Action::ExportFetch)),
    route("POST", "/v1/exports", Needs(Action::ExportCreate)),
    route("GET", "/v1/exports/{export}/bundle", Needs(Action::ExportFetch)),
    route("GET", "/v1/privacy-requests", Needs(Action::PrivacyRead)),
    route("POST", "/v1/privacy-requests", Needs(Action::PrivacyManage)),
    route("GET", "/v1/privacy-requests/{request}", Needs(Action::PrivacyRead)),
    route("GET", "/v1/privacy-requests/{request}/letter", Needs(Action::PrivacyRead)),
    route("POST", "/v1/privacy-requests/{request}/acts", Needs(Action::PrivacyManage)),
    route("GET", "/v1/holds", Needs(Action::PrivacyRead)),
    route("POST", "/v1/holds", Needs(Action::PrivacyManage)),
    route("POST", "/v1/holds/{hold}/release", Needs(Action::PrivacyManage)),
    route("GET", "/v1/retention", Needs(Action::PrivacyRead)),
    route("POST", "/v1/retention/runs", Needs(Action::PrivacyManage)),
    route("GET", "/v1/retention/erasures", Needs(Action::PrivacyRead)),
    route("POST", "/v1/retention/erasures", Needs(Action::PrivacyManage)),
    route("GET", "/v1/retention/erasures/{erasure}", Needs(Action::PrivacyRead)),
    route("GET", "/v1/admin/keys", Needs(Action::KeysManage)),
    route("POST", "/v1/admin/keys", Needs(Action::KeysManage)),
    route("DELETE", "/v1/admin/keys/{principal}", Needs(Action::KeysManage)),
    route("POST", "/v1/admin/log-key", Needs(Action::KeysManage)),
    route("POST", "/v1/admin/ledgers", Needs(Action::LedgersManage)),
    route("GET", "/v1/admin/ledger", Needs(Action::LedgerRead)),
    route("GET", "/v1/admin/schemas", Needs(Action::LedgerRead)),
    route("POST", "/v1/admin/schemas", Needs(Action::SchemasManage)),
    route("POST", "/v1/admin/clock/confirm", Needs(Action::ClockConfirm)),
    route("POST", "/v1/admin/projections/rebuild", Needs(Action::ViewsRebuild)),
    route("GET", "/healthz", Open),
    route("GET", "/readyz", Open),
    route("GET", "/metrics", Open),
    route("GET", "/openapi.json", Open),
    route("GET", "/", Access::Console),
    route("POST", "/console/login", Access::Console),
    route("POST", "/console/logout", Access::Console),
    route("GET", "/console/{asset}", Access::Console),
    route("GET", "/docs", Open),
    route("GET", "/docs/", Open),
    route("GET", "/docs/{*rest}", Open),
];

/// The number of a route in [`ROUTES`].
pub fn find(method: &str, path: &str) -> Option<usize> {
    // HEAD is a GET without its body.
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().position(|route| route.path == path && route.method == method)
}
