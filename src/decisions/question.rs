//! The question as a client asks it, made precise or refused by name.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::country::country;
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::nanp::area_codes;
use crate::domain::phone::Phone;
use crate::policy::contact::{Campaign, Channel, LineType, Mail, Purpose, SubPurpose, Technology};

/// Whether a person may be contacted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactQuestion {
    /// Who.
    pub recipient: RecipientDoc,
    /// What.
    pub contact: ContactDoc,
    /// Other readings of open questions, on a scratch ledger only: switch to value.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<Map<String, Value>>,
}

/// The person: a phone number, an e-mail address, a client's reference or our subject id, and what is known of the place.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecipientDoc {
    /// Our subject id.
    pub subject: Option<String>,
    /// A client's reference; with `source`.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The CloudEvents source of the reference.
    pub source: Option<String>,
    /// The number that would be called.
    pub phone: Option<String>,
    /// The address that would be written to.
    pub email: Option<String>,
    /// mobile, landline, voip, toll_free, none, unknown. Absent: what the ledger knows, else unknown.
    pub line_type: Option<String>,
    /// ZIP code of the person's own address, never of a property.
    pub zip: Option<String>,
    /// State of that address.
    pub state: Option<String>,
    /// ISO 3166 country.
    pub country: Option<String>,
    /// Taken and never used: a property is not where its owner lives.
    #[schema(value_type = Option<Object>)]
    pub property_address: Option<Value>,
    /// Taken and never used.
    pub property_state: Option<String>,
    /// Taken and never used.
    pub property_zip: Option<String>,
}

/// The contact.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactDoc {
    /// voice, sms, mms, email, data_transfer.
    pub channel: String,
    /// manual, autodialed, prerecorded, ai_voice, automated, api.
    pub technology: String,
    /// marketing, informational, transactional, emergency, opt_out_confirmation, sell_lead.
    pub purpose: String,
    /// A narrower purpose.
    #[serde(default)]
    pub sub_purpose: Option<String>,
    /// Seller on whose behalf.
    pub seller: String,
    /// Party to whom a lead would be passed.
    #[serde(default)]
    pub recipient_party: Option<String>,
    /// What it is about; caps count contacts on the same topic.
    #[serde(default, alias = "subject")]
    pub topic: Option<String>,
    /// Campaign.
    #[serde(default)]
    pub campaign: Option<String>,
    /// What a mail carries.
    #[serde(default)]
    pub email: Option<MailDoc>,
    /// Number that will be shown; null or empty: none will be.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub caller_id: Option<Option<String>>,
    /// The campaign's figures of the last 30 days.
    #[serde(default)]
    pub campaign_stats: Option<StatsDoc>,
}

impl ContactDoc {
    /// The passing on of a lead.
    pub(super) fn transfer(seller: &str) -> ContactDoc {
        ContactDoc {
            channel: "data_transfer".to_owned(),
            technology: "api".to_owned(),
            purpose: "sell_lead".to_owned(),
            sub_purpose: None,
            seller: seller.to_owned(),
            recipient_party: None,
            topic: None,
            campaign: None,
            email: None,
            caller_id: None,
            campaign_stats: None,
        }
    }
}

/// What a commercial mail carries.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct MailDoc {
    /// A valid postal address.
    pub physical_address: bool,
    /// A working way to opt out.
    pub opt_out_mechanism: bool,
    /// The address is at a domain that carries mail to phones; our own table is asked as well.
    pub wireless_domain: bool,
}

/// Calls of a campaign.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsDoc {
    /// Answered by a person.
    pub answered_live_30d: u64,
    /// Of these, abandoned.
    pub abandoned_30d: u64,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Why a question cannot be answered. Never carries a value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct QuestionError {
    /// Which member.
    pub pointer: &'static str,
    /// Which kind.
    pub code: &'static str,
    /// In words.
    pub detail: String,
}

/// A question that can be answered.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub subject: Option<String>,
    pub reference: Option<Identifier>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
    pub line_type: Option<LineType>,
    pub zip: Option<String>,
    pub state: Option<String>,
    pub country: Option<String>,
    pub channel: Channel,
    pub technology: Technology,
    pub purpose: Purpose,
    pub sub_purpose: Option<SubPurpose>,
    pub seller: String,
    pub recipient_party: Option<String>,
    pub topic: Option<String>,
    pub campaign: Option<String>,
    pub mail: Option<Mail>,
    pub wireless_said: bool,
    pub caller_id: Option<String>,
    pub caller_id_missing: bool,
    pub stats: Option<Campaign>,
    pub policy: Map<String, Value>,
}

fn wrong(pointer: &'static str, code: &'static str, detail: impl ToString) -> QuestionError {
    QuestionError { pointer, code, detail: detail.to_string() }
}

fn named<T: serde::de::DeserializeOwned>(pointer: &'static str, text: &str) -> Result<T, QuestionError> {
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| wrong(pointer, "enum_unknown", "is none of the words of this member"))
}

fn id(pointer: &'static str, text: &str) -> Result<String, QuestionError> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if first && rest && text.len() <= 64 {
        Ok(text.to_owned())
    } else {
        Err(wrong(pointer, "id_invalid", "is letters, digits, . _ - and at most 64 of them"))
    }
}

