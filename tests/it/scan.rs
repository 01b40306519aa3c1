//! Looking for seeded markers in bytes: as they are, and in the forms in which a careless program would leave them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use tallystick::crypto::hash::sha256;

/// What every text marker begins with. Nothing else in the world does.
const PREFIX: &str = "zqxmarker";

/// Markers handed out, each once.
#[derive(Default)]
pub struct Markers {
    pub texts: Vec<String>,
    pub phones: Vec<String>,
}

impl Markers {
    /// A word for a field that takes any.
    pub fn text(&mut self) -> String {
        let text = format!("{PREFIX}{:04}q", self.texts.len());
        self.texts.push(text.clone());
        text
    }

    pub fn email(&mut self) -> String {
        format!("{}@example.com", self.text())
    }

    /// A number that is reserved for fiction, in E.164.
    pub fn phone(&mut self) -> String {
        const AREAS: [&str; 12] = ["614", "212", "312", "415", "202", "305", "404", "512", "602", "702", "808", "907"];
        let number = self.phones.len();
        let phone = format!("{}55501{:02}", AREAS[number / 100 % AREAS.len()], number % 100);
        self.phones.push(phone.clone());
        format!("+1{phone}")
    }

    pub fn count(&self) -> usize {
        self.texts.len() + self.phones.len()
    }

    pub fn scanner(&self) -> Scanner {
        let mut patterns: Vec<(&'static str, Vec<u8>)> = vec![
            ("plain", PREFIX.into()),
            ("upper case", PREFIX.to_ascii_uppercase().into()),
            ("hex", HEXLOWER.encode(PREFIX.as_bytes()).into()),
            ("upper-case hex", HEXUPPER.encode(PREFIX.as_bytes()).into()),
            ("UTF-16", PREFIX.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("reversed", PREFIX.bytes().rev().collect()),
        ];
        // Base64 of a text depends on where in a group of three its bytes begin.
        for lead in 0..3 {
            let padded = [&vec![b' '; lead], PREFIX.as_bytes()].concat();
            let whole = padded.len() / 3 * 4;
            let skip = [0, 2, 3][lead];
            for (name, encoding) in [("base64", BASE64_NOPAD), ("url-safe base64", BASE64URL_NOPAD)] {
                patterns.push((name, encoding.encode(&padded).as_bytes()[skip..whole].to_vec()));
            }
        }
        let mut digests = HashMap::new();
        let emails = self.texts.iter().map(|text| format!("{text}@example.com"));
        let numbers = self.phones.iter().flat_map(|phone| [phone.clone(), format!("1{phone}"), format!("+1{phone}")]);
        for text in self.texts.iter().cloned().chain(emails).chain(numbers) {
            let digest = sha256(text.as_bytes());
            digests.insert(*digest.as_bytes(), text.clone());
            patterns_of_digest(&mut digests, digest.to_string().as_bytes(), &text);
        }
        Scanner { patterns, phones: self.phones.iter().map(|phone| phone.clone().into_bytes()).collect(), digests }
    }
}

/// The first 32 digits of a digest in hex stand for it.
fn patterns_of_digest(digests: &mut HashMap<[u8; 32], String>, hex: &[u8], text: &str) {
    let mut key = [0; 32];
    key.copy_from_slice(&hex[..32]);
    digests.insert(key, text.to_owned());
}

/// Finds markers.
pub struct Scanner {
    patterns: Vec<(&'static str, Vec<u8>)>,
    phones: HashSet<Vec<u8>>,
    /// Unsalted digests, as bytes and as hex: a phone number's is as good as the number.
    digests: HashMap<[u8; 32], String>,
}

impl Scanner {
    /// What was found in some bytes, by form.
    pub fn found(&self, bytes: &[u8]) -> Vec<String> {
        let mut hits = Vec::new();
        for (form, pattern) in &self.patterns {
            for at in positions(bytes, pattern) {
                let around = &bytes[at.saturating_sub(60)..bytes.len().min(at + 30)];
                hits.push(format!("{form} at {at}: {}", String::from_utf8_lossy(around)));
            }
        }
        for at in 0..bytes.len().saturating_sub(9) {
            if bytes[at + 3..].starts_with(b"55501") && self.phones.contains(&bytes[at..at + 10]) {
                hits.push(format!("a phone number at {at}"));
            }
        }
        let starts: HashSet<[u8; 2]> = self.digests.keys().map(|digest| [digest[0], digest[1]]).collect();
        let mut wanted = vec![false; 65_536];
        starts.iter().for_each(|start| wanted[usize::from(u16::from_be_bytes(*start))] = true);
        for window in bytes.windows(32) {
            if wanted[usize::from(u16::from_be_bytes([window[0], window[1]]))]
                && let Some(text) = <[u8; 32]>::try_from(window).ok().and_then(|window| self.digests.get(&window))
            {
                hits.push(format!("the digest of {text}"));
            }
        }
        hits
    }

    /// What was found in the files under a folder, and how many bytes they hold.
    pub fn found_under(&self, folder: &Path) -> (Vec<String>, u64) {
        let (mut hits, mut bytes) = (Vec::new(), 0);
        for item in std::fs::read_dir(folder).unwrap() {
            let item = item.unwrap();
            let kind = item.file_type().unwrap();
            if kind.is_dir() {
                let (inner, more) = self.found_under(&item.path());
                hits.extend(inner);
                bytes += more;
            } else if kind.is_file() {
                let content = std::fs::read(item.path()).unwrap_or_default();
                let name = item.path().display().to_string();
                hits.extend(self.found(name.as_bytes()).into_iter().map(|hit| format!("the name {name}: {hit}")));
                hits.extend(self.found(&content).into_iter().map(|hit| format!("{name}: {hit}")));
                bytes += content.len() as u64;
            }
        }
        (hits, bytes)
    }
}

fn positions(bytes: &[u8], pattern: &[u8]) -> Vec<usize> {
    let first = pattern[0];
    let candidates = bytes.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at);
    candidates.filter(|at| bytes[*at..].starts_with(pattern)).collect()
}
