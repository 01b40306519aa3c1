//! Who may do what: four roles, a closed list of actions, one table.
//!
//! Promises: [`allowed`] is a pure function of role and action; a role that this version does not know is nobody. Every
//! route of the HTTP API names one of these actions, and nothing else decides access.

use std::fmt;
use std::str::FromStr;

/// What a key may be. The names stand in `access.key_created` entries and are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything on its ledger, keys and exports included.
    Admin,
    /// Reads everything, raw parts and entry bundles too, and exports; records no events and changes no rights.
    Auditor,
    /// Reads events, subjects and views; never the bytes as received.
    Reader,
    /// Records events and sees receipts.
    Recorder,
}

/// A role name that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role of this version")]
pub struct UnknownRole;

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Admin, Role::Auditor, Role::Reader, Role::Recorder];

    /// Its name in keys, entries and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Auditor => "auditor",
            Role::Reader => "reader",
            Role::Recorder => "recorder",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.name() == name).ok_or(UnknownRole)
    }
}

/// What can be asked of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Put contracts in force, price, and issue invoices and credit notes.
    BillingManage,
    /// Confirm that the wall clock's jump was meant.
    ClockConfirm,
    /// Ask whether somebody may be contacted: a recorded act.
    DecisionsMake,
    /// Read recorded decisions and compute them again.
    DecisionsRead,
    /// Fetch an export's bundle.
    ExportFetch,
    /// Make an export: a writing act.
    ExportCreate,
    /// Post events.
    EventsAppend,
    /// List, make and revoke API keys.
    KeysManage,
    /// Take in lists of numbers and addresses.
    ListsManage,
    /// Make ledgers.
    LedgersManage,
    /// See a ledger's own state.
    LedgerRead,
    /// Entry bundles: every entry of the log, pseudonymous.
    LogEntries,
    /// Hash tiles and checkpoints where they are not open to all.
    LogHashes,
    /// Personal parts in clear.
    PersonalOpen,
    /// Work on rights requests, holds, erasures and retention.
    PrivacyManage,
    /// See rights requests, holds, erasures and what is due.
    PrivacyRead,
    /// Fix, replay or discard items in quarantine.
    QuarantineManage,
    /// See what is in quarantine and why.
    QuarantineRead,
    /// The bytes of events as received.
    RawOpen,
    /// Receipts and proofs.
    ReceiptsRead,
    /// Put routing plans and score cards in force.
    RoutingManage,
    /// Register customers' own event types.
    SchemasManage,
    /// Say that two subjects are one person, or are not.
    SubjectsMerge,
    /// Find people and read their histories.
    SubjectsRead,
    /// Keep suggested budgets, and alerts of money that earned nothing, in the log.
    SuggestionsRecord,
    /// Dashboards: sums over everybody.
    ViewsRead,
    /// Build the rows of projections anew from the log.
    ViewsRebuild,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 27] = [
        Action::BillingManage,
        Action::ClockConfirm,
        Action::DecisionsMake,
        Action::DecisionsRead,
        Action::ExportFetch,
        Action::ExportCreate,
        Action::EventsAppend,
        Action::KeysManage,
        Action::ListsManage,
        Action::LedgersManage,
        Action::LedgerRead,
        Action::LogEntries,
        Action::LogHashes,
        Action::PersonalOpen,
        Action::PrivacyManage,
        Action::PrivacyRead,
        Action::QuarantineManage,
        Action::QuarantineRead,
        Action::RawOpen,
        Action::ReceiptsRead,
        Action::RoutingManage,
        Action::SchemasManage,
        Action::SubjectsMerge,
        Action::SubjectsRead,
        Action::SuggestionsRecord,
        Action::ViewsRead,
        Action::ViewsRebuild,
    ];
}

/// The table. A new action is refused to all but admins until somebody writes a line here on purpose.
pub const fn allowed(role: Role, action: Action) -> bool {
    match role {
        Role::Admin => true,
        Role::Auditor => matches!(
            action,
            Action::DecisionsRead
                | Action::ExportFetch
                | Action::ExportCreate
                | Action::LedgerRead
                | Action::LogEntries
                | Action::LogHashes
                | Action::PersonalOpen
                | Action::PrivacyRead
                | Action::QuarantineRead
                | Action::RawOpen
                | Action::ReceiptsRead
                | Action::SubjectsRead
                | Action::ViewsRead
        ),
        Role::Reader => matches!(
            action,
            Action::DecisionsRead
                | Action::LedgerRead
                | Action::LogHashes
                | Action::PersonalOpen
                | Action::QuarantineRead
                | Action::ReceiptsRead
                | Action::SubjectsRead
                | Action::ViewsRead
        ),
        Role::Recorder => {
            matches!(action, Action::DecisionsMake | Action::EventsAppend | Action::LogHashes | Action::ReceiptsRead)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, row by row: a changed right shows as a changed line.
    #[test]
    fn the_table_is_exactly_this() {
        let row = |role: Role| -> Vec<String> {
            let mut actions: Vec<String> = Action::ALL
                .iter()
                .filter(|action| allowed(role, **action))
                .map(|action| format!("{action:?}"))
                .collect();
            actions.sort();
            actions
        };
        assert_eq!(row(Role::Admin).len(), Action::ALL.len());
        assert_eq!(
            row(Role::Auditor).join(" "),
            "DecisionsRead ExportCreate ExportFetch LedgerRead LogEntries LogHashes PersonalOpen PrivacyRead QuarantineRead RawOpen \
             ReceiptsRead SubjectsRead ViewsRead"
        );
        assert_eq!(
            row(Role::Reader).join(" "),
            "DecisionsRead LedgerRead LogHashes PersonalOpen QuarantineRead ReceiptsRead SubjectsRead ViewsRead"
        );
        assert_eq!(row(Role::Recorder).join(" "), "DecisionsMake EventsAppend LogHashes ReceiptsRead");
    }

    #[test]
    fn role_names_round_trip_and_unknown_ones_are_nobody() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        for name in ["", "Admin", "operator", "privacy_officer", "broker", "poster"] {
            assert_eq!(name.parse::<Role>(), Err(UnknownRole));
        }
    }

    #[test]
    fn a_recorder_reads_nobody_and_an_auditor_records_nothing() {
        for action in [Action::PersonalOpen, Action::RawOpen, Action::SubjectsRead, Action::ViewsRead] {
            assert!(!allowed(Role::Recorder, action));
        }
        for action in [Action::EventsAppend, Action::KeysManage, Action::PrivacyManage, Action::SchemasManage] {
            assert!(!allowed(Role::Auditor, action));
        }
    }
}
