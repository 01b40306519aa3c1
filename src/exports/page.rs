//! The page of a bundle that a person reads: no scripts, no links out, nothing that a value could turn into markup.
//!
//! Promises: every value is escaped, and the policy in the page forbids everything but its one style. Must never be taken
//! for the evidence: it is a rendering, and the report says so.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use serde_json::Value;

use crate::chain::entry::EntryRef;
use crate::crypto::fields::FieldDisclosure;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::ids::SubjectId;
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::Timestamp;
use crate::exports::manifest::{Completeness, Manifest, PartState};
use crate::exports::parts::occurred;
use crate::exports::reports::{Found, Section};
use crate::exports::withdrawals::Told;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}\
dt{color:#555}dd{margin:0;overflow-wrap:anywhere}article{border-top:1px solid #bbb;padding:.8rem 0}\
h3{font-size:1rem;margin:0 0 .3rem}pre{background:#f5f5f2;padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0}\
.note{color:#555}.gone{color:#8a2b06}@media print{article{break-inside:avoid}}";

/// An entry as the page shows it.
#[derive(Debug, Clone)]
pub struct PageEntry {
    pub(super) position: u64,
    pub(super) event_type: String,
    pub(super) schema: Digest,
    pub(super) recorded: Timestamp,
    pub(super) subject: Option<(SubjectId, u64)>,
    pub(super) corrects: Option<u64>,
    /// Values shown, by RFC 6901 pointer into the part they stand in: scalars and empty containers.
    pub(super) values: BTreeMap<String, Value>,
    /// Its parts.
    pub parts: Vec<PagePart>,
}

/// A part as the page shows it.
#[derive(Debug, Clone)]
pub struct PagePart {
    /// What it is.
    pub kind: PartKind,
    /// How long it is kept.
    pub class: RetentionClass,
    /// How it stands in the bundle.
    pub state: PartState,
    /// What it says, if it is shown.
    pub text: Option<String>,
    /// The entry that says its key was destroyed.
    pub covered_by: Option<u64>,
}

impl PageEntry {
    /// What the page says of an entry, without its parts.
    pub fn of(entry: &EntryRef<'_>) -> PageEntry {
        PageEntry {
            position: entry.position,
            event_type: entry.event_type.to_owned(),
            schema: entry.schema,
            recorded: entry.recorded,
            subject: entry.subject.map(|link| (link.subject, link.sequence)),
            corrects: entry.corrects,
            values: BTreeMap::new(),
            parts: Vec::new(),
        }
    }

    /// Takes the values of a part that is shown whole; what is no JSON has none.
    pub fn take_json(&mut self, plaintext: &[u8]) {
        if let Ok(value) = serde_json::from_slice::<Value>(plaintext) {
            leaves(&value, String::new(), &mut self.values);
        }
    }

    /// Takes a business part that is shown, where the page does not list the entry's parts.
    pub(super) fn take_business(&mut self, plaintext: &[u8], class: RetentionClass) {
        self.take_json(plaintext);
        let text = std::str::from_utf8(plaintext).ok().map(str::to_owned);
        let kind = PartKind::Business;
        self.parts.push(PagePart { kind, class, state: PartState::Opened, text, covered_by: None });
    }

    /// Takes single fields of a part.
    pub fn take_fields(&mut self, fields: &[FieldDisclosure]) {
        let read = |field: &FieldDisclosure| Some((field.path.clone(), serde_json::from_str(&field.value).ok()?));
        self.values.extend(fields.iter().filter_map(read));
    }

    /// The value at a pointer as text; a list's scalars are joined by commas.
    pub(super) fn text(&self, pointer: &str) -> Option<String> {
        if let Some(value) = self.values.get(pointer) {
            return Some(plain(value));
        }
        let items = self.items(pointer);
        let texts: Vec<String> = items.iter().filter_map(|item| self.values.get(item)).map(plain).collect();
        if texts.is_empty() { None } else { Some(texts.join(", ")) }
    }

    /// Pointers of the items of a list, in their order.
    pub(super) fn items(&self, pointer: &str) -> Vec<String> {
        let below = format!("{pointer}/");
        let index = |path: &String| {
            let rest = path.strip_prefix(&below)?;
            rest.split('/').next()?.parse::<usize>().ok()
        };
        let indices: BTreeSet<usize> = self.values.keys().filter_map(index).collect();
        indices.into_iter().map(|index| format!("{below}{index}")).collect()
    }

    /// Text of the business part, if it is shown.
    pub(super) fn business(&self) -> Option<&str> {
        self.parts.iter().find(|part| part.kind == PartKind::Business).and_then(|part| part.text.as_deref())
    }

    /// As far as withdrawals are concerned.
    pub(super) fn told(&self) -> Told<'_> {
        let business = self.business().map(str::as_bytes);
        Told { position: self.position, event_type: &self.event_type, business }
    }

    /// When it happened; when it was recorded, if nobody said.
    pub(super) fn happened(&self) -> Timestamp {
        self.business().and_then(|text| occurred(text.as_bytes()).ok().flatten()).unwrap_or(self.recorded)
    }

    /// As [`PageEntry::happened`], in words.
    pub(super) fn when(&self) -> String {
        self.happened().to_string()
    }
}

fn leaves(value: &Value, pointer: String, values: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, inner) in members {
                leaves(inner, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), values);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, inner) in items.iter().enumerate() {
                leaves(inner, format!("{pointer}/{index}"), values);
            }
        }
        leaf => {
            values.insert(pointer, leaf.clone());
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The page.
pub fn page(
    manifest: &Manifest,
    completeness: Option<&Completeness>,
    sections: &[Section],
    entries: &[PageEntry],
) -> String {
    let mut out = String::with_capacity(8192 + entries.len() * 2048);
    let style_hash = BASE64.encode(sha256(STYLE.as_bytes()).as_bytes());
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str(&format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{style_hash}'; \
         base-uri 'none'; form-action 'none'\">"
    ));
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">");
    out.push_str(&format!(
        "<title>Evidence bundle {}</title><style>{STYLE}</style></head><body>\n",
        escape(&manifest.origin)
    ));
    head(&mut out, manifest, completeness);
    list(&mut out, "What verification shows", &manifest.proves);
    list(&mut out, "What it does not show", &manifest.does_not_prove);
    sections.iter().for_each(|shown| section(&mut out, shown));
    let own = |entry: &&PageEntry| entry.subject.is_some();
    if entries.iter().any(|entry| own(&entry)) {
        out.push_str("<h2>Entries about the person</h2>\n");
    }
    entries.iter().filter(own).for_each(|entry| article(&mut out, entry));
    out.push_str("<h2>Entries that the proof needs</h2>\n");
    entries.iter().filter(|entry| entry.subject.is_none()).for_each(|entry| article(&mut out, entry));
    out.push_str("</body></html>\n");
    out
}

