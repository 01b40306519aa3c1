//! Object storage for archives: a folder today, buckets by the same crate. The only module that knows it; paths are built
//! here from a ledger and a name.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::domain::ids::LedgerId;

/// Why the object store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store's own reason.
    #[error("{what}")]
    Store {
        /// What was tried, by object name.
        what: String,
        /// The driver's reason.
        source: object_store::Error,
    },
    /// The URL names no store that this program has.
    #[error("archive.url must be a file:// URL or a folder")]
    Url,
}

/// An archive.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
}

impl Archive {
    /// Opens the archive at a `file://` URL or folder, creating the folder.
    ///
    /// # Errors
    /// [`BlobError::Url`] for other URLs; else what the file system says.
    pub fn open(url: &str) -> Result<Archive, BlobError> {
        let folder = match url.strip_prefix("file://") {
            Some(folder) => folder,
            None if url.contains("://") => return Err(BlobError::Url),
            None => url,
        };
        std::fs::create_dir_all(FilePath::new(folder)).map_err(|_| BlobError::Url)?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|source| BlobError::Store { what: "open the archive".to_owned(), source })?
            .with_fsync(true);
        Ok(Archive { store: Arc::new(store) })
    }

    fn path(ledger: &LedgerId, name: &str) -> Path {
        Path::from(format!("{ledger}/{name}"))
    }

    /// Puts an object, replacing one of the same name.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn put(&self, ledger: &LedgerId, name: &str, bytes: Vec<u8>) -> Result<(), BlobError> {
        let put = self.store.put(&Self::path(ledger, name), bytes.into()).await;
        put.map(|_| ()).map_err(|source| BlobError::Store { what: format!("put {name}"), source })
    }

    /// Puts an object that must not exist yet; the same name again is left as it is.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn put_new(&self, ledger: &LedgerId, name: &str, bytes: Vec<u8>) -> Result<(), BlobError> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&Self::path(ledger, name), bytes.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => Err(BlobError::Store { what: format!("create {name}"), source }),
        }
    }

    /// An object's bytes, or `None`.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn get(&self, ledger: &LedgerId, name: &str) -> Result<Option<Vec<u8>>, BlobError> {
        let fail = |source| BlobError::Store { what: format!("get {name}"), source };
        match self.store.get(&Self::path(ledger, name)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(fail)?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(fail(source)),
        }
    }

    /// The newest checkpoint in the archive, as text.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn checkpoint(&self, ledger: &LedgerId) -> Result<Option<String>, BlobError> {
        Ok(self.get(ledger, "checkpoint").await?.map(|note| String::from_utf8_lossy(&note).into_owned()))
    }

    /// Entries that the archive holds, by its newest checkpoint.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn size(&self, ledger: &LedgerId) -> Result<u64, BlobError> {
        let note = self.checkpoint(ledger).await?;
        Ok(note.and_then(|note| note.lines().nth(1).and_then(|line| line.parse().ok())).unwrap_or(0))
    }
}
