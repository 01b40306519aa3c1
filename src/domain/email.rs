//! E-mail addresses in one stated form, so that equal mailboxes are equal bytes.
//!
//! The form: blanks at the ends dropped, Unicode NFC, local part and domain lower-cased, dots and `+tag` kept as written.
//! Lower-casing the local part is a choice: RFC 5321 section 2.4 lets hosts tell `Ann@` from `ann@`, but none of
//! note do, and a suppression missed for a capital letter is the worse mistake. Dots and tags do reach different
//! mailboxes at many hosts, so they stay. Quoted local parts, comments and address literals are refused, as are domains
//! in Unicode: what cannot be compared with certainty cannot be suppressed with certainty.

use std::fmt;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// An address in the stated form. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// Which rule a text breaks. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// No `@`, or more than one.
    #[error("an e-mail address has exactly one @ sign")]
    AtSign,
    /// The domain is not two or more dot-separated labels of ASCII letters, digits and inner hyphens.
    #[error("the domain of an e-mail address is ASCII labels separated by dots, such as mail.example.com")]
    Domain,
    /// Over 64 bytes before the `@`, or over 254 in all (RFC 5321 section 4.5.3.1).
    #[error("the e-mail address is too long")]
    Length,
    /// The local part is empty, quoted, has blanks or control characters, or dots where none may stand.
    #[error("the part before @ has a character or dot that is not allowed there")]
    Local,
}

impl Email {
    /// Longest local part, in bytes.
    const LOCAL_BYTES_MAX: usize = 64;
    /// Longest address, in bytes.
    const BYTES_MAX: usize = 254;

    /// Reads an address and brings it into the stated form.
    ///
    /// # Errors
    /// [`EmailError`] names the rule it breaks.
    pub fn parse(raw: &str) -> Result<Email, EmailError> {
        let trimmed = raw.trim();
        if trimmed.len() > 4 * Self::BYTES_MAX {
            return Err(EmailError::Length);
        }
        let lower = if trimmed.is_ascii() {
            trimmed.to_ascii_lowercase()
        } else {
            // Lower-casing can leave NFC (a capital with dot above becomes i and a combining dot), so compose last.
            trimmed.to_lowercase().nfc().collect()
        };
        check(&lower)?;
        Ok(Email(lower))
    }

    /// True if `text` already stands in the stated form: `parse` would give it back unchanged. Allocates nothing for ASCII.
    pub fn is_normal(text: &str) -> bool {
        let cased = if text.is_ascii() {
            !text.bytes().any(|byte| byte.is_ascii_uppercase())
        } else {
            is_nfc(text) && text.to_lowercase() == text
        };
        cased && text.trim().len() == text.len() && check(text).is_ok()
    }

    /// Checks what [`Email::parse`] checks without building the address.
    ///
    /// # Errors
    /// As [`Email::parse`].
    pub fn check(raw: &str) -> Result<(), EmailError> {
        let trimmed = raw.trim();
        if trimmed.is_ascii() { check(trimmed) } else { Email::parse(trimmed).map(|_| ()) }
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole address, without a copy.
    pub fn into_string(self) -> String {
        self.0
    }

    /// What follows the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

fn check(address: &str) -> Result<(), EmailError> {
    let (local, domain) = address.split_once('@').ok_or(EmailError::AtSign)?;
    if domain.contains('@') {
        return Err(EmailError::AtSign);
    }
    if local.len() > Email::LOCAL_BYTES_MAX || address.len() > Email::BYTES_MAX {
        return Err(EmailError::Length);
    }
    let dots_ok = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    if local.is_empty() || !dots_ok || !local.chars().all(is_local_char) {
        return Err(EmailError::Local);
    }
    let mut labels = 0;
    for label in domain.split('.') {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if label.is_empty() || label.len() > 63 || !inner || label.starts_with('-') || label.ends_with('-') {
            return Err(EmailError::Domain);
        }
        labels += 1;
    }
    // A last label of digits alone is an IPv4 address, not a host name (RFC 1123 section 2.1).
    let last_is_number = domain.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if labels < 2 || last_is_number { Err(EmailError::Domain) } else { Ok(()) }
}

/// `atext` of RFC 5322 section 3.2.3 and the dot; beyond ASCII, RFC 6531: anything but blanks, controls and invisible marks.
fn is_local_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    }
    let invisible =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_whitespace() && !c.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_mailboxes_become_equal_bytes() {
        for (raw, normal) in [
            (" Ann.Lee+Offers@Mail.Example.COM\t", "ann.lee+offers@mail.example.com"),
            ("o'brien@example.org", "o'brien@example.org"),
            ("JOSE\u{301}@example.com", "jos\u{e9}@example.com"),
            ("\u{130}@example.com", "i\u{307}@example.com"),
            ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
        ] {
            let email = Email::parse(raw).unwrap();
            assert_eq!(email.as_str(), normal);
            assert!(Email::is_normal(normal) && Email::check(raw).is_ok());
            assert_eq!(Email::parse(normal), Ok(email), "the form is a fixed point");
        }
        assert!(!Email::is_normal("Ann@example.com") && !Email::is_normal(" a@example.com"));
        assert_eq!(Email::parse("a@B.example").unwrap().domain(), "b.example");
        assert_ne!(Email::parse("a.b@example.com"), Email::parse("ab@example.com"));
    }

    #[test]
    fn what_cannot_be_compared_is_refused_with_its_rule() {
        use EmailError::*;
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_all = format!("a@{}.com", ["b".repeat(60).as_str(); 5].join("."));
        for (raw, error) in [
            ("", AtSign),
            ("nobody", AtSign),
            ("a@b@example.com", AtSign),
            ("@example.com", Local),
            ("a b@example.com", Local),
            ("\"a\"@example.com", Local),
            (".a@example.com", Local),
            ("a..b@example.com", Local),
            ("a\u{200b}@example.com", Local),
            ("a@example", Domain),
            ("a@-x.example", Domain),
            ("a@exa mple.com", Domain),
            ("a@192.0.2.1", Domain),
            ("a@[192.0.2.1]", Domain),
            ("a@b\u{fc}cher.example", Domain),
            ("a@example..com", Domain),
            (long_local.as_str(), Length),
            (long_all.as_str(), Length),
        ] {
            assert_eq!(Email::parse(raw), Err(error), "{raw}");
            assert_eq!(Email::check(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn debug_hides_the_address() {
        assert_eq!(format!("{:?}", Email::parse("a@example.com").unwrap()), "Email(..)");
    }
}
