//! `tallystick openapi`: the document that the service serves.

use super::{Outcome, failed};

pub(super) fn run() -> Outcome {
    println!("{}", crate::http::openapi_document().map_err(failed)?);
    Ok(())
}
