//! Where the person may be: every state and zone that the number or the address points to (compliance rules, items 1-4).
//!
//! Mobiles move, so a number's area code and an address are both believed; a contact must be lawful in all of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::facts::LineType;
use crate::domain::nanp::area_codes;
use crate::domain::phone::Phone;

const ZIP_TEXT: &str = include_str!("../../../policies/zip-codes.toml");

/// States and zones by their two sources; empty lists where a source says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// States of the area code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phone_states: Vec<String>,
    /// Zones of the area code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phone_zones: Vec<String>,
    /// States of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub home_states: Vec<String>,
    /// Zones of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub home_zones: Vec<String>,
}

/// States and zones of an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Home {
    /// States.
    pub states: Vec<String>,
    /// Zones.
    pub zones: Vec<String>,
}

impl Place {
    /// The zones to mind: for a landline those that both sources name, if there are any; else all.
    pub fn zones(&self, line: LineType) -> Vec<&str> {
        let both: Vec<&str> =
            self.phone_zones.iter().filter(|zone| self.home_zones.contains(zone)).map(String::as_str).collect();
        let mut zones: Vec<&str> = if line == LineType::Landline && !both.is_empty() {
            both
        } else {
            self.phone_zones.iter().chain(&self.home_zones).map(String::as_str).collect()
        };
        zones.sort_unstable();
        zones.dedup();
        zones
    }

    /// The states to mind: always all.
    pub fn states(&self) -> Vec<&str> {
        let mut states: Vec<&str> = self.phone_states.iter().chain(&self.home_states).map(String::as_str).collect();
        states.sort_unstable();
        states.dedup();
        states
    }

    /// This place with the address known better.
    #[must_use]
    pub fn with_home(mut self, home: Home) -> Place {
        (self.home_states, self.home_zones) = (home.states, home.zones);
        self
    }
}

/// ZIP codes: the table of this build.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZipCodes {
    version: String,
    /// State to inclusive ranges of ZIP3, `"430-459"` or `"885"`.
    states: BTreeMap<String, Vec<String>>,
    /// ZIP3, or a whole ZIP, to its zones where they are not the state's main one.
    zones: BTreeMap<String, Vec<String>>,
}

fn zip_codes() -> &'static (ZipCodes, Vec<Option<String>>) {
    // A test proves that the file reads; if it did not, every ZIP would be unknown.
    static TABLE: LazyLock<(ZipCodes, Vec<Option<String>>)> = LazyLock::new(|| {
        let file: ZipCodes = toml::from_str(ZIP_TEXT).unwrap_or_default();
        let mut states = vec![None; 1000];
        for (state, ranges) in &file.states {
            for range in ranges {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
                for slot in states.iter_mut().take(last + 1).skip(first) {
                    *slot = Some(state.clone());
                }
            }
        }
        (file, states)
    });
    &TABLE
}

/// Version of the ZIP table, for decisions.
pub fn zip_version() -> &'static str {
    &zip_codes().0.version
}

/// Version and text of the ZIP table, for the log.
pub fn zip_table() -> (&'static str, &'static str) {
    (zip_version(), ZIP_TEXT)
}

/// States and zones of an address known by its ZIP code, its state, or both. A ZIP narrows the zones; where the two name
/// different states both are minded.
pub fn home_of(zip: Option<&str>, state: Option<&str>) -> Home {
    let mut home = Home::default();
    let digits = zip.map(str::trim).filter(|zip| zip.len() >= 5 && zip.chars().take(5).all(|c| c.is_ascii_digit()));
    let (table, states) = zip_codes();
    if let Some((zip5, zip3)) = digits.and_then(|zip| Some((zip.get(..5)?, zip.get(..3)?)))
        && let Some(Some(found)) = zip3.parse::<usize>().ok().and_then(|place| states.get(place))
    {
        let main = area_codes().state_zones(found).iter().take(1).cloned().collect();
        let zones = table.zones.get(zip5).or_else(|| table.zones.get(zip3)).cloned().unwrap_or(main);
        (home.states, home.zones) = (vec![found.clone()], zones);
    }
    if let Some(state) = state.map(str::trim).map(str::to_ascii_uppercase)
        && !home.states.contains(&state)
    {
        let zones = area_codes().state_zones(&state);
        if !zones.is_empty() {
            home.zones.extend(zones.iter().filter(|zone| !home.zones.contains(zone)).cloned().collect::<Vec<_>>());
            home.states.push(state);
        }
    }
    home
}

