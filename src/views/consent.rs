//! What a person has agreed to and refused, channel by channel, purpose by purpose, seller by seller, at any two instants.
//!
//! The rules are those of the calling pack's background (8.1, items 9 and 14): at equal instants the refusal wins; a later
//! grant that is valid in every respect clears refusals in its scope; START clears them for text only and the old consent
//! revives; objections, opt-outs and lists are cleared by their own opposite alone. This view informs; the gate decides on
//! its own reading of the log.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Instants, ViewError, names_of};
use crate::domain::ids::SubjectId;
use crate::domain::time::Timestamp;
use crate::store::views::{CHANNELS, CONSENT_FLAGS, ConsentAct, ConsentRow, PURPOSES, TECHNOLOGIES};
use crate::store::{Store, StoreError};

/// Text channels: sms and mms.
const TEXTS: i64 = 0b0110;
/// Reasons of `suppression.added` that a later valid grant clears.
const CLEARABLE: [&str; 5] = ["email_opt_out", "erased", "internal_dnc", "stop_keyword", "wrong_number"];

/// Where consent stands for one channel, purpose and seller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentStanding {
    /// A grant is in force.
    Granted,
    /// The last grant ran out.
    Expired,
    /// A message waits to be read: it may be a revocation.
    Review,
    /// Taken back.
    Revoked,
    /// Objection, opt-out or list: only its own opposite lifts it.
    Suppressed,
}

/// Consent of one channel, purpose and seller, with the act that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConsentCell {
    /// voice, sms, mms or email.
    pub channel: &'static str,
    /// marketing, informational, transactional, sell_lead, profiling or recording.
    pub purpose: &'static str,
    /// Seller; absent: every seller that is not named in a cell of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Where it stands.
    pub standing: ConsentStanding,
    /// The act that decides.
    #[serde(flatten)]
    pub act: Act,
}

/// An act as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Act {
    /// Its entry.
    pub position: u64,
    /// What was done.
    #[schema(example = "granted")]
    pub act: &'static str,
    /// When it counts from.
    #[schema(value_type = String)]
    pub effective: Timestamp,
    /// When it happened.
    #[schema(value_type = String)]
    pub occurred: Timestamp,
    /// When the ledger learnt it.
    #[schema(value_type = String)]
    pub recorded: Timestamp,
    /// Quality of a grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "pewc")]
    pub kind: Option<String>,
    /// How it reached us, or why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Technologies covered; empty: manual alone.
    pub technologies: Vec<&'static str>,
    /// What the grant has: signature_present, disclosures_complete and so on.
    pub flags: Vec<&'static str>,
    /// End of validity, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub valid_until: Option<Timestamp>,
}

/// An act with its scope, for a person's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryAct {
    /// The act.
    #[serde(flatten)]
    pub act: Act,
    /// Channels it speaks of.
    pub channels: Vec<&'static str>,
    /// Purposes it speaks of.
    pub purposes: Vec<&'static str>,
    /// Seller; absent: every seller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Whether a later event annulled or corrected it.
    pub undone: bool,
}

/// How often something was agreed to or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConsentActivity {
    /// What was done.
    pub act: &'static str,
    /// Channels it spoke of.
    pub channels: Vec<&'static str>,
    /// Seller; absent: every seller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// How often.
    pub count: i64,
}

/// The state of a person who is known under one or several subjects (merged, or sharing an identifier), at two instants.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn state(store: &Store, subjects: &[SubjectId], at: Instants) -> Result<Vec<ConsentCell>, ViewError> {
    let rows = rows(store, subjects, at.known_at).await?;
    let undone = undone(&rows, &store.consent_undoing(subjects, at.known_at).await?);
    cells(&rows, &undone, at.as_of).map_err(ViewError::Store)
}

/// Every act of a person that had taken effect at `as_of`, as known at `known_at`, in the order of positions.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn history(store: &Store, subjects: &[SubjectId], at: Instants) -> Result<Vec<HistoryAct>, ViewError> {
    let rows = rows(store, subjects, at.known_at).await?;
    let undone = undone(&rows, &store.consent_undoing(subjects, at.known_at).await?);
    rows.iter()
        .filter(|row| row.effective <= at.as_of.micros())
        .map(|row| {
            Ok(HistoryAct {
                act: act(row)?,
                channels: names_of(row.channels, &CHANNELS),
                purposes: names_of(row.purposes, &PURPOSES),
                seller: Some(row.seller.clone()).filter(|seller| !seller.is_empty()),
                undone: undone.contains(&row.position),
            })
        })
        .collect()
}