/// What a bundle says of itself first, by name.
pub fn facts(manifest: &Manifest, completeness: Option<&Completeness>) -> Vec<(String, String)> {
    let mut rows = vec![
        ("Log", manifest.origin.clone()),
        ("Ledger", manifest.ledger.to_string()),
        ("Profile", manifest.profile.to_string()),
        ("Made", format!("{} by {}", manifest.created, manifest.tool)),
        ("Export", manifest.export.clone().unwrap_or_else(|| "not recorded: made from a read-only copy".to_owned())),
        ("Checkpoint", format!("{} entries, root {}", manifest.checkpoint.size, manifest.checkpoint.root)),
    ];
    if let Some(Completeness { seal, .. }) = completeness {
        let subjects: Vec<_> = manifest.subjects.iter().map(ToString::to_string).collect();
        let complete = format!("the log's first {} entries, as sealed at position {}", seal.size, seal.position);
        rows.extend([("Person", subjects.join(", ")), ("Complete to", complete)]);
    }
    if let Some(scope) = &manifest.scope {
        let campaign = scope.campaign.as_ref().map_or_else(String::new, |campaign| format!(", campaign {campaign}"));
        let range = format!("positions from {} to before {}{campaign}", scope.first, scope.end);
        rows.extend([("Range", range), ("Opened types", scope.types.join(", "))]);
    }
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn head(out: &mut String, manifest: &Manifest, completeness: Option<&Completeness>) {
    out.push_str(
        "<h1>Evidence bundle</h1>\n<p class=\"note\">A rendering for reading. The evidence is in the other files; \
                  README.txt says how to verify them.</p>\n<dl>\n",
    );
    for (name, value) in facts(manifest, completeness) {
        out.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)));
    }
    out.push_str("</dl>\n");
    if manifest.scratch {
        out.push_str("<p class=\"gone\">This is a scratch ledger: its times are those that its callers gave.</p>\n");
    }
}

