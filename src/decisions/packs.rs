//! Rules in the log: the files of a pack and the tables it is applied with are registered before the first decision that cites
//! them, so that a later build computes the decision again under the rules of its day.
//!
//! Each file is an entry of its own; one more names the files of the pack and carries the digest that decisions cite.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::gate::DecideError;
use super::replay::ReplayError;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::nanp;
use crate::domain::parts::PartKind;
use crate::domain::reply;
use crate::domain::time::Timestamp;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::create::SERVICE;
use crate::ingest::forms::Received;
use crate::ingest::{Ledger, Outcome, SubmitError};
use crate::policy::contact::{Pack, PackError, PackText, builtin, builtin_texts, zip_table};
use crate::schema::derive::wireless_table;

const REGISTERED: &str = "policy.pack_registered";
const SOURCE: &str = "/tallystick";
/// Name of the pack of contact rules.
const CONTACT: &str = "contact";

/// A pack with what it was read from.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The pack.
    pub pack: Arc<Pack>,
    files: Vec<File>,
    tables: Vec<File>,
}

#[derive(Debug, Clone)]
struct File {
    name: String,
    version: Option<String>,
    text: String,
    digest: Digest,
}

impl File {
    fn new(name: &str, version: Option<&str>, text: &str) -> File {
        let digest = sha256(text.as_bytes());
        File { name: name.to_owned(), version: version.map(str::to_owned), text: text.to_owned(), digest }
    }

    fn cited(&self) -> Value {
        match &self.version {
            Some(version) => json!({ "pack": self.name, "sha256": self.digest, "version": version }),
            None => json!({ "pack": self.name, "sha256": self.digest }),
        }
    }
}

