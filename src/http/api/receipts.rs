//! Writing receipts. Written by hand into one buffer sized for the batch, because this is the path that carries the load.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::codes::{self, Code};
use crate::http::error::{Problem, QuarantineReceipt, fragment};
use crate::ingest::{Outcome, Receipt};
use crate::schema::FieldProblem;

/// Bytes that a receipt takes in JSON, roughly.
const RECEIPT_BYTES: usize = 300;

/// The answer for one event, as documented.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptDoc {
    /// `recorded`, `duplicate`, `quarantined` or `refused`.
    pub status: String,
    /// Place in the log.
    pub position: Option<u64>,
    /// SHA-256(0x00 || entry) as 64 hex digits.
    pub leaf: Option<String>,
    /// Our id of the event.
    pub event: Option<String>,
    /// Pseudonym of the person, where the type has one.
    pub subject: Option<String>,
    /// When the ledger learnt it.
    pub recorded: Option<String>,
    /// Whether a duplicate's data could still be compared with the first copy's.
    pub compared: Option<bool>,
    /// A `tlog-proof` file, with `?proof=wait`; null when no checkpoint came in time.
    pub proof: Option<String>,
    /// Why it was quarantined or refused.
    pub code: Option<String>,
    /// Every reason found.
    pub errors: Vec<ErrorDoc>,
}

/// One reason.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct ErrorDoc {
    /// Where, as a JSON pointer in fragment form.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// A sentence; never the value.
    pub detail: String,
}

/// The answer for a list, as documented.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipts)]
pub struct ReceiptsDoc {
    /// One result per event, in order.
    pub results: Vec<ReceiptDoc>,
    /// Events recorded now.
    pub recorded: u64,
    /// Events that were recorded before.
    pub duplicate: u64,
    /// Events kept in quarantine.
    pub quarantined: u64,
    /// Events of which nothing was kept.
    pub refused: u64,
}

/// How a request's events ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Recorded now.
    pub recorded: u64,
    /// Recorded before.
    pub duplicate: u64,
    /// Kept in quarantine.
    pub quarantined: u64,
    /// Nothing kept.
    pub refused: u64,
}

impl Counts {
    /// Counts outcomes; a dry run's verdicts count as what would have happened.
    pub fn of(outcomes: &[Outcome]) -> Counts {
        let mut counts = Counts::default();
        for outcome in outcomes {
            let slot = match outcome {
                Outcome::Recorded(_) | Outcome::DryRun { status: "recorded", .. } => &mut counts.recorded,
                Outcome::Duplicate { .. } | Outcome::DryRun { status: "duplicate", .. } => &mut counts.duplicate,
                Outcome::Quarantined { .. } | Outcome::DryRun { .. } => &mut counts.quarantined,
                Outcome::Refused { .. } => &mut counts.refused,
            };
            *slot += 1;
        }
        counts
    }
}

/// The position of the entry that an outcome is about, if the log has one.
pub fn receipt_of(outcome: &Outcome) -> Option<&Receipt> {
    match outcome {
        Outcome::Recorded(receipt) | Outcome::Duplicate { receipt, .. } | Outcome::Quarantined { receipt, .. } => {
            Some(receipt)
        }
        Outcome::Refused { .. } | Outcome::DryRun { .. } => None,
    }
}

/// The JSON of a list's answer. `proofs` holds one per event when they were asked for.
pub fn list(outcomes: &[Outcome], counts: Counts, proofs: Option<&[Option<String>]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + outcomes.len() * RECEIPT_BYTES);
    out.extend_from_slice(b"{\"results\":[");
    for (at, outcome) in outcomes.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(&mut out, outcome, proofs.map(|proofs| proofs.get(at).and_then(Option::as_deref)));
    }
    out.push(b']');
    for (name, count) in [
        ("recorded", counts.recorded),
        ("duplicate", counts.duplicate),
        ("quarantined", counts.quarantined),
        ("refused", counts.refused),
    ] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        number(&mut out, count);
    }
    out.push(b'}');
    out
}

