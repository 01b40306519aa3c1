//! What is done about a rights request: identified, extended, answered, each within its clock. Every act is an entry.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::holds::checked;
use super::privacy_requests::{find, id, put, view};
use super::retention::erase_now;
use crate::domain::parts::PartKind;
use crate::domain::privacy::{Request as Matter, RequestError};
use crate::domain::time::Timestamp;
use crate::exports::manifest::Profile;
use crate::exports::subject::Extras;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request;
use crate::ingest::Ledger;
use crate::jobs::erase::{EraseOptions, State};
use crate::views::matters;

/// What is done about a request: `act` says what, the other members are those of its event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// `acknowledge`, `verify`, `extend`, `notify`, `complete` or `deny`.
    pub act: String,
    /// Your reference of the request, where the ledger can no longer read it.
    pub request: Option<String>,
    /// `verify`: `verified`, `failed` or `not_required`. `complete`: absent takes the one of the right.
    pub result: Option<String>,
    /// `verify` and `notify`: how.
    pub method: Option<String>,
    /// `verify`: `reasonable` or `reasonably_high`.
    pub level: Option<String>,
    /// `verify`: data points that matched.
    pub matched_points: Option<u8>,
    /// `extend`, and `complete` of a restriction: why.
    pub reason: Option<String>,
    /// `extend`: to when.
    pub until: Option<String>,
    /// `extend` and `deny`: the person was told.
    pub notice_sent: Option<bool>,
    /// `notify`: who was told.
    pub recipient: Option<String>,
    /// `notify`: they confirmed.
    pub acknowledged: Option<bool>,
    /// `deny`: on which ground.
    pub basis: Option<String>,
    /// `deny`: only in part; the rest stays open.
    pub partly: Option<bool>,
    /// `acknowledge`: by which channel.
    pub channel: Option<String>,
    /// `complete`: how the answer went out.
    pub answered_via: Option<String>,
    /// In words.
    pub note: Option<String>,
}