/// Country of a number, and the states and zones of its area code.
pub fn phone_place(phone: &Phone) -> (Option<&'static str>, Place) {
    let mut place = Place::default();
    if let Some(area) = phone.area_code().and_then(|code| area_codes().area(code)) {
        place.phone_states.extend(area.state.clone());
        place.phone_zones.clone_from(&area.zones);
    }
    (phone.country(), place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(zip: &str, state: &str) -> String {
        let home = home_of(Some(zip).filter(|zip| !zip.is_empty()), Some(state).filter(|state| !state.is_empty()));
        format!("{} {}", home.states.join(","), home.zones.join(","))
    }

    #[test]
    fn zip_codes_name_a_state_and_its_zones() {
        let table: ZipCodes = toml::from_str(ZIP_TEXT).unwrap();
        assert_eq!(table.version, zip_version());
        assert_eq!(table.states.len(), 54, "50 states, the district and three territories");
        for (zip, zones) in &table.zones {
            assert!(zip.len() == 3 || zip.len() == 5, "{zip}");
            assert!(zones.iter().all(|zone| zone.parse::<chrono_tz::Tz>().is_ok()), "{zip}");
        }
        for (zip, expected) in [
            ("43215", "OH America/New_York"),
            ("75201", "TX America/Chicago"),
            ("79901", "TX America/Denver"),
            ("32401", "FL America/New_York,America/Chicago"),
            ("32501", "FL America/Chicago"),
            ("46402", "IN America/Chicago"),
            ("46204", "IN America/New_York"),
            ("42001", "KY America/Chicago"),
            ("37902", "TN America/New_York"),
            ("37201", "TN America/Chicago"),
            ("83814", "ID America/Los_Angeles"),
            ("57701", "SD America/Denver"),
            ("69301", "NE America/Denver"),
            ("86515", "AZ America/Phoenix,America/Denver"),
            ("85001", "AZ America/Phoenix"),
            ("94105", "CA America/Los_Angeles"),
            ("10001-1234", "NY America/New_York"),
            ("00100", " "),
            ("1234", " "),
        ] {
            assert_eq!(home(zip, ""), expected, "{zip}");
        }
    }

    #[test]
    fn a_state_alone_has_all_its_zones_and_a_contradiction_both_states() {
        assert_eq!(home("", "tx"), "TX America/Chicago,America/Denver");
        assert_eq!(home("75201", "TX"), "TX America/Chicago");
        assert_eq!(home("43215", "CA"), "OH,CA America/New_York,America/Los_Angeles");
        assert_eq!(home("", "ZZ"), " ");
    }

    #[test]
    fn landlines_narrow_and_other_lines_do_not() {
        let (_, place) = phone_place(&Phone::parse("+12195550100", "US").unwrap());
        let place = place.with_home(home_of(Some("46402"), None));
        assert_eq!(place.zones(LineType::Landline), ["America/Chicago"]);
        assert_eq!(place.zones(LineType::Mobile), ["America/Chicago", "America/New_York"]);
        let far = phone_place(&Phone::parse("+16145550100", "US").unwrap()).1.with_home(home_of(Some("94105"), None));
        assert_eq!(far.zones(LineType::Landline), ["America/Los_Angeles", "America/New_York"]);
        assert_eq!(far.states(), ["CA", "OH"]);
    }
}