/// What was agreed to and refused in `[from, to)`, as known at `known_at`.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn activity(
    store: &Store,
    from: Timestamp,
    to: Timestamp,
    known_at: Timestamp,
) -> Result<Vec<ConsentActivity>, ViewError> {
    let rows = store.consent_activity(from, to, known_at).await?;
    rows.into_iter()
        .map(|(code, channels, seller, count)| {
            Ok(ConsentActivity {
                act: known(code, 0)?.name(),
                channels: names_of(channels, &CHANNELS),
                seller: Some(seller).filter(|seller| !seller.is_empty()),
                count,
            })
        })
        .collect()
}

async fn rows(store: &Store, subjects: &[SubjectId], known_at: Timestamp) -> Result<Vec<ConsentRow>, StoreError> {
    let mut rows = Vec::new();
    for subject in subjects {
        rows.extend(store.consent_acts(subject, known_at).await?);
    }
    rows.sort_by_key(|row| (row.position, row.line));
    Ok(rows)
}

fn known(code: i64, position: i64) -> Result<ConsentAct, StoreError> {
    ConsentAct::from_code(code).ok_or_else(|| StoreError::Inconsistent {
        table: "consent_acts",
        what: format!("act {code} at position {position}"),
    })
}

fn act(row: &ConsentRow) -> Result<Act, StoreError> {
    let filled = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Ok(Act {
        position: u64::try_from(row.position).unwrap_or_default(),
        act: known(row.act, row.position)?.name(),
        effective: Timestamp::from_micros(row.effective),
        occurred: Timestamp::from_micros(row.occurred),
        recorded: Timestamp::from_micros(row.recorded),
        kind: filled(&row.kind),
        method: filled(&row.method),
        technologies: names_of(row.technologies, &TECHNOLOGIES),
        flags: names_of(row.flags, &CONSENT_FLAGS),
        valid_until: Some(row.valid_until).filter(|end| *end != i64::MAX).map(Timestamp::from_micros),
    })
}

/// Positions that a later event annulled or corrected. What undoes can be undone itself: the last word counts.
/// `elsewhere` are acts in the histories of others that undo something here: position and target.
fn undone(rows: &[ConsentRow], elsewhere: &[(i64, i64)]) -> HashSet<i64> {
    let mut undone = HashSet::new();
    let own = rows.iter().filter(|row| row.target >= 0 && row.act != ConsentAct::Carried.code());
    let mut acts: Vec<(i64, i64)> =
        own.map(|row| (row.position, row.target)).chain(elsewhere.iter().copied()).collect();
    acts.sort_unstable();
    for (position, target) in acts.into_iter().rev() {
        if !undone.contains(&position) {
            undone.insert(target);
        }
    }
    // A consent that was re-recorded goes with the one it repeats.
    let copies = rows.iter().filter(|row| row.act == ConsentAct::Carried.code() && undone.contains(&row.target));
    let copies: Vec<i64> = copies.map(|row| row.position).collect();
    undone.extend(copies);
    undone
}

/// An act and how it counts.
struct Counted<'a> {
    row: &'a ConsentRow,
    act: ConsentAct,
}

impl Counted<'_> {
    /// Valid in every respect: a written consent must be signed and disclose what the rule asks.
    fn is_whole(&self) -> bool {
        self.row.kind != "pewc" || self.row.flags & 0b11 == 0b11
    }

    const fn refuses(&self) -> bool {
        self.act.code() >= ConsentAct::Revoked.code()
    }

    /// A refusal that a later valid grant clears.
    fn is_clearable(&self) -> bool {
        match self.act {
            ConsentAct::Suppressed => CLEARABLE.contains(&self.row.method.as_str()),
            ConsentAct::DropMatched | ConsentAct::Objected | ConsentAct::OptedOut | ConsentAct::Restricted => false,
            _ => true,
        }
    }
}

