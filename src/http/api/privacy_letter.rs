//! Letters about rights requests: receipt, extension, answer. Plain text that says what was done, what was kept and why,
//! and where to complain. Whoever sends one adds name and address: nothing personal stands here.

use std::fmt::Write as _;

use crate::domain::privacy::{Answered, Request};
use crate::policy::rights::date;
use crate::views::matters;

/// The letter that fits how the request stands.
pub(super) fn letter(request: &Request) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write(&mut text, request);
    text
}

fn write(text: &mut String, request: &Request) -> std::fmt::Result {
    writeln!(text, "Your request {}", data_encoding::HEXLOWER.encode(&request.id))?;
    writeln!(text, "Received on {}: {}", date(request.received), right(&request.right))?;
    writeln!(text)?;
    match (&request.answered, request.extended) {
        (Some(answered), _) if answered.denied => {
            writeln!(text, "We did not do what you asked for. The ground: {}.", ground(&answered.how))?;
        }
        (Some(answered), _) => done(text, answered)?,
        (None, Some(until)) => {
            writeln!(text, "We need more time than the law gives at first and will answer by {}.", date(until))?;
        }
        (None, None) => {
            writeln!(text, "We have it. ")?;
            match matters::due(request) {
                Some(due) => writeln!(text, "We will answer by {}.", date(due))?,
                None => writeln!(text, "We will answer as soon as we can.")?,
            }
            if matters::needs_identity(request) && request.identity.is_none() {
                writeln!(text, "Before that we have to make sure that it comes from you.")?;
            }
        }
    }
    writeln!(text)?;
    if let Some(clock) = matters::clock(request) {
        writeln!(text, "The rules: {}.", clock.source)?;
    }
    match request.regime.as_str() {
        "gdpr" => writeln!(
            text,
            "You may complain to the data protection authority of the place where you live or work (GDPR Art. 77), and you may \
             go to court (Art. 79)."
        ),
        "ccpa" | "delete_act" => writeln!(
            text,
            "You may complain to the California Privacy Protection Agency or to the Attorney General of California."
        ),
        "us_state" => writeln!(text, "You may appeal by answering this letter, and complain to your Attorney General."),
        _ => Ok(()),
    }
}

fn done(text: &mut String, answered: &Answered) -> std::fmt::Result {
    writeln!(text, "Done on {}: {}.", date(answered.at), result(&answered.how))?;
    if let Some(erasure) = &answered.erasure {
        writeln!(text, "The certificate of erasure is number {erasure}.")?;
    }
    if let Some(export) = &answered.export {
        writeln!(text, "Your data is in export {export}, which you can verify without us.")?;
    }
    for retained in &answered.retained {
        writeln!(text, "Kept: {}.", ground(retained))?;
    }
    Ok(())
}

fn right(name: &str) -> &str {
    match name {
        "access" => "a copy of your data",
        "know" => "what we know about you",
        "portability" => "your data in a form to take elsewhere",
        "delete" => "deletion of your data",
        "correct" => "correction of your data",
        "restrict" => "restriction of what we do with your data",
        "object" => "your objection",
        "opt_out_sale" => "no sale and no sharing of your data",
        "limit_sensitive" => "a limit on the use of sensitive data",
        "withdraw_consent" => "withdrawal of your consent",
        other => other,
    }
}

fn result(name: &str) -> &str {
    match name {
        "provided" => "you were given your data",
        "deleted" => "your data was deleted",
        "partly_deleted" => "your data was deleted, except what the law obliges or allows us to keep",
        "corrected" => "your data was corrected",
        "restricted" => "we only store your data now",
        "opted_out" => "we no longer do what you objected to",
        "limited" => "we use sensitive data only where the law allows it without asking",
        "objection_accepted" => "we no longer use your data for marketing or profiling",
        "not_found" => "we hold no data about you",
        other => other,
    }
}

fn ground(name: &str) -> &str {
    match name {
        "legal_duty" => "records that the law obliges us to keep",
        "legal_claims" => "what we need to show that your rights were respected, and for legal claims",
        "consent_proof" => "the proof of your consent",
        "transaction" => "records of transactions",
        "suppression" => "a code that keeps us from contacting you again",
        "security" => "what security needs",
        "hold" => "what a court or authority ordered to be kept",
        "not_verified" => "we could not make sure that the request comes from you",
        "manifestly_unfounded" => "the request is manifestly unfounded",
        "excessive" => "the request is excessive",
        "exempt" => "the law exempts this data",
        "rights_of_others" => "rights of others stand against it",
        "not_a_business" => "the law does not apply to us",
        "no_data" => "we hold no data about you",
        "already_done" => "it was done before",
        other => other,
    }
}
