//! What an inbound text asks for, read before the provider gets its answer, so that a STOP counts from receipt.
//!
//! The words are data with their source, `policies/replies.toml`; the order of the tests is fixed here (compliance rules,
//! item 15). Parts of words never count. Doubt is not resolved by the machine: it becomes [`ReplyClass::Review`].

use std::sync::LazyLock;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const TEXT: &str = include_str!("../../policies/replies.toml");
/// Texts are cut here before they are read; schemas bound them far lower.
const CHARS_MAX: usize = 10_000;

/// The classes, in the order of the tests that find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplyClass {
    /// A clear wish to stop.
    OptOut,
    /// A clear wish to start texts again.
    Start,
    /// The number belongs to someone else.
    WrongNumber,
    /// A stop word inside other text: a person must look, contact waits.
    Review,
    /// None of these.
    Other,
}

impl ReplyClass {
    /// Every class.
    pub const ALL: [ReplyClass; 5] =
        [ReplyClass::OptOut, ReplyClass::Start, ReplyClass::WrongNumber, ReplyClass::Review, ReplyClass::Other];

    /// The name in the business part.
    pub const fn name(self) -> &'static str {
        match self {
            ReplyClass::OptOut => "opt_out",
            ReplyClass::Start => "start",
            ReplyClass::WrongNumber => "wrong_number",
            ReplyClass::Review => "review",
            ReplyClass::Other => "other",
        }
    }

    /// The class of a name.
    pub fn from_name(name: &str) -> Option<ReplyClass> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// The words, compiled.
#[derive(Debug, Default)]
pub struct Replies {
    /// Version of the data, for decisions and derived facts.
    pub version: String,
    stop_words: Vec<String>,
    start_words: Vec<String>,
    stop_signs: Vec<char>,
    wrong_number: Vec<Vec<String>>,
    phrases: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    stop_words: Vec<String>,
    stop_signs: Vec<char>,
    start_words: Vec<String>,
    wrong_number: Vec<String>,
    phrases: Vec<String>,
}

/// The words of this build. If they did not read, every text would need review; a test proves that they read.
pub fn replies() -> Option<&'static Replies> {
    static REPLIES: LazyLock<Option<Replies>> = LazyLock::new(|| Replies::parse(TEXT).ok());
    REPLIES.as_ref()
}

/// Version and text of the file behind [`replies`], for the log.
pub fn table() -> (&'static str, &'static str) {
    (replies().map_or("", |replies| &replies.version), TEXT)
}

/// The class of a text by the words of this build.
pub fn classify(text: &str) -> ReplyClass {
    replies().map_or(ReplyClass::Review, |replies| replies.classify(text))
}

impl Replies {
    /// Reads the form of `policies/replies.toml`.
    ///
    /// # Errors
    /// When the text has not that form.
    pub fn parse(text: &str) -> Result<Replies, toml::de::Error> {
        let file: File = toml::from_str(text)?;
        let phrases =
            |lines: &[String]| lines.iter().flat_map(|line| expand(line)).map(|phrase| words(&phrase)).collect();
        Ok(Replies {
            version: file.version,
            stop_words: file.stop_words,
            start_words: file.start_words,
            stop_signs: file.stop_signs,
            wrong_number: phrases(&file.wrong_number),
            phrases: phrases(&file.phrases),
        })
    }

    /// The class of a text.
    pub fn classify(&self, text: &str) -> ReplyClass {
        let text = normalised(text);
        let mut signs = text.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).peekable();
        if signs.peek().is_some() && signs.all(|c| self.stop_signs.contains(&c)) {
            return ReplyClass::OptOut;
        }
        let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
        if self.stop_words.contains(&letters) {
            return ReplyClass::OptOut;
        }
        if self.start_words.contains(&letters) {
            return ReplyClass::Start;
        }
        let words = words(&text);
        if self.wrong_number.iter().any(|phrase| holds(&words, phrase)) {
            return ReplyClass::WrongNumber;
        }
        if self.phrases.iter().any(|phrase| holds(&words, phrase)) {
            return ReplyClass::OptOut;
        }
        if words.iter().any(|word| self.stop_words.contains(word)) { ReplyClass::Review } else { ReplyClass::Other }
    }
}

