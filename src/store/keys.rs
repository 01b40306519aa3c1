//! The vault: wrapped data keys and the ledger's own secrets. What is here is useless without the key-encryption key.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::db::{Db, lookup_rows, on_db};
use super::lookup::Reading;
use super::pack::{Packed, ROWS_MAX};
use super::rows::{array, to_i64};
use super::{Store, StoreError, sql};
use crate::domain::ids::KeyId;

/// More of a vault is not brought near.
const NEAR_BYTES_MAX: u64 = 2 << 30;

/// Owner of keys that belong to no person or item.
pub const NO_OWNER: [u8; 16] = [0; 16];

/// Which data key: its owner (subject, item or [`NO_OWNER`]), retention class code and recorded quarter ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DekSlot {
    /// Subject or item id, or [`NO_OWNER`].
    pub owner: [u8; 16],
    /// Retention class code.
    pub class: u8,
    /// Ordinal of the recorded quarter.
    pub quarter: u16,
}

/// A data key as stored: wrapped under the KEK of `epoch`.
#[derive(Debug, Clone)]
pub struct DekRow {
    /// Fingerprint of the key.
    pub key: KeyId,
    /// KEK epoch.
    pub epoch: u32,
    /// Nonce, ciphertext and tag.
    pub wrapped: Vec<u8>,
}

/// A ledger secret as stored.
#[derive(Debug, Clone)]
pub struct SecretRow {
    /// What it is for.
    pub name: String,
    /// Version, from 1.
    pub version: i64,
    /// KEK epoch.
    pub epoch: u32,
    /// Nonce, ciphertext and tag.
    pub wrapped: Vec<u8>,
}

/// Class, quarter, key id, epoch, wrapping.
type KeyOfRow = (i64, i64, Vec<u8>, i64, Vec<u8>);
/// Owner, class, quarter, key id, epoch, wrapping.
type SlotRow = (Vec<u8>, i64, i64, Vec<u8>, i64, Vec<u8>);

fn epoch_of(epoch: i64) -> Result<u32, StoreError> {
    u32::try_from(epoch).map_err(|_| StoreError::inconsistent("deks", format!("KEK epoch {epoch}")))
}

fn dek_row(key: &[u8], epoch: i64, wrapped: Vec<u8>) -> Result<DekRow, StoreError> {
    Ok(DekRow { key: KeyId::from_bytes(array("deks", key)?), epoch: epoch_of(epoch)?, wrapped })
}

fn slot_row(owner: [u8; 16], class: i64, quarter: i64) -> Result<DekSlot, StoreError> {
    let odd = || StoreError::inconsistent("deks", format!("class {class}, quarter {quarter}"));
    let class = u8::try_from(class).map_err(|_| odd())?;
    let quarter = u16::try_from(quarter).map_err(|_| odd())?;
    Ok(DekSlot { owner, class, quarter })
}

impl Store {
    /// Stores new data keys; a slot that is already taken keeps the key it has. Gives whether all were stored: if not, another
    /// server minted first, and [`Store::deks_at`] tells which keys won. Durable on return, so an entry may cite the keys
    /// afterwards.
    pub async fn deks_insert(&self, rows: &[(DekSlot, DekRow)]) -> Result<bool, StoreError> {
        if rows.is_empty() {
            return Ok(true);
        }
        let mut stored = 0;
        match &self.db {
            Db::Sqlite(pools) => {
                for rows in rows.chunks(ROWS_MAX) {
                    let mut packed = Packed::with_capacity(rows.len(), 132, rows.len() * 64);
                    for (slot, row) in rows {
                        packed.row().fixed(&slot.owner).number(slot.class.into()).number(slot.quarter.into());
                        packed.fixed(row.key.as_bytes()).number(row.epoch.into()).bytes(&row.wrapped);
                    }
                    stored += sqlx::query(sql::sqlite::DEKS_INSERT)
                        .bind(self.key())
                        .bind(packed.count)
                        .bind(packed.heads)
                        .bind(packed.body)
                        .execute(&pools.vault_write)
                        .await?
                        .rows_affected();
                }
            }
            Db::Postgres(pools) => {
                stored = sqlx::query(sql::postgres::DEKS_INSERT)
                    .bind(self.key())
                    .bind(rows.iter().map(|(slot, _)| slot.owner.as_slice()).collect::<Vec<_>>())
                    .bind(rows.iter().map(|(slot, _)| i64::from(slot.class)).collect::<Vec<_>>())
                    .bind(rows.iter().map(|(slot, _)| i64::from(slot.quarter)).collect::<Vec<_>>())
                    .bind(rows.iter().map(|(_, row)| row.key.as_bytes().as_slice()).collect::<Vec<_>>())
                    .bind(rows.iter().map(|(_, row)| i64::from(row.epoch)).collect::<Vec<_>>())
                    .bind(rows.iter().map(|(_, row)| row.wrapped.as_slice()).collect::<Vec<_>>())
                    .execute(&pools.vault_write)
                    .await?
                    .rows_affected();
            }
        }
        Ok(stored == rows.len() as u64)
    }

