//! From what was read to what the rules see: acts with both time axes, the person's place, the question.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::gate::DecideError;
use super::history::{History, topic_hash};
use super::inputs::relevant;
use super::posture::Posture;
use super::question::Asked;
use crate::domain::email::Email;
use crate::domain::identifier::IdentifierKind;
use crate::domain::list::List;
use crate::domain::phone::Phone;
use crate::domain::time::{Timestamp, day_text};
use crate::ingest::Ledger;
use crate::ingest::lists::{ListAnswer, said_at};
use crate::policy::contact::{Act, Channel, Contact, Facts, Number, Recipient, What, home_of, phone_place};
use crate::schema::derive::email_facts;

/// Lists that one decision may cite; the schema takes no more.
const LISTS_MAX: usize = 32;

/// What was read for a question.
pub(super) struct Sources<'a> {
    pub recipient: Recipient,
    pub posture: Posture,
    pub answers: &'a [ListAnswer],
    pub histories: &'a [Arc<History>],
}

/// The number and address that acts are compared with.
pub(super) struct Named<'a> {
    pub phone: Option<&'a Phone>,
    pub email: Option<&'a Email>,
    pub channel: Channel,
}

/// What had happened by `now` and was recorded by `known`, oldest first: of each history up to a position of it.
pub(super) fn acts<'a>(
    ledger: &Ledger,
    named: &Named<'_>,
    histories: impl Iterator<Item = (&'a History, u64)> + Clone,
    others: impl Iterator<Item = Act>,
    (now, known): (Timestamp, Timestamp),
) -> Vec<Act> {
    let blind = |kind, value: &str| ledger.secrets.blind.blind_index(kind, value);
    let phone = named.phone.map(|phone| blind(IdentifierKind::Phone, phone.as_str()));
    let email = named.email.map(|email| blind(IdentifierKind::Email, email.as_str()));
    let by_mail = named.channel == Channel::Email;
    let number = |said: Option<[u8; 16]>| match said {
        None => Number::Unsaid,
        Some(said) if Some(said) == (if by_mail { email } else { phone }) => Number::Same,
        Some(_) => Number::Other,
    };
    // What is annulled later counted until then.
    let void = histories.clone().flat_map(|(history, _)| &history.void).filter(|(_, recorded)| *recorded <= known);
    let void: BTreeSet<u64> = void.map(|(position, _)| *position).collect();
    let seen = histories.flat_map(|(history, last)| history.seen.iter().filter(move |seen| seen.position <= last));
    let mut acts: Vec<Act> = seen
        .filter(|seen| !void.contains(&seen.position))
        .map(|seen| Act {
            at: seen.at,
            recorded: seen.recorded,
            number: number(if by_mail { seen.email } else { seen.phone }),
            position: Some(seen.position),
            what: What::clone(&seen.what),
        })
        .chain(others)
        .filter(|act| act.at <= now && act.recorded <= known)
        .collect();
    acts.sort_by_key(|act| (act.at, act.position));
    relevant(&mut acts, now);
    acts
}

pub(super) fn facts(
    ledger: &Ledger,
    asked: &Asked,
    Sources { recipient, posture, answers, histories }: Sources<'_>,
    (now, known): (Timestamp, Timestamp),
) -> Result<Facts, DecideError> {
    let named = Named { phone: asked.phone.as_ref(), email: asked.email.as_ref(), channel: asked.channel };
    let whole = histories.iter().map(|history| (history.as_ref(), u64::MAX));
    let others = posture.acts.iter().cloned().chain(answers.iter().filter_map(list_act));
    let acts = acts(ledger, &named, whole, others, (now, known));
    Ok(Facts {
        now,
        recipient,
        contact: Contact {
            channel: asked.channel,
            technology: asked.technology,
            purpose: asked.purpose,
            sub_purpose: asked.sub_purpose,
            seller: asked.seller.clone(),
            topic: asked.topic.as_deref().map(|topic| topic_hash(ledger, topic)),
            mail: asked.mail,
            caller_id_missing: asked.caller_id_missing,
            campaign: asked.stats,
        },
        acts,
        switches: posture.switches.with(&asked.policy)?,
    })
}

pub(super) fn recipient(asked: &Asked, histories: &[Arc<History>]) -> Recipient {
    let (of_number, place) = asked.phone.as_ref().map(phone_place).unwrap_or_default();
    let said = asked.zip.is_some() || asked.state.is_some();
    let known = histories.iter().rev().map(|history| &history.known);
    let home = if said {
        home_of(asked.zip.as_deref(), asked.state.as_deref())
    } else {
        let known = known.clone().find(|known| known.zip.is_some() || known.state.is_some());
        known.map(|known| home_of(known.zip.as_deref(), known.state.as_deref())).unwrap_or_default()
    };
    let line_type = asked.line_type.or_else(|| known.clone().find_map(|known| known.line_type)).unwrap_or_default();
    let by_table = asked.email.as_ref().is_some_and(|email| {
        let mut facts = serde_json::Map::new();
        email_facts(email.as_str(), &mut facts);
        facts.get("wireless_domain") == Some(&serde_json::Value::Bool(true))
    });
    Recipient {
        country: asked.country.clone().or_else(|| of_number.map(str::to_owned)),
        line_type,
        place: place.with_home(home),
        wireless_domain: asked.wireless_said || by_table,
    }
}

/// What an imported list says, as an act. A list of people to leave alone speaks of those alone who are on it: that somebody
/// is not refutes no other source.
pub(super) fn list_act(answer: &ListAnswer) -> Option<Act> {
    let version = &answer.version;
    let listed = answer.listed?;
    let speaks = match &version.list {
        List::Drop(_) | List::Internal | List::Litigator => listed,
        List::Ndnc | List::State(_) => true,
        List::Rnd => false,
    };
    let result = if listed { "listed" } else { "not_listed" }.to_owned();
    let what = match &version.list {
        List::Drop(_) => What::DropMatched { status: None },
        other => What::ListChecked { list: other.to_string(), result, copy_of: Some(version.as_of) },
    };
    let at = said_at(version);
    let act = Act { at, recorded: version.recorded, number: Number::Same, position: Some(version.position), what };
    speaks.then_some(act)
}

/// Versions of the lists that the newest answers came from, and those that were asked.
pub(super) fn cited(
    histories: &[Arc<History>],
    answers: &[ListAnswer],
    now: Timestamp,
) -> Vec<(String, String, Option<String>)> {
    let mut newest: std::collections::BTreeMap<String, (Timestamp, String, Option<String>)> = Default::default();
    for seen in histories.iter().flat_map(|history| &history.seen).filter(|seen| seen.recorded <= now) {
        if let (What::ListChecked { list, .. }, Some(cited)) = (seen.what.as_ref(), seen.version.as_deref())
            && newest.get(list).is_none_or(|(at, ..)| *at <= seen.at)
        {
            let (version, date) = cited.clone();
            newest.insert(list.clone(), (seen.at, version, date));
        }
    }
    let mut cited: Vec<_> = newest.into_iter().map(|(list, (_, version, date))| (list, version, date)).collect();
    for ListAnswer { version, .. } in answers {
        cited.push((version.list.family(), version.version.to_string(), Some(day_text(version.as_of.unix_days()))));
    }
    cited.dedup();
    cited.truncate(LISTS_MAX);
    cited
}
