//! Score cards in force: activated like plans, in the same fold.

use std::sync::{Arc, LazyLock};

use super::{RouteError, Router, State};
use crate::decisions::packs;
use crate::ingest::Ledger;
use crate::policy::scoring::{Card, builtin};

/// The card of this build.
fn built() -> Option<Arc<Card>> {
    static CARD: LazyLock<Option<Arc<Card>>> = LazyLock::new(|| builtin().cloned().map(Arc::new));
    CARD.clone()
}

impl State {
    async fn card(&mut self, ledger: &Ledger, digest: &str) -> Result<Arc<Card>, RouteError> {
        if let Some(card) = self.cards.get(digest) {
            return Ok(Arc::clone(card));
        }
        let text = packs::document(ledger, digest).await.map_err(|_| RouteError::NoCard)?;
        let card = Arc::new(Card::parse(&text)?);
        self.cards.insert(digest.to_owned(), Arc::clone(&card));
        Ok(card)
    }
}

impl Router {
    /// The score card in force; that of the build where none was activated.
    ///
    /// # Errors
    /// [`RouteError::Card`] or [`RouteError::NoCard`] when it cannot be had, or [`RouteError`] when the log cannot be read.
    pub async fn card(&self, ledger: &Ledger) -> Result<Arc<Card>, RouteError> {
        let mut state = self.state.lock().await;
        state.catch_up(ledger).await?;
        match state.card.clone() {
            Some(digest) => state.card(ledger, &digest).await,
            None => built().ok_or(RouteError::NoCard),
        }
    }

    /// The card of a digest, as the log keeps it.
    pub(in crate::decisions) async fn card_of(&self, ledger: &Ledger, digest: &str) -> Result<Arc<Card>, RouteError> {
        match built().filter(|card| card.digest.to_string() == digest) {
            Some(card) => Ok(card),
            None => self.state.lock().await.card(ledger, digest).await,
        }
    }
}
