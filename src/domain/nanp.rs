//! Area codes of the North American Numbering Plan: country, states and time zones that a number's area code speaks for.
//!
//! The table is data with its source, `policies/area-codes.toml`, fixed at build time. It promises nothing about where
//! the person is: mobiles move. It gives candidates, never narrowed by exchange, and knows nothing of codes that are not
//! listed; callers treat an unknown place as a refusal.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::country::country;

const TEXT: &str = include_str!("../../policies/area-codes.toml");
/// The lowest area code that the plan can hold; the highest is 999.
const FIRST: u16 = 200;

/// What an area code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// ISO 3166 country. Territories with their own code, such as Puerto Rico, stand under US with their postal code as
    /// state, because federal telephone law reaches them.
    pub country: &'static str,
    /// Postal code of the state; none outside the US.
    pub state: Option<String>,
    /// Candidate IANA zones; empty outside the US.
    pub zones: Vec<String>,
}

/// The whole table.
#[derive(Debug, Default)]
pub struct AreaCodes {
    /// Version of the data, for decisions and derived facts.
    pub version: String,
    areas: Vec<Option<Area>>,
    zones: BTreeMap<String, Vec<String>>,
}

/// Why the text is not such a table.
#[derive(Debug, thiserror::Error)]
pub enum AreaCodesError {
    /// A code is outside 200-999, listed twice, or has zones but no state.
    #[error("area code {0} is out of range, listed twice or has no state")]
    Code(String),
    /// Not an ISO 3166 country.
    #[error("{0} is not a country code")]
    Country(String),
    /// A state has codes but no zones.
    #[error("state {0} has no zones")]
    State(String),
    /// Not the shape of the file.
    #[error("area code table does not read")]
    Toml(#[from] toml::de::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    zones: BTreeMap<String, Vec<String>>,
    states: BTreeMap<String, Vec<u16>>,
    codes: BTreeMap<String, Vec<String>>,
    countries: BTreeMap<String, Vec<u16>>,
}

impl AreaCodes {
    /// Reads the form of `policies/area-codes.toml`.
    ///
    /// # Errors
    /// [`AreaCodesError`] names the first entry that contradicts another.
    pub fn parse(text: &str) -> Result<AreaCodes, AreaCodesError> {
        let file: File = toml::from_str(text)?;
        let mut table =
            AreaCodes { version: file.version, areas: vec![None; 1000 - usize::from(FIRST)], zones: file.zones };
        for (state, codes) in file.states {
            let main = table.zones.get(&state).and_then(|zones| zones.first()).cloned();
            let main = main.ok_or_else(|| AreaCodesError::State(state.clone()))?;
            for code in codes {
                let area = Area { country: "US", state: Some(state.clone()), zones: vec![main.clone()] };
                table.insert(code, area)?;
            }
        }
        for (name, codes) in file.countries {
            let country = country(&name).ok_or(AreaCodesError::Country(name))?;
            for code in codes {
                table.insert(code, Area { country, state: None, zones: Vec::new() })?;
            }
        }
        for (code, zones) in file.codes {
            let place = code.parse().ok().and_then(place_of);
            match place.and_then(|place| table.areas.get_mut(place)) {
                Some(Some(area)) if area.state.is_some() => area.zones = zones,
                _ => return Err(AreaCodesError::Code(code)),
            }
        }
        Ok(table)
    }

    fn insert(&mut self, code: u16, area: Area) -> Result<(), AreaCodesError> {
        match place_of(code).and_then(|place| self.areas.get_mut(place)) {
            Some(slot @ None) => {
                *slot = Some(area);
                Ok(())
            }
            _ => Err(AreaCodesError::Code(code.to_string())),
        }
    }

    /// What `code` speaks for, if the table lists it.
    pub fn area(&self, code: u16) -> Option<&Area> {
        self.areas.get(place_of(code)?)?.as_ref()
    }

    /// Every zone of a state by its postal code, the main one first; empty for what is not a state.
    pub fn state_zones(&self, state: &str) -> &[String] {
        self.zones.get(state).map_or(&[], Vec::as_slice)
    }
}

/// The table of this build.
///
/// If it did not read it would be empty: every place unknown, every contact refused. A test proves that it reads.
pub fn area_codes() -> &'static AreaCodes {
    static TABLE: LazyLock<AreaCodes> = LazyLock::new(|| AreaCodes::parse(TEXT).unwrap_or_default());
    &TABLE
}