fn cells(rows: &[ConsentRow], undone: &HashSet<i64>, as_of: Timestamp) -> Result<Vec<ConsentCell>, StoreError> {
    let mut acts = Vec::with_capacity(rows.len());
    for row in rows {
        let act = known(row.act, row.position)?;
        let counts = row.effective <= as_of.micros() && !undone.contains(&row.position);
        if counts && act != ConsentAct::Annulled {
            acts.push(Counted { row, act });
        }
    }
    // At equal instants the refusal comes last, so that it decides.
    acts.sort_by_key(|counted| (counted.row.effective, counted.refuses(), counted.row.position, counted.row.line));
    let sellers: BTreeSet<&str> = acts.iter().map(|counted| counted.row.seller.as_str()).collect();
    let mut cells = Vec::new();
    for seller in sellers {
        for (channel_place, channel) in (0..).zip(CHANNELS) {
            for (purpose_place, purpose) in (0..).zip(PURPOSES) {
                let (channel_bit, purpose_bit) = (1_i64 << channel_place, 1_i64 << purpose_place);
                let of_cell = acts.iter().filter(|counted| {
                    let row = counted.row;
                    (row.seller.is_empty() || row.seller == seller)
                        && row.channels & channel_bit != 0
                        && row.purposes & purpose_bit != 0
                });
                if let Some((standing, row)) = standing(of_cell, channel_bit, as_of) {
                    let seller = Some(seller.to_owned()).filter(|seller| !seller.is_empty());
                    cells.push(ConsentCell { channel, purpose, seller, standing, act: act(row)? });
                }
            }
        }
    }
    Ok(cells)
}

/// Where one cell stands after its acts, in order, and which of them decides; none if nothing that bears on it happened.
fn standing<'a>(
    acts: impl Iterator<Item = &'a Counted<'a>>,
    channel_bit: i64,
    as_of: Timestamp,
) -> Option<(ConsentStanding, &'a ConsentRow)> {
    let mut grant: Option<&ConsentRow> = None;
    let mut expired: Option<&ConsentRow> = None;
    let mut refusals: Vec<&Counted<'a>> = Vec::new();
    for counted in acts {
        let (row, now) = (counted.row, as_of.micros());
        match counted.act {
            ConsentAct::Granted | ConsentAct::Carried => {
                if now >= row.valid_until {
                    expired = Some(row);
                } else if now >= row.valid_from {
                    grant = Some(row);
                    if counted.is_whole() {
                        refusals.retain(|refusal| !refusal.is_clearable());
                    }
                }
            }
            ConsentAct::ReplyStart => restart(&mut refusals, channel_bit),
            ConsentAct::SuppressionRemoved if row.method == "start_keyword" => restart(&mut refusals, channel_bit),
            ConsentAct::SuppressionRemoved => refusals.retain(|refusal| {
                !matches!(
                    refusal.act,
                    ConsentAct::Suppressed
                        | ConsentAct::DncRequested
                        | ConsentAct::WrongNumber
                        | ConsentAct::EmailOptedOut
                )
            }),
            ConsentAct::OptedIn => refusals.retain(|refusal| refusal.act != ConsentAct::OptedOut),
            ConsentAct::RestrictionLifted => refusals.retain(|refusal| refusal.act != ConsentAct::Restricted),
            ConsentAct::Suppressed if now >= row.valid_until => {}
            ConsentAct::Confirmed | ConsentAct::Evidence | ConsentAct::Annulled => {}
            ConsentAct::Revoked
            | ConsentAct::ReplyOptOut
            | ConsentAct::EmailOptedOut
            | ConsentAct::DncRequested
            | ConsentAct::WrongNumber
            | ConsentAct::Suppressed
            | ConsentAct::DropMatched
            | ConsentAct::OptedOut
            | ConsentAct::Objected
            | ConsentAct::Restricted
            | ConsentAct::ReplyReview => refusals.push(counted),
        }
    }
    let last = |wanted: &dyn Fn(&Counted<'a>) -> bool| {
        refusals.iter().rev().find(|refusal| wanted(refusal)).map(|refusal| refusal.row)
    };
    let review = |refusal: &Counted<'a>| refusal.act == ConsentAct::ReplyReview;
    last(&|refusal| !refusal.is_clearable())
        .map(|row| (ConsentStanding::Suppressed, row))
        .or_else(|| last(&|refusal| !review(refusal)).map(|row| (ConsentStanding::Revoked, row)))
        .or_else(|| last(&review).map(|row| (ConsentStanding::Review, row)))
        .or_else(|| grant.map(|row| (ConsentStanding::Granted, row)))
        .or_else(|| expired.map(|row| (ConsentStanding::Expired, row)))
}

