//! What was agreed to, and whether contacts kept to it: the view of consent over everybody.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::views::{self, caught_up};
use crate::decisions::{AuditError, Compliance, FindingRow, RevocationRow, Span, audit};
use crate::domain::parts::RetentionClass;
use crate::domain::time::Timestamp;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, wants_csv};
use crate::policy::exposure::Laws;
use crate::views::consent::{ConsentActivity, activity};

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Problem {
        match error {
            AuditError::Decide(error) => error.into(),
            AuditError::TooMany => Problem::parameter(
                "from",
                "and to must span less: more contacts and stops are in it than one answer judges",
            ),
        }
    }
}

/// Consents and refusals of a span, and how contacts kept to them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentView {
    /// How often something was agreed to or refused.
    pub items: Vec<ConsentActivity>,
    /// Contacts against their decisions and rules.
    pub compliance: Compliance,
}

/// Consents, refusals and compliance in a span of time
///
/// How often something was agreed to or refused from `from` (inclusive) to `to` (exclusive), as known at `known_at`; and
/// every contact of the span judged again from the log: the share with a valid decision, findings by rule as known then and
/// as known now, the lag of each stop against the law's last day, and what the contacts may cost by statute. `report=findings`
/// and `report=revocations` list the contacts and stops themselves.
#[utoipa::path(
    get,
    path = "/v1/views/consent",
    tag = "views",
    params(
        ("report" = Option<String>, Query, description = "`activity` (if absent), `findings` or `revocations`"),
        ("from" = Option<String>, Query, description = "Happened at or after, RFC 3339"),
        ("to" = Option<String>, Query, description = "Happened before, RFC 3339"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "`items`, and `compliance` unless a report was asked for", body = ConsentView),
        (status = 400, description = "`parameter_invalid`: the span holds more contacts than one answer judges")
    )
)]
pub async fn view_consent(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["report", "from", "to", "known_at", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let span = Span {
        from: params.time("from")?.unwrap_or(Timestamp::MIN),
        to: params.time("to")?.unwrap_or(Timestamp::MAX),
        known_at: params.time("known_at")?.unwrap_or(Timestamp::MAX),
    };
    let service = &caller.service;
    let (classes, begins) = ([RetentionClass::Consent, RetentionClass::Contact], params.time("from")?);
    if let Some(earliest) = begins.into_iter().chain(params.time("known_at")?).min() {
        views::kept(&service.ledger, &classes, earliest).await?;
    }
    let as_csv = wants_csv(&headers);
    match params.text("report").unwrap_or("activity") {
        "activity" => {
            let items = activity(&service.ledger.store(), span.from, span.to, span.known_at).await?;
            if as_csv {
                return Ok(activity_csv(&items));
            }
            let laws = Laws::builtin().map_err(|error| Problem::failed(&error))?;
            let compliance = Compliance::of(&audit(&service.ledger, &service.gate, &span).await?, laws);
            Ok(json_response(&ConsentView { items, compliance }))
        }
        "findings" => {
            let found = audit(&service.ledger, &service.gate, &span).await?;
            let rows: Vec<FindingRow> = found.findings.iter().map(FindingRow::from).collect();
            if as_csv { Ok(findings_csv(&rows)) } else { Ok(json_response(&json!({ "items": rows }))) }
        }
        "revocations" => {
            let found = audit(&service.ledger, &service.gate, &span).await?;
            let rows: Vec<RevocationRow> = found.revocations.iter().map(RevocationRow::from).collect();
            if as_csv { Ok(revocations_csv(&rows)) } else { Ok(json_response(&json!({ "items": rows }))) }
        }
        _ => Err(Problem::parameter("report", "is activity, findings or revocations")),
    }
}

fn activity_csv(items: &[ConsentActivity]) -> Response<Body> {
    let row = |item: &ConsentActivity| {
        vec![
            Cell::Plain(item.act.to_owned()),
            Cell::Plain(item.channels.join(" ")),
            Cell::text(item.seller.as_deref()),
            Cell::number(item.count),
        ]
    };
    table(&["act", "channels", "seller", "count"], &items.iter().map(row).collect::<Vec<_>>())
}

fn findings_csv(rows: &[FindingRow]) -> Response<Body> {
    let codes = |codes: &Option<Vec<&str>>| {
        Cell::Plain(codes.as_ref().map_or_else(|| "unreadable".to_owned(), |codes| codes.join(" ")))
    };
    let row = |row: &FindingRow| {
        vec![
            Cell::number(row.position),
            Cell::number(row.at),
            Cell::Plain(row.subject.clone().unwrap_or_default()),
            Cell::Text(row.seller.clone()),
            Cell::Text(row.channel.clone()),
            Cell::Plain(row.decision.to_owned()),
            codes(&row.then),
            codes(&row.now),
        ]
    };
    let columns = ["position", "at", "subject", "seller", "channel", "decision", "then", "now"];
    table(&columns, &rows.iter().map(row).collect::<Vec<_>>())
}

fn revocations_csv(rows: &[RevocationRow]) -> Response<Body> {
    let row = |row: &RevocationRow| {
        vec![
            Cell::number(row.position),
            Cell::Plain(row.event_type.clone()),
            Cell::number(row.at),
            Cell::number(row.recorded),
            Cell::number(row.lag_seconds),
            Cell::Plain(row.honor_by.clone().unwrap_or_default()),
            Cell::number(row.late),
        ]
    };
    let columns = ["position", "type", "at", "recorded", "lag_seconds", "honor_by", "late"];
    table(&columns, &rows.iter().map(row).collect::<Vec<_>>())
}
