//! Marks of rows of projection `journeys`: what a step is besides its kind.

/// Milestone of a lead that came in.
pub const LEAD_CREATED: &str = "lead_created";
/// Milestone of an opportunity: an appointment booked, or a lead qualified.
pub const OPPORTUNITY_CREATED: &str = "opportunity_created";
/// A lead that was bought or loaded: nobody did anything yet.
pub const IMPORTED: &str = "imported";
/// A contact attempted.
pub const ATTEMPT: &str = "attempt";
/// The person answered in words.
pub const REPLY: &str = "reply";
/// The person clicked by hand.
pub const CLICK: &str = "click";
/// The person answered a call.
pub const ANSWERED: &str = "answered";
/// What stands as the channel of a milestone that is an appointment booked.
pub const BOOKED: &str = "booked";
/// Stage: `lead.accepted`.
pub const ACCEPTED: &str = "accepted";
/// Stage: `contact.message_delivered`.
pub const DELIVERED: &str = "delivered";
/// Stage: `appointment.no_show`.
pub const NO_SHOW: &str = "no_show";
/// Stage: `contact.opened` by a person, as far as can be told.
pub const OPENED: &str = "opened";
/// Stage: `contact.opened` by a machine.
pub const OPENED_BY_MACHINE: &str = "opened_by_machine";
/// Stage: `appointment.shown`.
pub const SHOWN: &str = "shown";
