//! Every code that an answer of this API can carry. Codes are stable: a client may branch on them, so one is added, never
//! renamed. `ops/errors.md` explains each; a test compares the two lists.

use axum::http::StatusCode;

/// A kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Stable snake_case name.
    pub name: &'static str,
    /// HTTP status.
    pub status: StatusCode,
    /// Short text of the kind, the same for every occurrence (RFC 9457 section 3.1.4).
    pub title: &'static str,
}

macro_rules! codes {
    ($($constant:ident $status:ident $name:literal $title:literal;)*) => {
        $(
            #[doc = $title]
            pub const $constant: Code = Code { name: $name, status: StatusCode::$status, title: $title };
        )*
        /// Every code of a request as a whole.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    ALREADY_ERASED CONFLICT "already_erased" "The person was erased already";
    BATCH_REFUSED UNPROCESSABLE_ENTITY "batch_refused" "The batch was refused as a whole";
    BATCH_TOO_LARGE PAYLOAD_TOO_LARGE "batch_too_large" "The batch holds too many events";
    BILLING_REFUSED CONFLICT "billing_refused" "The bill cannot be made";
    BODY_TOO_LARGE PAYLOAD_TOO_LARGE "body_too_large" "The request body is too large";
    BODY_UNREADABLE BAD_REQUEST "body_unreadable" "The request body could not be read to its end";
    CARD_INVALID UNPROCESSABLE_ENTITY "card_invalid" "The score card is not taken";
    CHECKPOINT_BEHIND SERVICE_UNAVAILABLE "checkpoint_behind" "No published checkpoint covers this yet";
    CLOCK_BEHIND SERVICE_UNAVAILABLE "clock_behind" "The clock is behind the last entry";
    CLOCK_JUMP SERVICE_UNAVAILABLE "clock_jump" "The clock jumped ahead";
    CONTRACT_INVALID UNPROCESSABLE_ENTITY "contract_invalid" "The contract is not taken";
    CURSOR_INVALID BAD_REQUEST "cursor_invalid" "The cursor is not one of this ledger";
    DECISION_BUSY SERVICE_UNAVAILABLE "decision_busy" "The person's history kept changing";
    ENCODING_UNSUPPORTED UNSUPPORTED_MEDIA_TYPE "encoding_unsupported" "The content encoding is not supported";
    EVENT_ID_REUSED CONFLICT "event_id_reused" "The same source and id were used for another event";
    EVENT_TOO_LARGE PAYLOAD_TOO_LARGE "event_too_large" "The event is too large";
    EVENT_QUARANTINED UNPROCESSABLE_ENTITY "event_quarantined" "The event is kept in quarantine";
    EVENT_REFUSED UNPROCESSABLE_ENTITY "event_refused" "The event was refused";
    EXPECT_FAILED CONFLICT "expect_failed" "The subject's last position is another one";
    ERASURE_UNFINISHED SERVICE_UNAVAILABLE "erasure_unfinished" "The erasure goes on";
    EXTENSION_REFUSED UNPROCESSABLE_ENTITY "extension_refused" "The law does not give this extension";
    FORBIDDEN FORBIDDEN "forbidden" "The key may not do this";
    GONE GONE "gone" "The bytes are gone";
    HEADER_INVALID BAD_REQUEST "header_invalid" "A header cannot be read";
    HISTORY_EXPIRED GONE "history_expired" "What was known then can no longer be read";
    IDEMPOTENCY_KEY_INVALID BAD_REQUEST "idempotency_key_invalid" "The Idempotency-Key cannot be read";
    IDEMPOTENCY_KEY_IN_USE CONFLICT "idempotency_key_in_use" "The first request with this Idempotency-Key is still running";
    IDEMPOTENCY_KEY_REUSED UNPROCESSABLE_ENTITY "idempotency_key_reused" "The Idempotency-Key was used with another body";
    IDENTIFIER_AMBIGUOUS CONFLICT "identifier_ambiguous" "The reference names several people";
    IDENTIFIER_INVALID UNPROCESSABLE_ENTITY "identifier_invalid" "The identifier cannot be read";
    IDENTITY_NOT_VERIFIED CONFLICT "identity_not_verified" "The person must be identified first";
    INTERNAL INTERNAL_SERVER_ERROR "internal" "The service failed";
    LAST_ADMIN CONFLICT "last_admin" "This is the only admin key";
    LIST_LINE_INVALID UNPROCESSABLE_ENTITY "list_line_invalid" "Lines of the list cannot be read";
    LIST_MISSING SERVICE_UNAVAILABLE "list_missing" "A list that counts cannot be asked";
    LIST_REFUSED CONFLICT "list_refused" "The list does not follow on the copy that is here";
    LIST_UNREADABLE UNPROCESSABLE_ENTITY "list_unreadable" "The file is not a list";
    LEDGER_UNKNOWN NOT_FOUND "ledger_unknown" "There is no such ledger here";
    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "method_not_allowed" "The route does not take this method";
    MERGE_REFUSED CONFLICT "merge_refused" "The subjects cannot be joined or parted";
    MODEL_INVALID UNPROCESSABLE_ENTITY "model_invalid" "The score model is not taken";
    NOT_AN_EVENT BAD_REQUEST "not_an_event" "The body is neither an event nor a list of events";
    NOT_FOUND NOT_FOUND "not_found" "There is nothing here";
    NOT_JSON BAD_REQUEST "not_json" "The body is not JSON";
    NOT_LEADER SERVICE_UNAVAILABLE "not_leader" "Another server appends to this ledger";
    NOW_BEHIND CONFLICT "now_behind" "Tallystick-Now is behind the last entry";
    NOW_INVALID BAD_REQUEST "now_invalid" "Tallystick-Now is not a time";
    NOW_NOT_ALLOWED BAD_REQUEST "now_not_allowed" "This ledger has its own clock";
    ORIGIN_REFUSED FORBIDDEN "origin_refused" "The request comes from another site";
    PACK_UNKNOWN CONFLICT "pack_unknown" "The rules that the decision cites are not here";
    PARAMETER_INVALID BAD_REQUEST "parameter_invalid" "A parameter cannot be read";
    PLAN_INVALID UNPROCESSABLE_ENTITY "plan_invalid" "The routing plan is not taken";
    PROJECTION_BEHIND SERVICE_UNAVAILABLE "projection_behind" "The view has not caught up yet";
    PROOF_BATCH_TOO_LARGE BAD_REQUEST "proof_batch_too_large" "Too many events to wait for their proofs";
    QUEUE_FULL SERVICE_UNAVAILABLE "queue_full" "Too many requests are waiting";
    READ_ONLY SERVICE_UNAVAILABLE "read_only" "The store does not take writes at the moment";
    REQUEST_ANSWERED CONFLICT "request_answered" "The request was answered already";
    REQUEST_INVALID UNPROCESSABLE_ENTITY "request_invalid" "The request is not valid";
    ROUTING_REFUSED CONFLICT "routing_refused" "The lead cannot be routed";
    SCHEMA_REFUSED UNPROCESSABLE_ENTITY "schema_refused" "The schema cannot be registered";
    STOPPING SERVICE_UNAVAILABLE "stopping" "The service is stopping";
    STORE_BUSY SERVICE_UNAVAILABLE "store_busy" "The store is too busy";
    STREAMS_FULL SERVICE_UNAVAILABLE "streams_full" "Too many streams are open";
    UNAUTHENTICATED UNAUTHORIZED "unauthenticated" "A valid API key is needed";
    UNKNOWN_CONTENT_TYPE UNSUPPORTED_MEDIA_TYPE "unknown_content_type" "The content type is not one that carries events";
}

/// Codes of one event's problems, as `errors[].code` and as the code of a quarantined event. Other modules write them; they
/// are listed here so that documents and code cannot drift apart.
pub const OF_EVENTS: &[&str] = &[
    "already_quarantined",
    "amount_invalid",
    "attribute_empty",
    "attribute_repeated",
    "attribute_too_long",
    "batch_refused",
    "country_unknown",
    "currency_unknown",
    "data_given_twice",
    "data_missing",
    "data_not_base64",
    "data_not_json",
    "email_invalid",
    "event_id_reused",
    "event_too_large",
    "expect_failed",
    "expect_without_subject",
    "invalid_attribute_name",
    "invalid_attribute_type",
    "items_not_unique",
    "nesting_too_deep",
    "no_alternative_fits",
    "not_a_multiple",
    "not_in_enum",
    "not_json",
    "not_utf8",
    "number_not_exact",
    "occurred_in_future",
    "pattern_mismatch",
    "phone_invalid",
    "property_unknown",
    "required_attribute_missing",
    "required_missing",
    "schema_mismatch",
    "several_alternatives_fit",
    "specversion_unsupported",
    "subject_being_erased",
    "subject_missing",
    "time_invalid",
    "too_few_items",
    "too_few_properties",
    "too_large",
    "too_long",
    "too_many_items",
    "too_many_properties",
    "too_short",
    "too_small",
    "type_reserved",
    "unknown_type",
    "wrong_type",
];
