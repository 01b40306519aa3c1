//! The dossier of each call and text: every field of 16 CFR 310.5(a) that the ledger can hold, found or absent, the decision,
//! the consent as it was presented, and what was known of withdrawals at that instant.

use super::{Found, Material, Section};
use crate::exports::page::PageEntry;
use crate::exports::withdrawals::{CONTACTS_MAX, known, withdraws};

pub(super) fn sections(material: &Material<'_>) -> Vec<Section> {
    let own: Vec<&PageEntry> = material.own().collect();
    let all = known(&own.iter().map(|entry| entry.told()).collect::<Vec<_>>());
    let mut sections = Vec::new();
    for known in all.iter().take(CONTACTS_MAX) {
        let Some(contact) = own.iter().find(|entry| entry.position == known.contact) else { continue };
        let call = Call::of(contact, &own);
        sections.push(call.record());
        sections.push(call.decided());
        sections.push(call.consented(material));
        let later = learnt_later(contact, &own);
        let mut section = Section::new(format!("Withdrawals known at the contact at position {}", contact.position))
            .note(known.sentence())
            .note(
                "The person's entries are counted by the log's own map of persons, so that one left out would be missed: see \
                 completeness.json.",
            );
        section.row("Entries before the contact", Found::value(known.entries.to_string(), &[]));
        if later.is_empty() {
            section.row("Withdrawals that happened before and were recorded after", Found::value("none", &[]));
        } else {
            section.row("Withdrawals that happened before and were recorded after", Found::value("yes", &later));
        }
        sections.push(section);
    }
    if all.is_empty() {
        sections.push(Section::new("Calls and texts").note("No contact with this person is recorded."));
    }
    if all.len() > CONTACTS_MAX {
        let rest = all.len() - CONTACTS_MAX;
        sections.push(Section::new("Further contacts").note(format!("{rest} more contacts are in the entries below.")));
    }
    sections.push(registries(material));
    sections
}

/// A contact and the entries that belong to it.
struct Call<'a> {
    contact: &'a PageEntry,
    /// The contact and what followed from it, by the reference of the call or message.
    run: Vec<&'a PageEntry>,
    decision: Option<&'a PageEntry>,
    consent: Option<&'a PageEntry>,
}

