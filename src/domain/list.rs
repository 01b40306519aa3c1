//! Lists of numbers and addresses that bear on contact: which there are, and how their files are read.

use std::fmt;
use std::str::FromStr;

use super::nanp::area_codes;

/// A list that can be imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// A list of the state's deletion platform, Civ. Code 1798.99.86: hashes.
    Drop(DropList),
    /// The company's own do-not-call list, 47 CFR 64.1200(d)(6).
    Internal,
    /// People known to sue.
    Litigator,
    /// The National Do Not Call Registry, 47 CFR 64.1200(c)(2).
    Ndnc,
    /// Answers of the Reassigned Numbers Database, 47 CFR 64.1200(m).
    Rnd,
    /// A state's do-not-call list, by postal code.
    State(String),
}

/// Lists of the deletion platform whose identifiers this service knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropList {
    /// Hashes of e-mail addresses.
    Email,
    /// Hashes of phone numbers.
    Phone,
}

/// Which rule a list's name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No such list.
    #[error("must be ndnc, state:XX, rnd, litigator, internal, drop:phone or drop:email")]
    Unknown,
    /// Not a state of the tables.
    #[error("names a state that the tables do not know: a postal code such as TX is meant")]
    State,
    /// A list of the platform that names people by what is never recorded here.
    #[error("of the platform's lists phone and email can be matched: nobody is known here by the others' identifiers")]
    Unmatched,
}

impl List {
    /// Name in `list.imported` and in decisions, without the platform's kind.
    pub fn family(&self) -> String {
        match self {
            List::Drop(_) => "drop".to_owned(),
            other => other.to_string(),
        }
    }
}

impl DropList {
    /// Name as the platform's files and the schemas have it.
    pub const fn name(self) -> &'static str {
        match self {
            DropList::Email => "email",
            DropList::Phone => "phone",
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            List::Drop(kind) => write!(f, "drop:{}", kind.name()),
            List::Internal => f.write_str("internal"),
            List::Litigator => f.write_str("litigator"),
            List::Ndnc => f.write_str("ndnc"),
            List::Rnd => f.write_str("rnd"),
            List::State(state) => write!(f, "state:{state}"),
        }
    }
}

impl FromStr for List {
    type Err = ListError;

    fn from_str(text: &str) -> Result<List, ListError> {
        match text {
            "drop:email" => Ok(List::Drop(DropList::Email)),
            "drop:phone" => Ok(List::Drop(DropList::Phone)),
            "drop" => Err(ListError::Unmatched),
            "internal" => Ok(List::Internal),
            "litigator" => Ok(List::Litigator),
            "ndnc" => Ok(List::Ndnc),
            "rnd" => Ok(List::Rnd),
            other => match other.split_once(':') {
                Some(("state", state)) if !area_codes().state_zones(state).is_empty() => {
                    Ok(List::State(state.to_owned()))
                }
                Some(("state", _)) => Err(ListError::State),
                Some(("drop", "maid" | "ctv" | "name_dob_zip" | "name_vin")) => Err(ListError::Unmatched),
                _ => Err(ListError::Unknown),
            },
        }
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChange {
    /// Lines that say themselves whether they add or remove.
    Changes,
    /// A whole copy.
    Full,
    /// Lines that all remove.
    Removals,
}

impl ListChange {
    /// Name in `list.imported`.
    pub const fn name(self) -> &'static str {
        match self {
            ListChange::Changes => "changes",
            ListChange::Full => "full",
            ListChange::Removals => "removals",
        }
    }

    /// The kind of file with this name.
    pub fn from_name(name: &str) -> Option<ListChange> {
        [ListChange::Changes, ListChange::Full, ListChange::Removals].into_iter().find(|change| change.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_strangers_are_told_why() {
        for name in ["ndnc", "rnd", "litigator", "internal", "state:TX", "drop:phone", "drop:email"] {
            assert_eq!(name.parse::<List>().unwrap().to_string(), name);
        }
        assert_eq!("state:ZZ".parse::<List>(), Err(ListError::State));
        assert_eq!("state:tx".parse::<List>(), Err(ListError::State));
        assert_eq!("drop:maid".parse::<List>(), Err(ListError::Unmatched));
        assert_eq!("dnc".parse::<List>(), Err(ListError::Unknown));
        assert_eq!("drop:phone".parse::<List>().unwrap().family(), "drop");
    }
}
