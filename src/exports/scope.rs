//! Bundles that are not about one person: a range of the log, whole, with some of its parts opened.
//!
//! Promises: the range is complete, because each entry names the one before by its leaf hash and the last is proved into the
//! signed tree; so no entry can be left out, whoever it is about. What of it is opened follows from the scope, which the
//! manifest states and the verifier holds against the entries. Must never open more than the scope names.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::crypto::fields::FieldDisclosure;
use crate::crypto::hash::Digest;
use crate::exports::report::Statements;
use crate::exports::statements::KeySource;
use crate::schema::{JcsError, canonical_json};

/// Folder of the range's entries and parts.
pub const BLOCKS: &str = "blocks/";

/// What a range bundle is about; a member of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Only persons with an entry of this campaign in the range are opened, and what else names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// First position behind the range.
    pub end: u64,
    /// First position of the range.
    pub first: u64,
    /// Types whose business parts are opened: exact ones, families (`privacy.*`), or `*` for all; ascending.
    pub types: Vec<String>,
}

impl Scope {
    /// Whether business parts of a type are opened.
    pub fn opens(&self, event_type: &str) -> bool {
        self.types.iter().any(|named| match named.strip_suffix('*') {
            Some(family) => event_type.starts_with(family),
            None => event_type == named,
        })
    }
}

/// One part of a block: what opens it, or that nothing does any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockPart {
    /// Single fields of a personal part, by path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FieldDisclosure>>,
    /// Its number in the entry.
    pub part: u8,
    /// Position of its entry.
    pub position: u64,
    /// S, in hex; absent for a public part and where nothing opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Digest>,
    /// Its stored bytes in base64; with `secret` or for a public part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
}

impl BlockPart {
    /// One line of a `.parts` file: RFC 8785 text and a line break.
    ///
    /// # Errors
    /// [`JcsError`] for a position beyond 2^53.
    pub fn line(&self, out: &mut Vec<u8>) -> Result<(), JcsError> {
        let value = serde_json::to_value(self).map_err(|_| JcsError::NumberNotExact)?;
        canonical_json(&value, out)?;
        out.push(b'\n');
        Ok(())
    }

    /// Reads one line, without its break; none unless it is in its only form.
    pub fn read(line: &[u8]) -> Option<BlockPart> {
        let part: BlockPart = serde_json::from_slice(line).ok()?;
        let mut again = Vec::with_capacity(line.len() + 1);
        part.line(&mut again).ok()?;
        (again.strip_suffix(b"\n") == Some(line)).then_some(part)
    }

    /// The stored bytes.
    pub fn stored(&self) -> Option<Vec<u8>> {
        self.stored.as_ref().and_then(|text| BASE64.decode(text.as_bytes()).ok())
    }
}

/// `blocks/<first position, 20 digits>.entries`: each entry behind its length as two bytes, the highest first, as in the
/// entry bundles of C2SP tlog-tiles.
pub fn entries_name(first: u64) -> String {
    format!("{BLOCKS}{first:020}.entries")
}

/// `blocks/<first position, 20 digits>.parts`: a line of JSON for each part that is shown.
pub fn parts_name(first: u64) -> String {
    format!("{BLOCKS}{first:020}.parts")
}

/// Appends an entry to a block; none if it is longer than an entry can be.
pub fn push_entry(block: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    block.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
    block.extend_from_slice(entry);
    Some(())
}

/// The entries of a block; none if it does not end where an entry ends.
pub fn entries_of(mut block: &[u8]) -> Option<Vec<&[u8]>> {
    let mut all = Vec::new();
    while let Some((length, rest)) = block.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        all.push(entry);
        block = rest;
    }
    block.is_empty().then_some(all)
}

/// What the sentences of a range bundle depend on.
#[derive(Debug, Clone)]
pub struct RangeFacts<'a> {
    /// Origin of the log.
    pub origin: &'a str,
    /// Size of the checkpoint's tree.
    pub size: u64,
    /// The scope.
    pub scope: &'a Scope,
    /// Parts opened.
    pub opened: u64,
    /// Parts of the scope that nothing opens any more, as the exporter says.
    pub gone: u64,
    /// The export is recorded in the log itself.
    pub recorded: bool,
    /// Times come from whoever called.
    pub scratch: bool,
    /// Size of the checkpoint that the reader kept, if he named one.
    pub since: Option<u64>,
    /// Who vouches for the log's key.
    pub key: KeySource,
}

