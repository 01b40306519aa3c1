//! What the rules see: the question, where the person is, and their history, reduced.
//!
//! A phone number, an address or a name is never here: a number is `same` or `other`, a place is a list of states and zones,
//! a text is a reply class. So facts may stand in the business part of a decision and outlive an erasure.

use serde::{Deserialize, Serialize};

use super::place::Place;
use super::switches::Switches;
use crate::domain::time::Timestamp;

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($(#[$inner:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $kind { $(#[doc = concat!("`", stringify!($variant), "`.")] $(#[$inner])* $variant,)* }
    };
}

names!(
    /// How the person would be reached. `data_transfer` is the passing on of a lead.
    Channel { Voice, Sms, Mms, Email, DataTransfer, }
);
names!(
    /// How it is dialled or sent. `automated` in a grant covers `autodialed`, `prerecorded` and `ai_voice`.
    Technology { Manual, Autodialed, Prerecorded, AiVoice, Automated, Api, }
);
names!(
    /// What for. The last two occur in grants only.
    Purpose { Marketing, Informational, Transactional, Emergency, OptOutConfirmation, SellLead, Profiling, Recording, }
);
names!(
    /// A narrower purpose where the law is unsettled.
    SubPurpose { OfferToPurchaseProperty, Survey, Appointment, Delivery, Collection, Other, }
);
names!(
    /// What kind of line a number is.
    #[derive(Default)]
    LineType { Mobile, Landline, Voip, TollFree, None, #[default] Unknown, }
);
names!(
    /// What kind of consent.
    ConsentKind { Pewc, Pec, Oral, DncPermission, EmailOptIn, GdprConsent, SoftOptIn, }
);
names!(
    /// What a revocation reaches by its own words.
    Category { Marketing, Informational, All, }
);
names!(
    /// How somebody asked to stop.
    StopBy {
        /// An inbound text that is an opt-out.
        Reply,
        /// A revocation of consent by any other means.
        Revoked,
        /// A request to the company not to call.
        DncRequest,
        /// An objection to direct marketing.
        Objection,
        /// A suppression recorded by hand or by a tool.
        Suppression,
    }
);
names!(
    /// Whether an act names the number or address that the question is about.
    #[derive(Default)]
    Number { Same, Other, #[default] Unsaid, }
);

impl Channel {
    /// A call or a text.
    pub const fn is_phone(self) -> bool {
        matches!(self, Channel::Voice | Channel::Sms | Channel::Mms)
    }

    /// A text, with pictures or without.
    pub const fn is_text(self) -> bool {
        matches!(self, Channel::Sms | Channel::Mms)
    }

    /// Consent for one is consent for the other: both are texts to the same number.
    pub const fn same_kind(self, other: Channel) -> bool {
        self as u8 == other as u8 || self.is_text() && other.is_text()
    }
}

/// Everything a decision depends on, apart from the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The instant asked about.
    pub now: Timestamp,
    /// Who is asked about.
    pub recipient: Recipient,
    /// What is asked.
    pub contact: Contact,
    /// What had happened and was recorded by `now`, oldest first.
    pub acts: Vec<Act>,
    /// Readings of the law in force for the ledger.
    pub switches: Switches,
}

/// The person, reduced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recipient {
    /// ISO 3166 country as stated, else of the number; absent: the United States.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// What kind of line the number is.
    #[serde(default)]
    pub line_type: LineType,
    /// Where the number and the address point.
    #[serde(default)]
    pub place: Place,
    /// The e-mail address is at a domain that carries mail to phones.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wireless_domain: bool,
}

/// The contact asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Channel.
    pub channel: Channel,
    /// Technology.
    pub technology: Technology,
    /// Purpose.
    pub purpose: Purpose,
    /// Narrower purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_purpose: Option<SubPurpose>,
    /// Seller on whose behalf.
    pub seller: String,
    /// Keyed hash of what it is about; caps count contacts on the same topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// What a mail carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
    /// The caller says that no caller ID will be transmitted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub caller_id_missing: bool,
    /// The campaign's figures of the last 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Campaign>,
}

/// What a commercial mail carries, 15 U.S.C. 7704(a).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mail {
    /// A valid postal address.
    #[serde(default)]
    pub physical_address: bool,
    /// A working way to opt out.
    #[serde(default)]
    pub opt_out_mechanism: bool,
}