/// Version and text of the file behind [`area_codes`], for the log.
pub fn table() -> (&'static str, &'static str) {
    (&area_codes().version, TEXT)
}

/// The area code of an E.164 number under +1, or none for other numbers.
pub fn area_code_of(e164: &str) -> Option<u16> {
    let national = e164.strip_prefix("+1").filter(|national| national.len() == 10)?;
    national.get(..3)?.parse().ok().filter(|code| *code >= FIRST)
}

/// True for ten digits shaped as area code, exchange and line of the plan: `NXX NXX XXXX` with N from 2 to 9.
pub fn is_nanp_shape(national: &str) -> bool {
    let bytes = national.as_bytes();
    let starts_well = |place: usize| bytes.get(place).is_some_and(|byte| (b'2'..=b'9').contains(byte));
    bytes.len() == 10 && bytes.iter().all(u8::is_ascii_digit) && starts_well(0) && starts_well(3)
}

fn place_of(code: u16) -> Option<usize> {
    (FIRST..1000).contains(&code).then(|| usize::from(code - FIRST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(code: u16) -> String {
        area_codes().area(code).map_or(String::from("unknown"), |area| area.zones.join(" "))
    }

    #[test]
    fn the_shipped_table_reads() {
        let table = AreaCodes::parse(TEXT).unwrap();
        assert_eq!(table.version, area_codes().version);
        assert_eq!(table.areas.iter().flatten().filter(|area| area.country == "US").count(), 367);
        assert_eq!(table.zones.len(), 56, "50 states, the district and five territories");
        for area in table.areas.iter().flatten() {
            assert_eq!(area.state.is_some(), area.country == "US");
            assert_eq!(area.zones.is_empty(), area.country != "US");
        }
    }

    #[test]
    fn split_area_codes_keep_every_zone() {
        for (code, expected) in [
            (212, "America/New_York"),
            (407, "America/New_York"),
            (689, "America/New_York"),
            (219, "America/New_York America/Chicago"),
            (364, "America/New_York America/Chicago"),
            (448, "America/New_York America/Chicago"),
            (930, "America/New_York America/Chicago"),
            (458, "America/Denver America/Los_Angeles"),
            (915, "America/Chicago America/Denver"),
            (865, "America/New_York"),
            (615, "America/Chicago"),
            (907, "America/Anchorage America/Adak"),
            (928, "America/Phoenix America/Denver"),
            (602, "America/Phoenix"),
            (808, "Pacific/Honolulu"),
            (416, ""),
            (800, "unknown"),
            (500, "unknown"),
            (555, "unknown"),
        ] {
            assert_eq!(zones(code), expected, "{code}");
        }
    }

    #[test]
    fn codes_name_their_country_and_state() {
        let place = |code| area_codes().area(code).map(|area| (area.country, area.state.clone().unwrap_or_default()));
        assert_eq!(place(614), Some(("US", "OH".into())));
        assert_eq!(place(787), Some(("US", "PR".into())));
        assert_eq!(place(416), Some(("CA", String::new())));
        assert_eq!(place(876), Some(("JM", String::new())));
        assert_eq!(place(199), None);
        assert_eq!(area_codes().state_zones("FL").len(), 2);
        assert!(area_codes().state_zones("XX").is_empty());
    }

    #[test]
    fn contradictions_in_a_table_are_refused() {
        let table = |states: &str, codes: &str| {
            let text = format!(
                "version='1'\n[zones]\nOH=['America/New_York']\n[states]\n{states}\n[codes]\n{codes}\n[countries]\nCA=[416]\n"
            );
            AreaCodes::parse(&text).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(table("OH=[614]", "614=['America/Chicago']"), Ok(()));
        assert!(table("OH=[614, 614]", "").unwrap_err().contains("614"));
        assert!(table("OH=[416]", "").unwrap_err().contains("416"));
        assert!(table("OH=[199]", "").unwrap_err().contains("199"));
        assert!(table("PA=[215]", "").unwrap_err().contains("PA"));
        assert!(table("OH=[614]", "416=['America/Toronto']").unwrap_err().contains("416"));
    }

    #[test]
    fn area_code_is_read_from_e164_only() {
        assert_eq!(area_code_of("+16145550142"), Some(614));
        assert_eq!(area_code_of("+4930901820"), None);
        assert_eq!(area_code_of("+1614555014"), None);
        assert!(is_nanp_shape("6145550142") && !is_nanp_shape("1145550142") && !is_nanp_shape("6141550142"));
    }
}