/// NFKD, without accents, apostrophes, invisible characters and case.
fn normalised(text: &str) -> String {
    let dropped =
        |c: &char| !is_combining_mark(*c) && !is_invisible(*c) && !"'\u{2018}\u{2019}\u{2bc}`\u{b4}".contains(*c);
    // The acute accent U+00B4 decomposes to a blank and a mark, so apostrophes go before and after decomposition.
    text.chars().take(CHARS_MAX).filter(dropped).nfkd().filter(dropped).flat_map(char::to_lowercase).collect()
}

/// Characters that show nothing: soft hyphen, zero-width marks, direction marks, variation selectors.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn holds(words: &[String], phrase: &[String]) -> bool {
    !phrase.is_empty() && words.windows(phrase.len()).any(|window| window == phrase)
}

/// `{a, b} c` becomes "a c" and "b c"; braces do not nest.
fn expand(line: &str) -> Vec<String> {
    let Some((before, rest)) = line.split_once('{') else {
        return vec![line.to_owned()];
    };
    let (inside, after) = rest.split_once('}').unwrap_or((rest, ""));
    let afters = expand(after);
    let choices = inside.split(',').flat_map(|choice| afters.iter().map(move |after| (choice.trim(), after)));
    choices.map(|(choice, after)| format!("{before}{choice}{after}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: ReplyClass, texts: &[&str]) {
        for text in texts {
            assert_eq!(classify(text), class, "{text}");
        }
    }

    #[test]
    fn the_shipped_words_read() {
        let replies = Replies::parse(TEXT).unwrap();
        assert_eq!((replies.stop_words.len(), replies.wrong_number.len(), replies.phrases.len()), (8, 2, 38));
        assert!(replies.phrases.contains(&vec!["do".into(), "not".into(), "text".into()]));
    }

    #[test]
    fn clear_wishes_to_stop_are_opt_outs() {
        check(
            ReplyClass::OptOut,
            &[
                "STOP",
                "Stop.",
                " s t o p ",
                "S.T.O.P!",
                "STOPALL",
                "stop all",
                "opt out",
                "Opt-Out",
                "END",
                "quit!!",
                "Revoke",
                "cancel",
                "UNSUBSCRIBE",
                "ＳＴＯＰ",
                "st\u{200b}op",
                "\u{1d5e6}\u{1d5e7}\u{1d5e2}\u{1d5e3}",
                "🛑",
                "🛑🛑",
                " 🛑\u{fe0f} ",
                "Do not text me again",
                "don't call me",
                "don\u{2019}t contact me",
                "dont message",
                "Never text this number",
                "please stop calling",
                "quit texting me!",
                "No more texts, thanks",
                "unsubscribe me now",
                "take me off your list",
                "Remove me",
                "lose my number",
                "Leave me alone.",
                "CEASE AND DESIST",
                "No más",
                "no mas",
                "Alto!",
                "ya basta",
                "no me llame",
                "No me envíe nada",
                "stop 2",
            ],
        );
    }

    #[test]
    fn stop_words_inside_other_text_need_a_person() {
        check(
            ReplyClass::Review,
            &[
                "I'll stop by the office at 5",
                "don't stop",
                "can you cancel my 3pm?",
                "this is the end of it",
                "please stop",
                "I want to unsubscribe",
                "not going to quit",
            ],
        );
    }

    #[test]
    fn wrong_numbers_come_before_phrases() {
        check(ReplyClass::WrongNumber, &["Wrong number", "wrong person, stop texting", "You have the WRONG NUMBER."]);
        check(ReplyClass::OptOut, &["stop"]);
    }

    #[test]
    fn starting_again_is_its_own_class() {
        check(ReplyClass::Start, &["START", "unstop", " Start! "]);
        check(ReplyClass::Other, &["when do we start?", "yes"]);
    }

    #[test]
    fn parts_of_words_and_other_texts_are_nothing() {
        check(
            ReplyClass::Other,
            &[
                "",
                "   ",
                "yes please call me",
                "stopped by yesterday",
                "weekend works",
                "nonstop",
                "the bus stops here",
                "🛑 wait",
                "👍",
                "cancellation",
                "legend",
            ],
        );
    }

    #[test]
    fn names_round_trip() {
        for class in ReplyClass::ALL {
            assert_eq!(ReplyClass::from_name(class.name()), Some(class));
        }
        assert_eq!(ReplyClass::from_name("stop"), None);
    }
}