/// START and UNSTOP clear refusals for text only; the old consent revives.
fn restart(refusals: &mut Vec<&Counted<'_>>, channel_bit: i64) {
    if channel_bit & TEXTS != 0 {
        refusals.retain(|refusal| match refusal.act {
            ConsentAct::Revoked | ConsentAct::ReplyOptOut | ConsentAct::DncRequested | ConsentAct::ReplyReview => false,
            ConsentAct::Suppressed => !matches!(refusal.row.method.as_str(), "internal_dnc" | "stop_keyword"),
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(position: i64, act: ConsentAct, seller: &str) -> ConsentRow {
        ConsentRow {
            subject: [1; 16],
            position,
            line: 0,
            act: act.code(),
            channels: 0b0010,
            purposes: 0b1,
            technologies: 0,
            flags: 0b11,
            effective: position * 10,
            occurred: position * 10,
            recorded: position * 10,
            valid_from: position * 10,
            valid_until: i64::MAX,
            target: -1,
            seller: seller.to_owned(),
            kind: "pewc".to_owned(),
            method: String::new(),
            record: Vec::new(),
        }
    }

    fn check(rows: &[ConsentRow], as_of: i64, expected: &[(Option<&str>, ConsentStanding, u64)]) {
        let cells = cells(rows, &undone(rows, &[]), Timestamp::from_micros(as_of)).unwrap();
        let got: Vec<_> = cells.iter().map(|cell| (cell.seller.as_deref(), cell.standing, cell.act.position)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn revocation_without_seller_reaches_every_seller_and_a_new_grant_clears_its_own() {
        use ConsentStanding::{Granted, Revoked};
        let mut rows = vec![
            row(1, ConsentAct::Granted, "a"),
            row(2, ConsentAct::Granted, "b"),
            row(3, ConsentAct::ReplyOptOut, ""),
        ];
        check(&rows, 29, &[(Some("a"), Granted, 1), (Some("b"), Granted, 2)]);
        check(&rows, 30, &[(None, Revoked, 3), (Some("a"), Revoked, 3), (Some("b"), Revoked, 3)]);
        rows.push(row(4, ConsentAct::Granted, "a"));
        check(&rows, 40, &[(None, Revoked, 3), (Some("a"), Granted, 4), (Some("b"), Revoked, 3)]);
    }

    #[test]
    fn at_equal_instants_the_revocation_wins_whatever_was_recorded_first() {
        for (grant, revocation) in [(1, 2), (2, 1)] {
            let mut rows = vec![row(grant, ConsentAct::Granted, "a"), row(revocation, ConsentAct::Revoked, "a")];
            for row in &mut rows {
                row.effective = 50;
                row.valid_from = 50;
            }
            rows.sort_by_key(|row| row.position);
            let position = u64::try_from(revocation).unwrap();
            check(&rows, 50, &[(Some("a"), ConsentStanding::Revoked, position)]);
        }
    }

    #[test]
    fn defective_grant_clears_nothing_and_start_revives_the_old_one() {
        let mut rows = vec![row(1, ConsentAct::Granted, "a"), row(2, ConsentAct::Revoked, "a")];
        rows.push(ConsentRow { flags: 0b01, ..row(3, ConsentAct::Granted, "a") });
        check(&rows, 30, &[(Some("a"), ConsentStanding::Revoked, 2)]);
        rows.pop();
        rows.push(row(3, ConsentAct::ReplyStart, "a"));
        check(&rows, 30, &[(Some("a"), ConsentStanding::Granted, 1)]);
        let voice: Vec<ConsentRow> = rows.into_iter().map(|row| ConsentRow { channels: 0b1, ..row }).collect();
        check(&voice, 30, &[(Some("a"), ConsentStanding::Revoked, 2)]);
    }

    #[test]
    fn annulled_acts_do_not_count_until_their_annulment_is_annulled() {
        let annuls = |position, target| ConsentRow {
            target,
            channels: 0,
            purposes: 0,
            ..row(position, ConsentAct::Annulled, "")
        };
        let mut rows = vec![row(1, ConsentAct::Granted, "a"), row(2, ConsentAct::Revoked, "a"), annuls(3, 2)];
        check(&rows, 30, &[(Some("a"), ConsentStanding::Granted, 1)]);
        rows.push(annuls(4, 3));
        check(&rows, 40, &[(Some("a"), ConsentStanding::Revoked, 2)]);
    }

    #[test]
    fn lists_and_objections_are_not_cleared_by_consent() {
        let mut listed = row(1, ConsentAct::Suppressed, "");
        listed.method = "litigator".to_owned();
        let rows = [listed, row(2, ConsentAct::Granted, "a")];
        check(&rows, 20, &[(None, ConsentStanding::Suppressed, 1), (Some("a"), ConsentStanding::Suppressed, 1)]);
        let mut ended = rows;
        ended[0].valid_until = 15;
        check(&ended, 20, &[(Some("a"), ConsentStanding::Granted, 2)]);
    }

    #[test]
    fn expired_consent_says_so() {
        let rows = [ConsentRow { valid_until: 100, ..row(1, ConsentAct::Granted, "a") }];
        check(&rows, 99, &[(Some("a"), ConsentStanding::Granted, 1)]);
        check(&rows, 100, &[(Some("a"), ConsentStanding::Expired, 1)]);
    }
}