/// Appends the JSON of one outcome.
pub fn one(out: &mut Vec<u8>, outcome: &Outcome, proof: Option<Option<&str>>) {
    match outcome {
        Outcome::Recorded(found) => receipt(out, "recorded", found),
        Outcome::Duplicate { receipt: found, compared } => {
            receipt(out, "duplicate", found);
            out.extend_from_slice(if *compared { b",\"compared\":true" } else { b",\"compared\":false" });
        }
        Outcome::Quarantined { receipt: found, code, problems } => {
            receipt(out, "quarantined", found);
            member(out, "item", &found.event.to_string());
            member(out, "code", code);
            errors(out, problems);
        }
        Outcome::Refused { code, detail } => {
            out.extend_from_slice(b"{\"status\":\"refused\"");
            member(out, "code", code);
            let problem = FieldProblem { pointer: String::new(), code, detail: detail.clone() };
            errors(out, std::slice::from_ref(&problem));
        }
        Outcome::DryRun { status, problems } => {
            out.extend_from_slice(b"{\"status\":");
            string(out, status);
            out.extend_from_slice(b",\"dry_run\":true");
            if let Some(first) = problems.first() {
                member(out, "code", first.code);
                errors(out, problems);
            }
        }
    }
    if let (Some(proof), Some(_)) = (proof, receipt_of(outcome)) {
        match proof {
            Some(proof) => member(out, "proof", proof),
            None => out.extend_from_slice(b",\"proof\":null"),
        }
    }
    out.push(b'}');
}

fn receipt(out: &mut Vec<u8>, status: &'static str, receipt: &Receipt) {
    out.extend_from_slice(b"{\"status\":\"");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\",\"position\":");
    number(out, receipt.position);
    out.extend_from_slice(b",\"leaf\":\"");
    let mut hex = [0; 64];
    data_encoding::HEXLOWER.encode_mut(receipt.leaf.as_bytes(), &mut hex);
    out.extend_from_slice(&hex);
    out.extend_from_slice(b"\",\"event\":\"");
    uuid(out, receipt.event.as_bytes());
    out.extend_from_slice(b"\",\"subject\":");
    match &receipt.subject {
        Some(subject) => {
            out.push(b'"');
            uuid(out, subject.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"recorded\":\"");
    let mut buffer = [0; 27];
    match receipt.recorded.write_rfc3339(&mut buffer) {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => out.extend_from_slice(receipt.recorded.to_string().as_bytes()),
    }
    out.push(b'"');
}

fn uuid(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    let mut buffer = uuid::Uuid::encode_buffer();
    out.extend_from_slice(uuid::Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut buffer).as_bytes());
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10).to_le_bytes()[0];
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into a Vec cannot fail.
    let _written = serde_json::to_writer(out, text);
}

fn member(out: &mut Vec<u8>, name: &'static str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(out, value);
}

fn errors(out: &mut Vec<u8>, problems: &[FieldProblem]) {
    out.extend_from_slice(b",\"errors\":[");
    for (at, problem) in problems.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"pointer\":" } else { b",{\"pointer\":" });
        string(out, &fragment(&problem.pointer));
        member(out, "code", problem.code);
        member(out, "detail", &problem.detail);
        out.push(b'}');
    }
    out.push(b']');
}

/// What a single event's outcome is as a problem; `None` when it was recorded, now or before, or would have been.
pub fn problem_of(outcome: &Outcome) -> Option<Problem> {
    match outcome {
        Outcome::Recorded(_) | Outcome::Duplicate { .. } | Outcome::DryRun { status: "recorded" | "duplicate", .. } => {
            None
        }
        Outcome::Quarantined { receipt, code, problems } => {
            let kind = kind_of(code, codes::EVENT_QUARANTINED);
            let mut problem = Problem::new(kind, sentence("It is kept in quarantine", problems));
            problem.name = code;
            problem.errors.clone_from(problems);
            problem.quarantine = Some(QuarantineReceipt {
                item: receipt.event.to_string(),
                position: receipt.position,
                leaf: receipt.leaf.to_string(),
                recorded: receipt.recorded.to_string(),
            });
            Some(problem)
        }
        Outcome::DryRun { problems, .. } => {
            let code = problems.first().map_or(codes::EVENT_REFUSED.name, |first| first.code);
            let mut problem = Problem::new(kind_of(code, codes::EVENT_REFUSED), sentence("Nothing was kept", problems));
            problem.name = code;
            problem.errors.clone_from(problems);
            Some(problem)
        }
        Outcome::Refused { code, detail } => {
            let mut problem =
                Problem::new(kind_of(code, codes::EVENT_REFUSED), format!("Nothing was recorded: {detail}."));
            problem.name = code;
            problem.errors.push(FieldProblem { pointer: String::new(), code, detail: detail.clone() });
            Some(problem)
        }
    }
}

