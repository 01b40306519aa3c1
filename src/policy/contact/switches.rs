//! Readings of the law that are open: switches, with a default on the strict side (compliance rules, items 17 and 1.9).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How open questions are read. Absent ones take the strict reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// `pewc`, or `bradford_5th_cir`: oral consent is enough in TX, LA, MS, never for prerecorded or AI voice.
    pub federal_consent_standard: ConsentStandard,
    /// `any_automation`, or `duguid`: only a random or sequential number generator is an autodialer.
    pub atds_definition: AtdsDefinition,
    /// `all`, or `category`: a STOP ends marketing only.
    pub revocation_scope: RevocationScope,
    /// `telemarketer`, or `seller`: a request binds only the seller it was made to.
    pub internal_dnc_scope: InternalDncScope,
    /// Consent lifts the federal window.
    pub consent_waives_federal_quiet_hours: bool,
    /// An offer to buy a home is a solicitation.
    pub offer_to_buy_is_solicitation: bool,
    /// The registry protects against texts too.
    pub texts_are_calls_for_dnc: bool,
    /// A missing state registration refuses instead of warning.
    pub enforce_registration: bool,
    /// A generated voice is an artificial voice.
    pub ai_voice_is_artificial: bool,
    /// A mobile number is a residential line.
    pub mobile_is_residential: bool,
    /// Oklahoma is closed on holidays; sources conflict.
    pub oklahoma_holiday_ban: bool,
}

/// What federal law asks of consent to automated marketing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentStandard {
    /// Prior express written consent.
    Pewc,
    /// Express consent in any form, within the 5th Circuit.
    #[serde(rename = "bradford_5th_cir")]
    Bradford5thCir,
}

/// What an autodialer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtdsDefinition {
    /// Any automated selection or dialling.
    AnyAutomation,
    /// Only random or sequential generation, *Facebook v. Duguid*.
    Duguid,
}

/// How far a STOP reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationScope {
    /// Every category.
    All,
    /// Marketing.
    Category,
}

/// Whom a do-not-call request binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InternalDncScope {
    /// Everyone we call for.
    Telemarketer,
    /// The seller it was made to.
    Seller,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            federal_consent_standard: ConsentStandard::Pewc,
            atds_definition: AtdsDefinition::AnyAutomation,
            revocation_scope: RevocationScope::All,
            internal_dnc_scope: InternalDncScope::Telemarketer,
            consent_waives_federal_quiet_hours: false,
            offer_to_buy_is_solicitation: true,
            texts_are_calls_for_dnc: true,
            enforce_registration: false,
            ai_voice_is_artificial: true,
            mobile_is_residential: true,
            oklahoma_holiday_ban: false,
        }
    }
}

/// A switch or value that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SwitchError(pub String);

impl Switches {
    /// These switches with some set otherwise.
    ///
    /// # Errors
    /// [`SwitchError`] names the switch that is unknown or has a value it cannot have.
    pub fn with(self, set: &Map<String, Value>) -> Result<Switches, SwitchError> {
        let mut all = self.to_map();
        for (name, value) in set {
            if !all.contains_key(name) {
                return Err(SwitchError(format!("there is no switch {name}")));
            }
            all.insert(name.clone(), value.clone());
        }
        serde_json::from_value(Value::Object(all))
            .map_err(|error| SwitchError(format!("a switch has no such value: {error}")))
    }

    /// Every switch with its value.
    pub fn to_map(self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            Ok(_) | Err(_) => Map::new(),
        }
    }
}