/// Do something about a rights request
///
/// `complete` also does what the right asks for: an export for access, an erasure for deletion, an opt-out, objection,
/// restriction or withdrawal. It is refused while the person is not identified and the law asks for that.
#[utoipa::path(
    post,
    path = "/v1/privacy-requests/{request}/acts",
    tag = "privacy",
    params(("request" = String, Path, description = "Its id")),
    request_body = Act,
    responses(
        (status = 200, description = "The request as it stands now", body = serde_json::Value),
        (status = 202, description = "A hold keeps the erasure from beginning; the request stays open", body = serde_json::Value),
        (status = 409, description = "`identity_not_verified`, `request_answered`"),
        (status = 422, description = "`request_invalid`, `extension_refused`")
    )
)]
pub async fn privacy_request_act(
    caller: Caller,
    Path(request): Path<String>,
    body: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = body.into_parts();
    let act: Act = request::json(&parts.headers, body).await?;
    let id = id(&request)?;
    let matter = find(&caller, &id).await?;
    matter.check_open()?;
    let ledger = &caller.service.ledger;
    let now = request::now(&parts.headers, ledger)?;
    let reference = reference(ledger, &matter, act.request.as_deref()).await?;
    let doing = Doing { caller: &caller, matter: &matter, reference, now };
    let waits = match act.act.as_str() {
        "acknowledge" => doing.acknowledge(act).await?,
        "verify" => doing.verify(act).await?,
        "extend" => doing.extend(act).await?,
        "notify" => doing.notify(act).await?,
        "complete" => doing.complete(act).await?,
        "deny" => doing.deny(act).await?,
        _ => {
            let detail = "must be one of acknowledge, verify, extend, notify, complete, deny";
            return Err(Problem::member("/act", "not_in_enum", detail));
        }
    };
    let mut response = json_response(&view(&caller, &id, now).await?);
    if waits {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// The reference whose keyed hash is the request's id: as given, or as its first entry says while that can be opened.
async fn reference(ledger: &Ledger, matter: &Matter, given: Option<&str>) -> Result<String, Problem> {
    let text = match given {
        Some(given) => Some(given.to_owned()),
        None => {
            let opened = ledger.open_entry(matter.position).await?;
            let personal: Option<Value> =
                opened.plaintext(PartKind::Personal).and_then(|bytes| serde_json::from_slice(bytes).ok());
            personal.and_then(|part| part.pointer("/data/request").and_then(Value::as_str).map(str::to_owned))
        }
    };
    // Requests that a client posted as events are scoped by that client's source.
    let named = |text: &str| ledger.secrets.refs.record_ref("request", "/tallystick", text) == matter.id;
    text.filter(|text| named(text)).ok_or_else(|| {
        let detail =
            "the reference of this request cannot be read here; post its acts as events from the source it came from";
        Problem::member("/request", "required_missing", detail)
    })
}

struct Doing<'a> {
    caller: &'a Caller,
    matter: &'a Matter,
    reference: String,
    now: Option<Timestamp>,
}

impl Doing<'_> {
    fn ledger(&self) -> &Arc<Ledger> {
        &self.caller.service.ledger
    }

    fn at(&self) -> Timestamp {
        self.now.unwrap_or_else(|| self.ledger().now())
    }

    fn data(&self) -> Map<String, Value> {
        Map::from_iter([("request".to_owned(), Value::String(self.reference.clone()))])
    }

    async fn say(&self, event_type: &str, data: Map<String, Value>) -> Result<(), Problem> {
        let (ledger, data) = (self.ledger(), Value::Object(data));
        checked(ledger, event_type, &data)?;
        ledger.record_own(event_type, Some(self.matter.subject), data, self.caller.principal, self.now).await?;
        Ok(())
    }

    async fn acknowledge(&self, act: Act) -> Result<bool, Problem> {
        let mut data = self.data();
        put(&mut data, "notice", Some("other"));
        put(&mut data, "version", Some("receipt-1"));
        put(&mut data, "channel", act.channel);
        put(&mut data, "text", act.note);
        self.say("privacy.notice_sent", data).await.map(|()| false)
    }

    async fn verify(&self, act: Act) -> Result<bool, Problem> {
        let mut data = self.data();
        put(&mut data, "result", act.result);
        put(&mut data, "method", act.method);
        put(&mut data, "level", act.level);
        put(&mut data, "matched_points", act.matched_points);
        self.say("privacy.request_verified", data).await.map(|()| false)
    }

    async fn extend(&self, act: Act) -> Result<bool, Problem> {
        let until = act.until.as_deref().map(Timestamp::parse_rfc3339);
        let Some(Ok(until)) = until else {
            return Err(Problem::member("/until", "time_invalid", "not an RFC 3339 timestamp"));
        };
        let clock = matters::clock(self.matter).ok_or(RequestError::NoExtension)?;
        let received = self.matter.received;
        self.matter.check_extension(until, self.at(), clock.answer_by(received), clock.extend_to(received))?;
        let mut data = self.data();
        put(&mut data, "reason", act.reason);
        put(&mut data, "until", act.until);
        put(&mut data, "notice_sent", act.notice_sent);
        put(&mut data, "note", act.note);
        self.say("privacy.request_extended", data).await.map(|()| false)
    }

    async fn notify(&self, act: Act) -> Result<bool, Problem> {
        let about = match self.matter.right.as_str() {
            "delete" => "delete",
            "correct" => "correct",
            "restrict" => "restrict",
            "object" | "withdraw_consent" => "object",
            _ => "opt_out_sale",
        };
        let mut data = self.data();
        put(&mut data, "recipient", act.recipient);
        put(&mut data, "about", Some(about));
        put(&mut data, "method", act.method);
        put(&mut data, "acknowledged", act.acknowledged);
        self.say("privacy.recipient_notified", data).await.map(|()| false)
    }

    async fn deny(&self, act: Act) -> Result<bool, Problem> {
        let mut data = self.data();
        put(&mut data, "basis", act.basis);
        put(&mut data, "partly", act.partly);
        put(&mut data, "notice_sent", act.notice_sent);
        put(&mut data, "note", act.note);
        self.say("privacy.request_denied", data).await.map(|()| false)
    }

    /// Does what the right asks for and says so. `true`: a hold keeps it from beginning.
    async fn complete(&self, act: Act) -> Result<bool, Problem> {
        self.matter.check_grant(matters::needs_identity(self.matter))?;
        let mut data = self.data();
        let result = match self.matter.right.as_str() {
            "delete" => match self.erase(&mut data).await? {
                Some(result) => result,
                None => return Ok(true),
            },
            "access" | "know" | "portability" => {
                let service = &self.caller.service;
                let export = super::exports::make(
                    service,
                    Profile::Dsar,
                    self.matter.subject,
                    Extras::default(),
                    self.caller.principal,
                    self.now,
                );
                put(&mut data, "export", Some(export.await?));
                "provided"
            }
            "correct" => "corrected",
            "restrict" => {
                let mut own = self.data();
                put(&mut own, "reason", Some(act.reason.unwrap_or_else(|| "accuracy_contested".to_owned())));
                self.say("privacy.processing_restricted", own).await?;
                "restricted"
            }
            "object" => {
                let mut own = self.data();
                put(&mut own, "against", Some(vec!["marketing".to_owned(), "profiling".to_owned()]));
                put(&mut own, "method", Some("form"));
                self.say("privacy.objected", own).await?;
                "objection_accepted"
            }
            "withdraw_consent" => {
                let own = Map::from_iter([("method".to_owned(), Value::String("privacy_request".to_owned()))]);
                self.say("consent.revoked", own).await?;
                "opted_out"
            }
            right => {
                let rights: &[&str] = match right {
                    "limit_sensitive" => &["sensitive"],
                    _ => &["sale", "sharing", "targeted_advertising"],
                };
                let mut own = self.data();
                put(&mut own, "source", Some("request"));
                put(&mut own, "rights", Some(rights.to_vec()));
                self.say("privacy.opted_out", own).await?;
                if right == "limit_sensitive" { "limited" } else { "opted_out" }
            }
        };
        put(&mut data, "result", Some(act.result.unwrap_or_else(|| result.to_owned())));
        put(&mut data, "recipients_told", Some(self.matter.told.len()));
        put(&mut data, "answered_via", act.answered_via);
        put(&mut data, "note", act.note);
        self.say("privacy.request_completed", data).await.map(|()| false)
    }

    async fn erase(&self, data: &mut Map<String, Value>) -> Result<Option<&'static str>, Problem> {
        let basis = match self.matter.regime.as_str() {
            "gdpr" => "gdpr_17",
            "ccpa" | "us_state" => "ccpa_105",
            "delete_act" => "delete_act",
            _ => "operator",
        };
        let ledger = self.ledger();
        let options = EraseOptions { now: self.now, ..EraseOptions::new(self.caller.principal, ledger) };
        let request = Some(self.reference.clone());
        let done = erase_now(ledger, vec![self.matter.subject], basis, request, options).await?;
        let Some(erasure) = done.first().filter(|erasure| erasure.state == State::Done) else { return Ok(None) };
        let retained: BTreeSet<&str> = erasure.kept.iter().map(|kept| kept.ground.as_str()).collect();
        put(data, "erasure", Some(erasure.erasure.to_string()));
        put(data, "retained", Some(retained.iter().copied().collect::<Vec<&str>>()));
        Ok(Some(if erasure.kept.is_empty() { "deleted" } else { "partly_deleted" }))
    }
}