impl RangeFacts<'_> {
    /// The sentences.
    pub fn statements(&self) -> Statements {
        let RangeFacts { origin, size, scope, opened, gone, recorded, scratch, since, key } = self;
        let Scope { first, end, types, campaign } = scope;
        let mut proves = Vec::new();
        if first < end {
            let count = end - first;
            let last = end - 1;
            proves.push(format!(
                "all {count} entries of the log {origin} from position {first} to {last} are here, unchanged and in order: each \
                 names the one before by its hash, and the last is in the tree of {size} entries that the log's key signed"
            ));
            proves.push(format!(
                "{opened} parts were opened, and each plaintext is the only one that its entry commits to"
            ));
            let types = types.join(", ");
            proves.push(match campaign {
                None => format!("every entry of the types {types} in that range is opened, but {gone} that nothing opens any more"),
                Some(campaign) => format!(
                    "of every person who is opened for the campaign {campaign}, every entry of the types {types} in that range is \
                     opened, but {gone} that nothing opens any more"
                ),
            });
        }
        if let Some(from) = since {
            proves.push(format!("the log has only grown since the checkpoint of {from} entries that the reader kept"));
        }
        let mut not = vec![
            "that what was recorded is true: times and contents are as whoever posted them said".to_owned(),
            format!("anything about positions before {first} or from {end} on"),
            "that everybody is shown the same log: compare the checkpoint with one kept elsewhere or with a witness's"
                .to_owned(),
            "that the readable reports and tables say the same as the files under blocks/".to_owned(),
        ];
        if let Some(campaign) = campaign {
            not.push(format!(
                "that the persons whose parts are closed have nothing to do with the campaign {campaign}"
            ));
        }
        if *gone > 0 {
            not.push(format!("why nothing opens {gone} parts: `tallystick verify --data` on the ledger holds each absence against its entry"));
        }
        match key {
            KeySource::Outside => {}
            KeySource::Log => not.push(
                "whose log this is: the key was taken from the bundle itself; give the verifier key that you got elsewhere".to_owned(),
            ),
            KeySource::Unchecked => not.push("whose log this is: that takes the log's verifier key, from elsewhere".to_owned()),
        }
        if !recorded {
            not.push("that this export is recorded: it was made from a copy that cannot record exports".to_owned());
        }
        if *scratch {
            not.push("any time: a scratch ledger takes its clock from whoever calls it".to_owned());
        }
        Statements { proves, does_not_prove: not }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_their_entries_back_or_nothing() {
        let mut block = Vec::new();
        for entry in [&b"one"[..], b"", b"three"] {
            push_entry(&mut block, entry).unwrap();
        }
        assert_eq!(entries_of(&block).unwrap(), [&b"one"[..], b"", b"three"]);
        for cut in [1, 3, block.len() - 1] {
            assert_eq!(entries_of(&block[..cut]), None, "cut at {cut}");
        }
        assert!(push_entry(&mut block, &vec![0; 65_536]).is_none());
    }

    #[test]
    fn lines_have_one_form() {
        let part = BlockPart { fields: None, part: 1, position: 7, secret: None, stored: None };
        let mut line = Vec::new();
        part.line(&mut line).unwrap();
        assert_eq!(line, b"{\"part\":1,\"position\":7}\n");
        assert_eq!(BlockPart::read(&line[..line.len() - 1]), Some(part));
        for other in
            ["{\"position\":7,\"part\":1}", "{\"part\":1, \"position\":7}", "{\"part\":1,\"position\":7,\"x\":0}"]
        {
            assert_eq!(BlockPart::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn scopes_name_types_and_families() {
        let scope = |types: &[&str]| Scope {
            campaign: None,
            end: 9,
            first: 0,
            types: types.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(scope(&["privacy.*"]).opens("privacy.opted_out") && !scope(&["privacy.*"]).opens("privacyx.y"));
        assert!(scope(&["*"]).opens("cost.recorded") && !scope(&["cost.recorded"]).opens("cost.recorded2"));
    }
}
