//! `subjects.sealed`: committing to everyone's last entry, so that an export can show that it left nothing out.
//!
//! The map is read from a snapshot of the index at one size of the log, off the append path. Its root is recomputed by
//! anybody who reads the log up to that size; nothing here has to be believed.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::ledger::Ledger;
use super::receipt::{Receipt, SubmitError};
use crate::chain::leaf::leaf_hash;
use crate::chain::subjects::{SubjectHead, SubjectProof, SubjectsBuilder, SubjectsError, SubjectsRoot};
use crate::chain::tree::{Frontier, HashReader, Node, TreeError, inclusion, inclusion_nodes};
use crate::crypto::hash::Digest;
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::{PrincipalId, SubjectId};
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::store::index::{AMBIGUOUS, HeadsSnapshot, RunError};

/// Why the map cannot be sealed or asked.
#[derive(Debug, thiserror::Error)]
pub enum SubjectsSealError {
    /// The index cannot be read.
    #[error("index")]
    Run(#[from] RunError),
    /// Heads do not make a map.
    #[error("map")]
    Subjects(#[from] SubjectsError),
    /// A proof cannot be made.
    #[error("proof")]
    Tree(#[from] TreeError),
    /// The ledger did not take the seal.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The computation was cut short.
    #[error("the computation was cut short")]
    Cut,
}

/// Why a person is not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Several people have this reference.
    #[error("several sources use this reference for different people: name the source too")]
    Ambiguous,
    /// Nobody has it.
    #[error("the ledger knows nobody by this id, reference, phone or e-mail")]
    Unknown,
    /// The index cannot be read.
    #[error("index")]
    Index(#[from] SubjectsSealError),
}

/// Everyone's last entry at one size of the log.
#[derive(Clone)]
pub struct SubjectsMap {
    /// Entries covered.
    pub size: u64,
    /// Count and root.
    pub root: SubjectsRoot,
    snapshot: Arc<HeadsSnapshot>,
}

struct Needed(HashMap<Node, Digest>);

impl HashReader for Needed {
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        self.0.get(&Node { level, index }).copied().ok_or(TreeError::Missing { level, index })
    }
}

fn each(snapshot: &HeadsSnapshot, mut each: impl FnMut(SubjectHead)) -> Result<(), RunError> {
    snapshot.each(|subject, head| {
        each(SubjectHead { subject: SubjectId::from_bytes(subject), sequence: head.sequence, position: head.position });
    })
}

impl SubjectsMap {
    /// Inclusion proofs of subjects; `None` for one that has no entry. Two passes over the heads, holding O(log n).
    ///
    /// # Errors
    /// [`SubjectsSealError`] when the index cannot be read.
    pub fn prove(&self, subjects: &[SubjectId]) -> Result<Vec<Option<SubjectProof>>, SubjectsSealError> {
        let mut found: Vec<Option<(SubjectHead, u64)>> = vec![None; subjects.len()];
        let mut index = 0u64;
        each(&self.snapshot, |head| {
            for (place, subject) in found.iter_mut().zip(subjects) {
                if *subject == head.subject {
                    *place = Some((head, index));
                }
            }
            index += 1;
        })?;
        let mut needed: HashMap<Node, Option<Digest>> = HashMap::new();
        for (_, index) in found.iter().flatten() {
            needed.extend(inclusion_nodes(*index, self.root.count)?.into_iter().map(|node| (node, None)));
        }
        let mut frontier = Frontier::new();
        let mut at = 0u64;
        each(&self.snapshot, |head| {
            let leaf = leaf_hash(&head.leaf_bytes());
            if let Some(wanted) = needed.get_mut(&Node { level: 0, index: at }) {
                *wanted = Some(leaf);
            }
            frontier.push_observed(leaf, |node, hash| {
                if let Some(wanted) = needed.get_mut(&node) {
                    *wanted = Some(*hash);
                }
            });
            at += 1;
        })?;
        let nodes = Needed(needed.into_iter().filter_map(|(node, hash)| Some((node, hash?))).collect());
        found
            .into_iter()
            .map(|found| {
                let Some((head, index)) = found else { return Ok(None) };
                Ok(Some(SubjectProof { head, index, hashes: inclusion(&nodes, index, self.root.count)? }))
            })
            .collect()
    }
}

impl Ledger {
    /// The map as of now, computed off the async threads.
    ///
    /// # Errors
    /// [`SubjectsSealError`] when the index cannot be read.
    pub async fn subjects_map(&self) -> Result<SubjectsMap, SubjectsSealError> {
        let (snapshot, size) = {
            // The appender changes index and tree under the index's lock, so the two agree here.
            let index = self.index_read();
            (Arc::new(index.heads_snapshot()), self.tree_read().size())
        };
        let work = {
            let snapshot = Arc::clone(&snapshot);
            move || -> Result<SubjectsRoot, SubjectsSealError> {
                let mut builder = SubjectsBuilder::default();
                let mut order = Ok(());
                each(&snapshot, |head| {
                    if order.is_ok() {
                        order = builder.push(&head);
                    }
                })?;
                order?;
                Ok(builder.root())
            }
        };
        let root = self.tasks.spawn_blocking(work).await.map_err(|_| SubjectsSealError::Cut)??;
        Ok(SubjectsMap { size, root, snapshot })
    }

    /// Appends `subjects.sealed` for the map as of now.
    ///
    /// # Errors
    /// [`SubjectsSealError`].
    pub async fn subjects_seal(
        &self,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<(Receipt, SubjectsMap), SubjectsSealError> {
        let map = self.subjects_map().await?;
        let data = json!({ "size": map.size, "count": map.root.count, "root": map.root.root.to_string() });
        let receipt = self.record_own("subjects.sealed", None, data, actor, now).await?;
        Ok((receipt, map))
    }

    /// Last entry of a subject as the index knows it.
    ///
    /// # Errors
    /// [`SubjectsSealError::Run`] when the index cannot be read.
    pub fn subject_head(
        &self,
        subject: &SubjectId,
    ) -> Result<Option<crate::store::index::SubjectHead>, SubjectsSealError> {
        Ok(self.index_read().head(subject.as_bytes())?.map(|found| found.head))
    }

    /// A subject's entries with a sequence above `after`, in order, as the index knows them: a hint where to look, which what
    /// stands there must bear out.
    ///
    /// # Errors
    /// [`SubjectsSealError::Run`] when the index cannot be read.
    pub fn subject_entries(
        &self,
        subject: &SubjectId,
        after: u64,
    ) -> Result<Vec<crate::store::index::SubjectHead>, SubjectsSealError> {
        Ok(self.index_read().history(subject.as_bytes(), after)?)
    }

    /// The subject that an identifier is bound to.
    ///
    /// # Errors
    /// [`SubjectsSealError::Run`] when the index cannot be read.
    pub fn subject_of(&self, identifier: &Identifier) -> Result<Option<SubjectId>, SubjectsSealError> {
        let blind = self.secrets.blind.blind_index(identifier.kind, &identifier.value);
        Ok(self.index_read().identifier(&blind)?.map(SubjectId::from_bytes))
    }

    /// Blind index of a reference by its text alone; `None` for other kinds.
    pub(super) fn bare_reference(&self, identifier: &Identifier) -> Option<[u8; 16]> {
        let (_, reference) = identifier.reference_parts()?;
        Some(self.secrets.blind.blind_index(IdentifierKind::Ref, &format!("\u{1f}{reference}")))
    }

    /// Finds a person by what somebody types: our subject id, a client's reference (with its source where several sources
    /// use it), a phone number or an e-mail address, in this order.
    ///
    /// # Errors
    /// [`FindError::Ambiguous`] when a reference names several people; [`FindError::Unknown`] when nobody fits.
    pub fn subject_find(&self, text: &str, source: Option<&str>) -> Result<SubjectId, FindError> {
        let text = text.trim();
        if let Ok(subject) = text.parse::<SubjectId>()
            && self.subject_head(&subject)?.is_some()
        {
            return Ok(subject);
        }
        if let Some(source) = source {
            let reference = Identifier::reference(source, text).map_err(|_| FindError::Unknown)?;
            return self.subject_of(&reference)?.ok_or(FindError::Unknown);
        }
        let bare = self.secrets.blind.blind_index(IdentifierKind::Ref, &format!("\u{1f}{text}"));
        match self.index_read().identifier(&bare).map_err(SubjectsSealError::from)? {
            Some(AMBIGUOUS) => return Err(FindError::Ambiguous),
            Some(subject) => return Ok(SubjectId::from_bytes(subject)),
            None => {}
        }
        let phone = Phone::parse(text, Phone::DEFAULT_COUNTRY).ok();
        let phone = phone.map(|phone| Identifier { kind: IdentifierKind::Phone, value: phone.into_string() });
        let email = Email::parse(text).ok();
        let email = email.map(|email| Identifier { kind: IdentifierKind::Email, value: email.into_string() });
        for identifier in [phone, email].into_iter().flatten() {
            if let Some(subject) = self.subject_of(&identifier)? {
                return Ok(subject);
            }
        }
        Err(FindError::Unknown)
    }
}