impl ContactQuestion {
    /// Makes the question precise.
    pub(super) fn asked(&self) -> Result<Asked, QuestionError> {
        let (who, what) = (&self.recipient, &self.contact);
        let phone = who.phone.as_deref().map(|phone| Phone::parse(phone, Phone::DEFAULT_COUNTRY)).transpose();
        let phone = phone.map_err(|error| wrong("/recipient/phone", "phone_invalid", error))?;
        let email = who.email.as_deref().map(Email::parse).transpose();
        let email = email.map_err(|error| wrong("/recipient/email", "email_invalid", error))?;
        let channel: Channel = named("/contact/channel", &what.channel)?;
        let purpose: Purpose = named("/contact/purpose", &what.purpose)?;
        if channel.is_phone() && phone.is_none() {
            return Err(wrong("/recipient/phone", "phone_required", "a call or text needs the number"));
        }
        if channel == Channel::Email && email.is_none() {
            return Err(wrong("/recipient/email", "email_required", "a mail needs the address"));
        }
        if (channel == Channel::DataTransfer) != (purpose == Purpose::SellLead)
            || matches!(purpose, Purpose::Profiling | Purpose::Recording)
            || purpose == Purpose::OptOutConfirmation && !channel.is_phone()
        {
            return Err(wrong("/contact/purpose", "purpose_not_for_channel", "the channel has no such purpose"));
        }
        let reference = match (&who.reference, &who.source) {
            (Some(reference), Some(source)) => Some(
                Identifier::reference(source, reference)
                    .map_err(|error| wrong("/recipient/ref", "ref_invalid", error))?,
            ),
            (Some(_), None) => return Err(wrong("/recipient/source", "source_required", "a ref needs its source")),
            (None, _) => None,
        };
        if phone.is_none() && email.is_none() && reference.is_none() && who.subject.is_none() {
            return Err(wrong("/recipient", "recipient_unnamed", "name a phone, an email, a ref or a subject"));
        }
        self.place()?;
        Ok(Asked {
            subject: who.subject.clone(),
            reference,
            phone,
            email,
            line_type: who.line_type.as_deref().map(|line| named("/recipient/line_type", line)).transpose()?,
            zip: who.zip.clone(),
            state: who.state.clone(),
            country: who.country.as_deref().map(str::to_ascii_uppercase),
            channel,
            technology: named("/contact/technology", &what.technology)?,
            purpose,
            sub_purpose: what.sub_purpose.as_deref().map(|sub| named("/contact/sub_purpose", sub)).transpose()?,
            seller: id("/contact/seller", &what.seller)?,
            recipient_party: what
                .recipient_party
                .as_deref()
                .map(|party| id("/contact/recipient_party", party))
                .transpose()?,
            topic: topic(what.topic.as_deref())?,
            campaign: what.campaign.as_deref().map(|campaign| id("/contact/campaign", campaign)).transpose()?,
            mail: what.email.map(|mail| Mail {
                physical_address: mail.physical_address,
                opt_out_mechanism: mail.opt_out_mechanism,
            }),
            wireless_said: what.email.is_some_and(|mail| mail.wireless_domain),
            caller_id: what.caller_id.clone().flatten().filter(|from| !from.trim().is_empty()),
            caller_id_missing: what
                .caller_id
                .as_ref()
                .is_some_and(|from| from.as_ref().is_none_or(|from| from.trim().is_empty())),
            stats: what.campaign_stats.map(|stats| Campaign {
                answered_live_30d: stats.answered_live_30d,
                abandoned_30d: stats.abandoned_30d,
            }),
            policy: self.policy.clone().unwrap_or_default(),
        })
    }

    fn place(&self) -> Result<(), QuestionError> {
        let who = &self.recipient;
        if let Some(state) = &who.state
            && area_codes().state_zones(&state.trim().to_ascii_uppercase()).is_empty()
        {
            return Err(wrong("/recipient/state", "state_unknown", "is no state of the United States"));
        }
        let zip = |zip: &str| zip.trim().len() >= 5 && zip.trim().bytes().take(5).all(|byte| byte.is_ascii_digit());
        if who.zip.as_deref().is_some_and(|text| !zip(text)) {
            return Err(wrong("/recipient/zip", "zip_invalid", "is five digits, or five and four"));
        }
        if who.country.as_deref().is_some_and(|code| country(&code.to_ascii_uppercase()).is_none()) {
            return Err(wrong("/recipient/country", "country_unknown", "is no ISO 3166 country"));
        }
        Ok(())
    }
}

fn topic(text: Option<&str>) -> Result<Option<String>, QuestionError> {
    match text {
        Some(topic) if topic.is_empty() || topic.chars().count() > 200 => {
            Err(wrong("/contact/topic", "topic_invalid", "has 1 to 200 characters"))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

impl Asked {
    /// The identifiers that name the person.
    pub fn identifiers(&self) -> Vec<Identifier> {
        let phone = self.phone.as_ref().map(|phone| (IdentifierKind::Phone, phone.as_str().to_owned()));
        let email = self.email.as_ref().map(|email| (IdentifierKind::Email, email.as_str().to_owned()));
        let named = [phone, email].into_iter().flatten().map(|(kind, value)| Identifier { kind, value });
        self.reference.iter().cloned().chain(named).collect()
    }
}