/// Calls of a campaign in the last 30 days, 47 CFR 64.1200(a)(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Answered by a person.
    pub answered_live_30d: u64,
    /// Of these, abandoned.
    pub abandoned_30d: u64,
}

/// Something that happened, with both time axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When it happened.
    pub at: Timestamp,
    /// When the ledger learnt it.
    pub recorded: Timestamp,
    /// Whether it names the number asked about.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub number: Number,
    /// Position of its entry, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// A consent as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Its kind.
    pub kind: ConsentKind,
    /// Sellers that it names.
    #[serde(default)]
    pub sellers: Vec<String>,
    /// Channels that it covers.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Technologies that it covers.
    #[serde(default)]
    pub technologies: Vec<Technology>,
    /// Purposes that it covers.
    #[serde(default)]
    pub purposes: Vec<Purpose>,
    /// It was signed, and not by a box checked beforehand.
    #[serde(default)]
    pub signed: bool,
    /// Both disclosures of 64.1200(f)(9)(i) were made.
    #[serde(default)]
    pub disclosed: bool,
    /// From when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
#[expect(missing_docs, reason = "fields are the words of the schemas")]
pub enum What {
    /// We reached out, or tried to.
    Attempted { channel: Channel, technology: Technology, purpose: Purpose, seller: String, topic: Option<String> },
    /// Opted out of the sale of personal information, 1798.120; `gpc` by a browser signal.
    CcpaOptedOut { gpc: bool },
    /// Opted in again.
    CcpaOptedIn,
    /// An earlier stop, review or wrong number was entered in error.
    Cleared { phone: bool, email: bool },
    /// Matched a list of the state's deletion platform.
    DropMatched { status: Option<u8> },
    /// The match was taken back by the platform.
    DropReleased,
    /// Unsubscribed from a sender's mail.
    EmailOptedOut { sender: Option<String> },
    /// A state of emergency with effect on sales calls, until an instant.
    Emergency { state: String, from: Timestamp, until: Timestamp },
    /// Erased; with a token that keeps the suppression, or without.
    Erased { token_kept: bool },
    /// Gave consent.
    Granted(Grant),
    /// Asked the seller for something.
    Inquired { seller: String },
    /// A list answered.
    ListChecked { list: String, result: String, copy_of: Option<Timestamp> },
    /// Objected to direct marketing, GDPR Art. 21(2).
    Objected,
    /// A telemarketer's registration in a state.
    Registered { state: String, from: Timestamp, until: Option<Timestamp>, holder: Option<String> },
    /// Sent something in which a person must look for an opt-out.
    Reviewed,
    /// Texted START.
    Started,
    /// Asked to stop. `phone` and `email` say what it reaches.
    Stopped { by: StopBy, seller: Option<String>, category: Option<Category>, phone: bool, email: bool },
    /// Bought from, paid or contracted with the seller.
    Transacted { seller: String, similar_products: bool, opt_out_offered: bool },
    /// Says that the number is somebody else's.
    WrongNumber,
}

impl Facts {
    /// Whether anything known of the person names this seller. Rules compare the seller asked about with these names and with
    /// nothing else, so all sellers that are not named are judged alike.
    pub fn names(&self, seller: &str) -> bool {
        self.acts.iter().any(|act| act.what.names(seller))
    }
}

impl What {
    fn names(&self, asked: &str) -> bool {
        match self {
            What::Granted(grant) => grant.sellers.iter().any(|seller| seller == asked),
            What::Attempted { seller, .. } | What::Inquired { seller } | What::Transacted { seller, .. } => {
                seller == asked
            }
            What::EmailOptedOut { sender } => sender.as_deref() == Some(asked),
            What::Registered { holder, .. } => holder.as_deref() == Some(asked),
            What::Stopped { seller, .. } => seller.as_deref() == Some(asked),
            What::CcpaOptedOut { .. }
            | What::CcpaOptedIn
            | What::Cleared { .. }
            | What::DropMatched { .. }
            | What::DropReleased
            | What::Emergency { .. }
            | What::Erased { .. }
            | What::ListChecked { .. }
            | What::Objected
            | What::Reviewed
            | What::Started
            | What::WrongNumber => false,
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_unsaid(number: &Number) -> bool {
    *number == Number::Unsaid
}
