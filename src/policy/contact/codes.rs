//! Reason codes: why a contact is refused, and on which ground one is allowed.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $name:literal,)*) => {
        /// A reason. Deny codes first, then the grounds on which a contact is allowed; names are frozen, decisions carry them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $name] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name in answers and decisions.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }
        }
    };
}

codes! {
    AbandonRate = "ABANDON_RATE",
    CallerIdMissing = "CALLER_ID_MISSING",
    CcpaOptOut = "CCPA_OPT_OUT",
    CcpaOptOutGpc = "CCPA_OPT_OUT_GPC",
    ConfirmationLimit = "CONFIRMATION_LIMIT",
    ConsentDefective = "CONSENT_DEFECTIVE",
    ConsentNotInEffect = "CONSENT_NOT_IN_EFFECT",
    ConsentRevoked = "CONSENT_REVOKED",
    ConsentScopeChannel = "CONSENT_SCOPE_CHANNEL",
    ConsentScopeNumber = "CONSENT_SCOPE_NUMBER",
    ConsentScopePurpose = "CONSENT_SCOPE_PURPOSE",
    ConsentScopeSeller = "CONSENT_SCOPE_SELLER",
    ConsentScopeTechnology = "CONSENT_SCOPE_TECHNOLOGY",
    DataBrokerDrop = "DATA_BROKER_DROP",
    DncScrubStale = "DNC_SCRUB_STALE",
    EmailFooterMissing = "EMAIL_FOOTER_MISSING",
    EmailOptedOut = "EMAIL_OPTED_OUT",
    EmailWirelessDomain = "EMAIL_WIRELESS_DOMAIN",
    ErasedSuppressed = "ERASED_SUPPRESSED",
    FreqCap24h = "FREQ_CAP_24H",
    GdprConsentWithdrawn = "GDPR_CONSENT_WITHDRAWN",
    GdprNoBasis = "GDPR_NO_BASIS",
    GdprObjection = "GDPR_OBJECTION",
    HolidayBan = "HOLIDAY_BAN",
    InternalDnc = "INTERNAL_DNC",
    LitigatorHold = "LITIGATOR_HOLD",
    LocationUnknown = "LOCATION_UNKNOWN",
    NationalDnc = "NATIONAL_DNC",
    NoPec = "NO_PEC",
    NoPewc = "NO_PEWC",
    QuietHoursFederal = "QUIET_HOURS_FEDERAL",
    QuietHoursState = "QUIET_HOURS_STATE",
    ResExemptLimit = "RES_EXEMPT_LIMIT_3_30",
    RevocationReview = "REVOCATION_REVIEW",
    RndReassigned = "RND_REASSIGNED",
    RndUnverified = "RND_UNVERIFIED",
    StateEmergency = "STATE_EMERGENCY",
    StateMobileBan = "STATE_MOBILE_BAN",
    StatePewcRequired = "STATE_PEWC_REQUIRED",
    StateRegistration = "STATE_REGISTRATION",
    StateTextConsent = "STATE_TEXT_CONSENT",
    SundayBan = "SUNDAY_BAN",
    WrongNumber = "WRONG_NUMBER",
    BasisCanSpam = "BASIS_CAN_SPAM",
    BasisEbrInquiry = "BASIS_EBR_INQUIRY",
    BasisEbrTransaction = "BASIS_EBR_TRANSACTION",
    BasisEmergency = "BASIS_EMERGENCY",
    BasisGdprConsent = "BASIS_GDPR_CONSENT",
    BasisNoConsentRequired = "BASIS_NO_CONSENT_REQUIRED",
    BasisNotOptedOut = "BASIS_NOT_OPTED_OUT",
    BasisOptOutConfirmation = "BASIS_OPT_OUT_CONFIRMATION",
    BasisPec = "BASIS_PEC",
    BasisPewc = "BASIS_PEWC",
    BasisResExempt = "BASIS_RES_EXEMPT_3_IN_30",
    BasisSoftOptIn = "BASIS_SOFT_OPT_IN",
    BasisTransactional = "BASIS_TRANSACTIONAL",
}

impl Code {
    /// The code of a name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of codes in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Codes(u64);

impl Codes {
    pub const fn new() -> Codes {
        Codes(0)
    }

    pub const fn insert(&mut self, code: Code) {
        self.0 |= 1 << code as u8;
    }

    pub const fn contains(self, code: Code) -> bool {
        self.0 & 1 << code as u8 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub fn iter(self) -> impl Iterator<Item = Code> {
        Code::ALL.iter().copied().filter(move |code| self.contains(*code))
    }

    /// The names, sorted as answers give them.
    pub fn sorted(self) -> Vec<Code> {
        let mut codes: Vec<Code> = self.iter().collect();
        codes.sort_unstable_by_key(|code| code.name());
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_fits_the_set_and_has_its_own_name() {
        assert!(Code::ALL.len() <= 64);
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(*code));
        }
        assert_eq!(Code::from_name("NOPE"), None);
    }
}