    /// Brings the vault near, where it is a file of up to some GiB: keys lie in it in no order that a question follows, and reading
    /// it once takes about as long as a few thousand of them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn deks_near(&self) -> Result<(), StoreError> {
        let Db::Sqlite(files) = &self.db else { return Ok(()) };
        let vault = Arc::clone(&files.lookups.vault);
        tokio::task::spawn_blocking(move || vault.read_through(NEAR_BYTES_MAX))
            .await
            .map_err(|_cut| StoreError::Closed)?
    }

    /// The stored keys of the given slots: index into `slots`, and the row. Slots without a key are left out.
    pub async fn deks_at(&self, slots: &[DekSlot]) -> Result<Vec<(usize, DekRow)>, StoreError> {
        // In order of the rows, so that the keys of one person come from one page.
        let mut order: Vec<(DekSlot, usize)> = slots.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let pieces = order.chunks(lookup_rows(order.len())).map(|piece| self.deks_piece(piece));
        Ok(try_join_all(pieces).await?.into_iter().flatten().collect())
    }

    async fn deks_piece(&self, piece: &[(DekSlot, usize)]) -> Result<Vec<(usize, DekRow)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, i64, Vec<u8>)> = match &self.db {
            Db::Sqlite(files) => {
                let (ledger, piece): (_, Vec<(i64, DekSlot)>) =
                    (self.ledger, (0..).zip(piece.iter().map(|(slot, _)| *slot)).collect());
                let read = move |reading: &Reading<'_>| {
                    let bound = |(index, slot): &(i64, DekSlot)| {
                        (*index, ledger.as_bytes(), slot.owner, slot.class, slot.quarter)
                    };
                    reading.each(sql::sqlite::DEK_AT, &piece, bound, |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })
                };
                files.lookups.vault.read(read).await?
            }
            Db::Postgres(pools) => {
                sqlx::query_as(sql::postgres::DEKS_AT)
                    .bind(self.key())
                    .bind((0..piece.len() as u64).map(to_i64).collect::<Vec<_>>())
                    .bind(piece.iter().map(|(slot, _)| slot.owner.as_slice()).collect::<Vec<_>>())
                    .bind(piece.iter().map(|(slot, _)| i64::from(slot.class)).collect::<Vec<_>>())
                    .bind(piece.iter().map(|(slot, _)| i64::from(slot.quarter)).collect::<Vec<_>>())
                    .fetch_all(&pools.vault_read)
                    .await?
            }
        };
        rows.into_iter()
            .map(|(index, key, epoch, wrapped)| {
                let asked = usize::try_from(index).ok().and_then(|index| piece.get(index));
                let (_, index) = asked.ok_or_else(|| StoreError::inconsistent("deks", format!("row index {index}")))?;
                Ok((*index, dek_row(&key, epoch, wrapped)?))
            })
            .collect()
    }

    /// Destroys one data key. What it sealed cannot be opened again.
    pub async fn dek_delete(&self, slot: &DekSlot) -> Result<(), StoreError> {
        let changed = match &self.db {
            Db::Sqlite(pools) => {
                let query = sqlx::query(sql::DEK_DELETE).bind(self.key()).bind(slot.owner.as_slice());
                query
                    .bind(i64::from(slot.class))
                    .bind(i64::from(slot.quarter))
                    .execute(&pools.vault_write)
                    .await?
                    .rows_affected()
            }
            Db::Postgres(pools) => {
                let query = sqlx::query(sql::DEK_DELETE).bind(self.key()).bind(slot.owner.as_slice());
                query
                    .bind(i64::from(slot.class))
                    .bind(i64::from(slot.quarter))
                    .execute(&pools.shred)
                    .await?
                    .rows_affected()
            }
        };
        if changed > 1 {
            return Err(StoreError::RowsAffected { statement: "dek_delete", changed, expected: 1 });
        }
        Ok(())
    }

    /// Destroys data keys, all or none; those that are gone already are no error. What they sealed cannot be opened again.
    pub async fn deks_delete(&self, slots: &[DekSlot]) -> Result<u64, StoreError> {
        if slots.is_empty() {
            return Ok(0);
        }
        Ok(match &self.db {
            Db::Sqlite(pools) => {
                let mut tx = pools.vault_write.begin_with("BEGIN IMMEDIATE").await?;
                let mut deleted = 0;
                for slots in slots.chunks(ROWS_MAX) {
                    let mut packed = Packed::with_capacity(slots.len(), 56, 0);
                    for slot in slots {
                        packed.row().fixed(&slot.owner).number(slot.class.into()).number(slot.quarter.into());
                    }
                    let query = sqlx::query(sql::sqlite::DEKS_DELETE).bind(self.key()).bind(packed.count);
                    deleted += query.bind(packed.heads).execute(&mut *tx).await?.rows_affected();
                }
                tx.commit().await?;
                deleted
            }
            Db::Postgres(pools) => sqlx::query(sql::postgres::DEKS_DELETE)
                .bind(self.key())
                .bind(slots.iter().map(|slot| slot.owner.as_slice()).collect::<Vec<_>>())
                .bind(slots.iter().map(|slot| i64::from(slot.class)).collect::<Vec<_>>())
                .bind(slots.iter().map(|slot| i64::from(slot.quarter)).collect::<Vec<_>>())
                .execute(&pools.shred)
                .await?
                .rows_affected(),
        })
    }

    /// All data keys of an owner, by class and quarter.
    pub async fn deks_of(&self, owner: &[u8; 16]) -> Result<Vec<(DekSlot, DekRow)>, StoreError> {
        let rows: Vec<KeyOfRow> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::DEKS_OF).bind(self.key()).bind(owner.as_slice()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(class, quarter, key, epoch, wrapped)| {
                Ok((slot_row(*owner, class, quarter)?, dek_row(&key, epoch, wrapped)?))
            })
            .collect()
    }

    /// Owners of keys of one class and quarter with the keys' ids, in order of owner from `from` on, at most `limit`.
    pub async fn deks_due(
        &self,
        class: u8,
        quarter: u16,
        from: &[u8; 16],
        limit: u32,
    ) -> Result<Vec<([u8; 16], KeyId)>, StoreError> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::DEKS_DUE)
                .bind(self.key())
                .bind(from.as_slice())
                .bind(i64::from(class))
                .bind(i64::from(quarter))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(owner, key)| Ok((array("deks", &owner)?, KeyId::from_bytes(array("deks", &key)?))))
            .collect()
    }

    /// How many keys each class and quarter has: class code, quarter ordinal, keys.
    pub async fn dek_slots(&self) -> Result<Vec<(u8, u16, u64)>, StoreError> {
        let rows: Vec<(i64, i64, i64)> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::DEK_SLOTS).bind(self.key()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(class, quarter, count)| {
                let slot = slot_row(NO_OWNER, class, quarter)?;
                Ok((slot.class, slot.quarter, u64::try_from(count).unwrap_or_default()))
            })
            .collect()
    }

    /// Stores a new version of a ledger secret, wrapped.
    pub async fn secret_insert(&self, row: &SecretRow) -> Result<(), StoreError> {
        on_db!(self.db, vault_write, pool => {
            sqlx::query(sql::SECRET_INSERT)
                .bind(self.key())
                .bind(row.name.as_str())
                .bind(row.version)
                .bind(i64::from(row.epoch))
                .bind(row.wrapped.as_slice())
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// All secrets of the ledger, wrapped, by name and version.
    pub async fn secrets(&self) -> Result<Vec<SecretRow>, StoreError> {
        let rows: Vec<(String, i64, i64, Vec<u8>)> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::SECRETS_READ).bind(self.key()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(name, version, epoch, wrapped)| Ok(SecretRow { name, version, epoch: epoch_of(epoch)?, wrapped }))
            .collect()
    }

    /// Data keys under another epoch than `epoch`, in the order of their slots, after `after`.
    pub async fn deks_page(
        &self,
        after: Option<DekSlot>,
        epoch: u32,
        rows_max: i64,
    ) -> Result<Vec<(DekSlot, DekRow)>, StoreError> {
        let from = after.unwrap_or(DekSlot { owner: NO_OWNER, class: 0, quarter: 0 });
        let rows: Vec<SlotRow> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::DEKS_PAGE)
                .bind(self.key())
                .bind(i64::from(epoch))
                .bind(i64::from(after.is_none()))
                .bind(from.owner.as_slice())
                .bind(i64::from(from.class))
                .bind(i64::from(from.quarter))
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(owner, class, quarter, key, epoch, wrapped)| {
                let out_of_range = |_| StoreError::inconsistent("deks", format!("class {class}, quarter {quarter}"));
                let class = u8::try_from(class).map_err(out_of_range)?;
                let quarter = u16::try_from(quarter).map_err(out_of_range)?;
                let slot = DekSlot { owner: array("deks", &owner)?, class, quarter };
                Ok((slot, dek_row(&key, epoch, wrapped)?))
            })
            .collect()
    }

    /// Replaces the wrapping of data keys that are still under the epoch given with each; returns how many were.
    pub async fn deks_rewrap(&self, rows: &[(DekSlot, u32, DekRow)]) -> Result<u64, StoreError> {
        macro_rules! rewrap {
            ($tx:expr) => {{
                let mut changed = 0;
                for (slot, old, row) in rows {
                    let query = sqlx::query(sql::DEK_REWRAP).bind(self.key()).bind(slot.owner.as_slice());
                    let query = query.bind(i64::from(slot.class)).bind(i64::from(slot.quarter));
                    let query = query.bind(i64::from(row.epoch)).bind(row.wrapped.as_slice()).bind(i64::from(*old));
                    let query = query.bind(row.key.as_bytes().as_slice());
                    changed += query.execute(&mut *$tx).await?.rows_affected();
                }
                $tx.commit().await?;
                Ok(changed)
            }};
        }
        match &self.db {
            Db::Sqlite(pools) => {
                let mut tx = pools.vault_write.begin_with("BEGIN IMMEDIATE").await?;
                rewrap!(tx)
            }
            Db::Postgres(pools) => {
                let mut tx = pools.shred.begin().await?;
                rewrap!(tx)
            }
        }
    }

    /// Replaces the wrapping of a secret that is still under epoch `old`; returns 1 if it was.
    pub async fn secret_rewrap(
        &self,
        name: &str,
        version: i64,
        old: u32,
        epoch: u32,
        wrapped: &[u8],
    ) -> Result<u64, StoreError> {
        macro_rules! rewrap {
            ($pool:expr) => {
                sqlx::query(sql::SECRET_REWRAP)
                    .bind(self.key())
                    .bind(name)
                    .bind(version)
                    .bind(i64::from(epoch))
                    .bind(wrapped)
                    .bind(i64::from(old))
                    .execute($pool)
                    .await?
                    .rows_affected()
            };
        }
        Ok(match &self.db {
            Db::Sqlite(pools) => rewrap!(&pools.vault_write),
            Db::Postgres(pools) => rewrap!(&pools.shred),
        })
    }

    /// How many data keys and secrets are under another epoch than `epoch`.
    pub async fn keys_remaining(&self, epoch: u32) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self.db, vault_read, pool => {
            sqlx::query_scalar(sql::KEYS_REMAINING).bind(self.key()).bind(i64::from(epoch)).fetch_one(pool).await
        })?;
        u64::try_from(count).map_err(|_| StoreError::inconsistent("deks", format!("count {count}")))
    }
}