fn list(out: &mut String, title: &str, items: &[String]) {
    out.push_str(&format!("<h2>{title}</h2>\n<ul>\n"));
    items.iter().for_each(|item| out.push_str(&format!("<li>{}</li>\n", escape(item))));
    out.push_str("</ul>\n");
}

fn section(out: &mut String, section: &Section) {
    out.push_str(&format!("<h2>{}</h2>\n", escape(&section.title)));
    for note in &section.notes {
        out.push_str(&format!("<p>{}</p>\n", escape(note)));
    }
    if section.rows.is_empty() {
        return;
    }
    out.push_str("<dl>\n");
    for row in &section.rows {
        let class = if matches!(row.found, Found::Value(..)) { "" } else { " class=\"gone\"" };
        out.push_str(&format!("<dt>{}</dt><dd{class}>{}</dd>\n", escape(&row.name), escape(&row.found.words())));
    }
    out.push_str("</dl>\n");
}

fn article(out: &mut String, entry: &PageEntry) {
    let PageEntry { position, event_type, recorded, subject, corrects, parts, .. } = entry;
    out.push_str(&format!("<article><h3>{}</h3>\n<dl>\n<dt>Position</dt><dd>{position}</dd>\n", escape(event_type)));
    if let Some((subject, sequence)) = subject {
        out.push_str(&format!("<dt>Person</dt><dd>{subject}, entry {sequence}</dd>\n"));
    }
    if let Some(occurred) = entry.business().and_then(|text| occurred(text.as_bytes()).ok().flatten()) {
        out.push_str(&format!("<dt>Occurred</dt><dd>{occurred}</dd>\n"));
    }
    out.push_str(&format!("<dt>Recorded</dt><dd>{recorded}</dd>\n"));
    if let Some(corrects) = corrects {
        out.push_str(&format!("<dt>Corrects</dt><dd>position {corrects}</dd>\n"));
    }
    out.push_str("</dl>\n");
    parts.iter().for_each(|part_shown| part(out, part_shown));
    out.push_str("</article>\n");
}

fn part(out: &mut String, part: &PagePart) {
    let label = format!("{} part, class {}", part.kind.name(), part.class.name());
    match (part.state, &part.text, part.covered_by) {
        (PartState::Erased, _, by) => {
            let by = by.map_or_else(String::new, |by| format!(", see position {by}"));
            out.push_str(&format!("<p class=\"gone\">{label}: its key was destroyed{by}</p>\n"));
        }
        (PartState::Withheld, ..) => {
            out.push_str(&format!("<p class=\"note\">{label}: not opened in this bundle</p>\n"))
        }
        (PartState::Fields, text, _) => {
            let text = escape(text.as_deref().unwrap_or_default());
            out.push_str(&format!("<p class=\"note\">{label}, single fields</p><pre>{text}</pre>\n"));
        }
        (PartState::Opened | PartState::Public, text, _) => {
            let text = escape(&pretty(text.as_deref().unwrap_or_default()));
            out.push_str(&format!("<p class=\"note\">{label}</p><pre>{text}</pre>\n"));
        }
    }
}

/// JSON with line breaks; anything else as it is.
fn pretty(text: &str) -> String {
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| text.to_owned())
}

/// Text as HTML text.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for letter in visible(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// Text with the control characters that could reorder or hide what is read shown as their number.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden || (letter.is_control() && !matches!(letter, '\n' | '\t')) {
            out.push_str(&format!("[U+{:04X}]", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// An entry in one line.
pub(super) fn summary(entry: &PageEntry) -> String {
    let person =
        entry.subject.map_or_else(String::new, |(subject, sequence)| format!(", person {subject}, entry {sequence}"));
    format!("{} at position {}, recorded {}{person}", entry.event_type, entry.position, entry.recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_markup_or_changes_direction() {
        assert_eq!(
            escape("<script>alert('1')&\"\"</script>"),
            "&lt;script&gt;alert(&#39;1&#39;)&amp;&quot;&quot;&lt;/script&gt;"
        );
        assert_eq!(escape("a\u{202e}b\u{0}c\nd"), "a[U+202E]b[U+0000]c\nd");
    }

    #[test]
    fn json_is_broken_into_lines_and_other_text_is_not() {
        assert_eq!(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(pretty("a,b\n1,2"), "a,b\n1,2");
    }
}