fn kind_of(code: &str, otherwise: Code) -> Code {
    match code {
        "event_too_large" => codes::EVENT_TOO_LARGE,
        "event_id_reused" => codes::EVENT_ID_REUSED,
        "expect_failed" => codes::EXPECT_FAILED,
        "batch_refused" => codes::BATCH_REFUSED,
        _ => otherwise,
    }
}

/// "The event is not valid at /data/phone: not E.164. It is kept in quarantine."
fn sentence(end: &str, problems: &[FieldProblem]) -> String {
    let first = problems.first().map(|found| {
        let at = if found.pointer.is_empty() { String::new() } else { format!(" at {}", found.pointer) };
        format!("The event is not valid{at}: {}.", found.detail)
    });
    let more = match problems.len() {
        0 | 1 => String::new(),
        2 => " One more place is wrong.".to_owned(),
        count => format!(" {} more places are wrong.", count - 1),
    };
    format!("{}{more} {end}.", first.unwrap_or_else(|| "The event was received before and was not valid.".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::Digest;
    use crate::domain::ids::{EventId, SubjectId};
    use crate::domain::time::Timestamp;

    fn receipt() -> Receipt {
        Receipt {
            event: EventId::from_bytes([1; 16]),
            position: 1_234_567_890,
            leaf: Digest::from_bytes([0xab; 32]),
            subject: Some(SubjectId::from_bytes([2; 16])),
            recorded: Timestamp::from_micros(1_794_000_000_000_001),
        }
    }

    #[test]
    fn receipts_written_by_hand_are_json() {
        let problem = FieldProblem { pointer: "/data/x\"y".into(), code: "too_long", detail: "at most \"8\"".into() };
        let outcomes = [
            Outcome::Recorded(receipt()),
            Outcome::Duplicate { receipt: Receipt { subject: None, position: 0, ..receipt() }, compared: false },
            Outcome::Quarantined {
                receipt: receipt(),
                code: "too_long",
                problems: vec![problem.clone(), problem.clone()],
            },
            Outcome::Refused { code: "expect_failed", detail: "no".into() },
            Outcome::DryRun { status: "quarantined", problems: vec![problem] },
            Outcome::DryRun { status: "recorded", problems: Vec::new() },
        ];
        let proofs: Vec<Option<String>> = vec![Some("a\nb".into()), None, None, None, None, None];
        let json: serde_json::Value =
            serde_json::from_slice(&list(&outcomes, Counts::of(&outcomes), Some(&proofs))).unwrap();
        assert_eq!(json["results"][0]["position"], 1_234_567_890_u64);
        assert_eq!(json["results"][0]["leaf"], "ab".repeat(32));
        assert_eq!(json["results"][0]["subject"], SubjectId::from_bytes([2; 16]).to_string());
        assert_eq!(json["results"][0]["recorded"], Timestamp::from_micros(1_794_000_000_000_001).to_string());
        assert_eq!(json["results"][0]["proof"], "a\nb");
        assert_eq!(json["results"][1]["compared"], false);
        assert!(json["results"][1]["proof"].is_null() && json["results"][1]["subject"].is_null());
        assert_eq!(json["results"][2]["errors"][1]["pointer"], "#/data/x%22y");
        assert_eq!(json["results"][3]["code"], "expect_failed");
        assert!(json["results"][3].get("proof").is_none());
        assert_eq!(json["results"][4]["dry_run"], true);
        let counts = Counts { recorded: 2, duplicate: 1, quarantined: 2, refused: 1 };
        assert_eq!(Counts::of(&outcomes), counts);
        assert_eq!(json["recorded"], 2);
    }

    #[test]
    fn a_numbers_digits_are_all_there() {
        for value in [0, 7, 10, 99, 100, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