impl<'a> Call<'a> {
    fn of(contact: &'a PageEntry, own: &[&'a PageEntry]) -> Call<'a> {
        let reference = ["/refs/call", "/refs/message"].iter().find_map(|path| Some((*path, contact.text(path)?)));
        let belongs = |entry: &&&PageEntry| {
            entry.event_type.starts_with("contact.")
                && reference.as_ref().is_some_and(|(path, text)| entry.text(path).as_ref() == Some(text))
        };
        let mut run = vec![contact];
        run.extend(own.iter().filter(belongs).filter(|entry| entry.position > contact.position));
        let id = contact.text("/data/decision");
        let made = |entry: &&&PageEntry| {
            entry.event_type == "decision.contact_recorded" && id.is_some() && entry.text("/data/decision") == id
        };
        let decision = own.iter().find(made).copied();
        let grant = decision.and_then(|decision| decision.text("/data/grant_position")?.parse::<u64>().ok());
        let before = |entry: &&&PageEntry| entry.position < contact.position;
        let granted = |entry: &&&PageEntry| matches!(entry.event_type.as_str(), "consent.granted" | "consent.carried");
        let consent = match grant {
            Some(position) => own.iter().find(|entry| entry.position == position),
            None => own.iter().filter(before).rfind(granted),
        };
        Call { contact, run, decision, consent: consent.copied() }
    }

    /// 16 CFR 310.5(a)(2) and what of (a)(1), (a)(7) and (a)(9) belongs to one call.
    fn record(&self) -> Section {
        let mut section = Section::new(format!("Contact at position {}: 16 CFR 310.5 record", self.contact.position)).note(
            "Fields of 16 CFR 310.5(a)(1), (a)(2), (a)(7) and (a)(9), with the positions of the entries that state them in \
             brackets.",
        );
        let one = |pointers: &[&str]| Found::of(self.contact, pointers);
        let run = |pointers: &[&str]| Found::among(&self.run, pointers);
        let outbound = Found::value("yes: a contact that was made", &[self.contact.position]);
        for (name, found) in [
            ("(a)(2) Telemarketer", one(&["/data/telemarketer"])),
            ("(a)(2) Seller", run(&["/data/seller"])),
            ("(a)(2) Good or service", one(&["/data/product", "/data/sub_purpose"])),
            ("(a)(2) To a business", one(&["/data/to_business"])),
            ("(a)(2) Outbound", outbound),
            ("(a)(2) Prerecorded or automated", one(&["/data/technology"])),
            ("(a)(2) Calling number", one(&["/data/from"])),
            ("(a)(2) Called number", run(&["/data/phone"])),
            ("(a)(2) Date and time", Found::value(self.contact.when(), &[self.contact.position])),
            ("(a)(2) Duration in seconds", run(&["/data/duration_seconds"])),
            ("(a)(1), (a)(2) Script or message", run(&["/data/script", "/data/body"])),
            ("(a)(2) Caller ID number transmitted", one(&["/data/from"])),
            ("(a)(2) Caller ID name transmitted", one(&["/data/caller_name"])),
            ("(a)(2) Authorisation to use it", one(&["/data/caller_id_authorization"])),
            ("(a)(2) Signed caller ID attestation", one(&["/data/attestation"])),
            ("(a)(2) Disposition", run(&["/data/outcome", "/data/disposition"])),
            ("(a)(2) Abandoned", run(&["/data/abandoned"])),
            ("(a)(2) Transferred", run(&["/data/transferred"])),
            ("(a)(2) Transferred to", run(&["/data/transferred_to", "/data/transferred_to_number"])),
            ("(a)(7) Agent", run(&["/data/agent"])),
            ("(a)(9) Service provider", run(&["/data/vendor"])),
            ("Campaign registered for texts", one(&["/data/ten_dlc_campaign"])),
            ("Recording", run(&["/data/url", "/data/file_sha256"])),
        ] {
            section.row(name, found);
        }
        section
    }

    fn decided(&self) -> Section {
        let position = self.contact.position;
        let mut section = Section::new(format!("Decision before the contact at position {position}"));
        let Some(decision) = self.decision else {
            return section.note("absent: the contact names no recorded decision, which is itself a finding.");
        };
        for (name, pointer) in [
            ("Decision", "/data/decision"),
            ("Allowed", "/data/allow"),
            ("Reasons", "/data/reasons"),
            ("Warnings", "/data/warnings"),
            ("Asked for the instant", "/data/now"),
            ("Knowing what was recorded until", "/data/known_at"),
            ("May be used until", "/data/expires_at"),
            ("Policy pack (SHA-256)", "/data/pack_sha256"),
            ("Time zone tables", "/data/tzdb"),
            ("States considered", "/data/states"),
            ("Zones considered", "/data/zones"),
            ("Consent relied on, at position", "/data/grant_position"),
        ] {
            section.row(name, Found::of(decision, &[pointer]));
        }
        for (title, list, members) in [
            ("Local time", "/data/local_times", &["zone", "local"][..]),
            ("List consulted", "/data/lists", &["list", "version", "as_of"]),
            ("Rule", "/data/rules", &["rule", "verdict", "code"]),
            ("Histories judged", "/data/heads", &["subject", "sequence", "position"]),
        ] {
            for item in decision.items(list) {
                let found: Vec<_> =
                    members.iter().filter_map(|member| decision.text(&format!("{item}/{member}"))).collect();
                section.row(title, Found::value(found.join(", "), &[decision.position]));
            }
        }
        if decision.position > position {
            section = section.note("The decision was recorded after the contact, which is itself a finding.");
        }
        section
    }

    /// 16 CFR 310.5(a)(8): name and number, the request as presented, the consent, its date and purpose.
    fn consented(&self, material: &Material<'_>) -> Section {
        let mut section =
            Section::new(format!("Consent for the contact at position {}: 16 CFR 310.5(a)(8)", self.contact.position));
        let Some(consent) = self.consent else {
            return section.note("absent: no consent of this person is recorded before the contact.");
        };
        section.row("(a)(8) Date", Found::value(consent.when(), &[consent.position]));
        for (name, pointer) in [
            ("(a)(8) Name", "/data/name"),
            ("(a)(8) Number", "/data/phone"),
            ("(a)(8) Purpose", "/data/purposes"),
            ("(a)(8) Sellers named", "/data/sellers"),
            ("Kind", "/data/kind"),
            ("Channels", "/data/channels"),
            ("Technologies", "/data/technologies"),
            ("(a)(8) Request as presented", "/data/evidence/text"),
            ("SHA-256 of the request", "/data/evidence/text_sha256"),
            ("How it was shown", "/data/evidence/shown_as"),
            ("(a)(8) Consent given by", "/data/signature"),
            ("Signature text", "/data/evidence/signature_text"),
            ("Authorises automated contact", "/data/disclosure/authorizes_automated"),
            ("Not a condition of purchase", "/data/disclosure/not_condition_of_purchase"),
            ("Page", "/data/evidence/page_url"),
            ("Address it came from", "/data/evidence/ip"),
            ("Form and version", "/data/form"),
            ("Certificate", "/data/evidence/trustedform_url"),
        ] {
            section.row(name, Found::of(consent, &[pointer]));
        }
        let evidence: Vec<&PageEntry> = material.of("consent.evidence_attached").collect();
        section
            .row("Evidence attached", Found::among(&evidence, &["/data/kind", "/data/certificate", "/data/verdict"]));
        section
    }
}

/// Withdrawals that happened before a contact and were recorded after it: nobody knew them yet.
fn learnt_later(contact: &PageEntry, own: &[&PageEntry]) -> Vec<u64> {
    let at = contact.happened();
    let late = |entry: &&&PageEntry| {
        let after = entry.position > contact.position;
        after && entry.happened() <= at && withdraws(&entry.told()) == Some(true)
    };
    own.iter().filter(late).map(|entry| entry.position).collect()
}

/// 16 CFR 310.5(a)(5), (a)(10), (a)(11): relationships, requests not to be called, registries consulted.
fn registries(material: &Material<'_>) -> Section {
    let mut section = Section::new("Relationships, requests and registries: 16 CFR 310.5(a)(5), (a)(10), (a)(11)");
    for (name, prefix, pointers) in [
        ("(a)(5) Relationship", "relationship.", &["/data/kind", "/data/seller", "/data/product"][..]),
        (
            "(a)(10) Request not to be called",
            "suppression.dnc_requested",
            &["/data/name", "/data/phone", "/data/seller", "/data/telemarketer", "/data/product"],
        ),
        (
            "(a)(11) Registry consulted",
            "suppression.list_checked",
            &["/data/list", "/data/result", "/data/list_version", "/data/list_date", "/data/san"],
        ),
    ] {
        let found: Vec<&PageEntry> = material.of(prefix).collect();
        if found.is_empty() {
            section.row(name, Found::Absent);
        }
        for entry in found {
            let what = match Found::of(entry, pointers) {
                Found::Value(text, positions) => Found::Value(format!("{}: {text}", entry.when()), positions),
                other => other,
            };
            section.row(name, what);
        }
    }
    section
}