impl Rules {
    /// The rules of this build; `None` if they did not read, and then every contact must be refused.
    pub fn builtin() -> Option<&'static Rules> {
        static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| Some(Rules::of(builtin()?.clone(), builtin_texts())));
        RULES.as_ref()
    }

    /// Rules from their files.
    ///
    /// # Errors
    /// [`PackError`] names the first row that is wrong.
    pub fn parse(texts: &[PackText<'_>]) -> Result<Rules, PackError> {
        Ok(Rules::of(Pack::parse(texts)?, texts))
    }

    fn of(pack: Pack, texts: &[PackText<'_>]) -> Rules {
        let (areas, zips) = (nanp::table(), zip_table());
        let (replies, wireless) = (reply::table(), wireless_table());
        // Places first: their versions are in the pack's digest.
        let tables = [("area-codes", areas), ("zip-codes", zips), ("replies", replies), ("wireless-domains", wireless)];
        Rules {
            pack: Arc::new(pack),
            files: texts.iter().map(|file| File::new(file.name, None, file.text)).collect(),
            tables: tables.into_iter().map(|(name, (version, text))| File::new(name, Some(version), text)).collect(),
        }
    }

    /// Sees to it that the log has these rules; none is recorded twice.
    pub(super) async fn register(&self, ledger: &Ledger, now: Option<Timestamp>) -> Result<(), DecideError> {
        let digest = self.pack.digest;
        if ledger.service_event(&id(&digest))?.is_some() {
            return Ok(());
        }
        let mut events = Vec::new();
        for (kind, file) in
            self.files.iter().map(|file| ("compliance", file)).chain(self.tables.iter().map(|file| ("table", file)))
        {
            if ledger.service_event(&id(&file.digest))?.is_none() {
                let data = json!({
                    "pack": file.name, "version": file.version.clone().unwrap_or_else(|| short(&file.digest)),
                    "pack_sha256": file.digest, "kind": kind, "bytes": file.text.len(), "document": file.text,
                });
                events.push(event(&file.digest, &data));
            }
        }
        let data = json!({
            "pack": CONTACT, "version": short(&digest), "pack_sha256": digest, "kind": "compliance",
            "rules": self.pack.ids().len(), "bytes": self.files.iter().map(|file| file.text.len()).sum::<usize>(),
            "files": self.files.iter().map(File::cited).collect::<Vec<_>>(),
            "tables": self.tables.iter().map(File::cited).collect::<Vec<_>>(),
        });
        // Last: where it stands, all that it names stands before it.
        events.push(event(&digest, &data));
        let options =
            SubmitOptions { actor: SERVICE, strict: false, dry_run: false, now, service: true, closing: None };
        for outcome in ledger.submit(events, options).await? {
            match outcome {
                // Another question, or another server, was first.
                Outcome::Recorded(_) | Outcome::Duplicate { .. } => {}
                other => return Err(SubmitError::ReadOnly(format!("the rules were not recorded: {other:?}")).into()),
            }
        }
        Ok(())
    }
}

/// Longest piece of a document in one entry.
const PIECE_BYTES: usize = 40_000;

/// Registers a document of its own: in one entry, or in pieces and an entry that names them.
pub(super) async fn register_document(
    ledger: &Ledger,
    kind: &str,
    version: &str,
    text: &str,
    now: Option<Timestamp>,
) -> Result<(), DecideError> {
    let digest = sha256(text.as_bytes());
    let mut pieces: Vec<&str> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (0..=PIECE_BYTES.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    let whole = |data: Value| (digest, data);
    let mut wanted: Vec<(Digest, Value)> = Vec::new();
    let common = |digest: &Digest, bytes: usize| json!({ "pack": kind, "version": version, "pack_sha256": digest, "kind": kind, "bytes": bytes });
    let with = |mut data: Value, name: &str, value: Value| {
        if let Value::Object(data) = &mut data {
            data.insert(name.to_owned(), value);
        }
        data
    };
    if let [only] = pieces.as_slice() {
        wanted.push(whole(with(common(&digest, text.len()), "document", json!(only))));
    } else {
        for piece in &pieces {
            let own = sha256(piece.as_bytes());
            wanted.push((own, with(common(&own, piece.len()), "document", json!(piece))));
        }
        let files: Vec<Value> =
            pieces.iter().map(|piece| json!({ "pack": kind, "sha256": sha256(piece.as_bytes()) })).collect();
        wanted.push(whole(with(common(&digest, text.len()), "files", json!(files))));
    }
    let mut events = Vec::new();
    for (digest, data) in &wanted {
        if ledger.service_event(&id(digest))?.is_none() {
            events.push(event(digest, data));
        }
    }
    let options = SubmitOptions { actor: SERVICE, strict: false, dry_run: false, now, service: true, closing: None };
    for outcome in ledger.submit(events, options).await? {
        match outcome {
            Outcome::Recorded(_) | Outcome::Duplicate { .. } => {}
            other => return Err(SubmitError::ReadOnly(format!("a document was not recorded: {other:?}")).into()),
        }
    }
    Ok(())
}

/// The text of a registered document.
pub(super) async fn document(ledger: &Ledger, digest: &str) -> Result<String, ReplayError> {
    let wanted: Digest = digest.parse().map_err(|_| ReplayError::PackUnknown)?;
    let data = registered(ledger, &wanted).await?;
    let mut text = String::new();
    match registered_text(&data) {
        Some(document) => text = document,
        None => {
            for file in data.get("files").and_then(Value::as_array).into_iter().flatten() {
                let digest = file.get("sha256").and_then(Value::as_str).and_then(|digest| digest.parse().ok());
                let piece = registered(ledger, &digest.ok_or(ReplayError::PackUnknown)?).await?;
                text.push_str(&registered_text(&piece).ok_or(ReplayError::PackUnknown)?);
            }
        }
    }
    if sha256(text.as_bytes()) == wanted { Ok(text) } else { Err(ReplayError::PackUnknown) }
}

fn id(digest: &Digest) -> String {
    format!("rules-{digest}")
}

fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(16).collect()
}

fn event(digest: &Digest, data: &Value) -> Received {
    let event = json!({
        "specversion": "1.0", "id": id(digest), "source": SOURCE, "type": REGISTERED, "data": data,
    });
    Received { raw: event.to_string().into() }
}

/// The pack with a digest: of this build, or as the log has it.
///
/// # Errors
/// [`ReplayError::PackUnknown`] when neither has it.
pub async fn pack_of(ledger: &Ledger, digest: &str) -> Result<Arc<Pack>, ReplayError> {
    if let Some(rules) = Rules::builtin().filter(|rules| rules.pack.digest.to_string() == digest) {
        return Ok(Arc::clone(&rules.pack));
    }
    let wanted: Digest = digest.parse().map_err(|_| ReplayError::PackUnknown)?;
    let registered = registered(ledger, &wanted).await?;
    let members = |name: &str| registered.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut texts: Vec<(String, String)> = Vec::new();
    for file in members("files") {
        let text = |name: &str| file.get(name).and_then(Value::as_str);
        let (Some(name), Some(digest)) = (text("pack"), text("sha256")) else { return Err(ReplayError::PackUnknown) };
        let digest: Digest = digest.parse().map_err(|_| ReplayError::PackUnknown)?;
        let document = registered_text(&self::registered(ledger, &digest).await?);
        let document = document.filter(|text| sha256(text.as_bytes()) == digest).ok_or(ReplayError::PackUnknown)?;
        texts.push((name.to_owned(), document));
    }
    let places: Vec<String> = members("tables")
        .iter()
        .filter(|table| matches!(table.get("pack").and_then(Value::as_str), Some("area-codes" | "zip-codes")))
        .filter_map(|table| Some(table.get("version")?.as_str()?.to_owned()))
        .collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let texts: Vec<PackText<'_>> = texts.iter().map(|(name, text)| PackText { name, text }).collect();
    // A row of a kind that this build has no longer is a pack that it cannot apply.
    let pack = Pack::parse_beside(&texts, &places).map_err(|_| ReplayError::PackUnknown)?;
    if pack.digest == wanted { Ok(Arc::new(pack)) } else { Err(ReplayError::PackUnknown) }
}

async fn registered(ledger: &Ledger, digest: &Digest) -> Result<Value, ReplayError> {
    let position = ledger.service_event(&id(digest))?.ok_or(ReplayError::PackUnknown)?;
    let opened = ledger.open_entry(position).await?;
    let business = opened.plaintext(PartKind::Business).filter(|_| opened.entry.event_type == REGISTERED);
    let business: Option<Value> = business.and_then(|bytes| serde_json::from_slice(bytes).ok());
    business.and_then(|business| business.get("data").cloned()).ok_or(ReplayError::PackUnknown)
}

fn registered_text(data: &Value) -> Option<String> {
    data.get("document").and_then(Value::as_str).map(str::to_owned)
}
