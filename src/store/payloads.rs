//! Sealed parts. Only retention and erasure delete them, through the shredding connection.
//!
//! A part's row has one number for a key, its slot: position * 256 + index in the entry's list of parts. Rows then append in
//! order of the key, on SQLite to the table itself. What kind of part it is only the entry says, which is authentic.

use super::db::{Db, on_db};
use super::pack::{NUMBER, Packed, ROWS_MAX};
use super::rows::{to_i64, to_u64};
use super::{Store, StoreError, sql};

/// A stored part: position, index in the entry's list, sealed bytes.
pub type StoredPart = (u64, u8, Vec<u8>);

/// Where the part of an entry is stored.
pub(super) const fn slot(position: u64, part: u8) -> u64 {
    (position << 8) | part as u64
}

/// The first slot of an entry as a bound: positions end long before 2^55.
pub(super) fn slot_bound(position: u64) -> i64 {
    to_i64(position.saturating_mul(256))
}

/// Position and part number of a slot.
pub(super) fn place(slot: u64) -> (u64, u8) {
    let [.., part] = slot.to_be_bytes();
    (slot >> 8, part)
}

/// Stored bytes of an entry, and its stored parts by part number.
pub type WholeEntry = (Vec<u8>, Vec<(u8, Vec<u8>)>);

impl Store {
    /// The stored bytes of an entry with its stored parts by part number; `None` past the end.
    pub async fn entry_with_parts(&self, position: u64) -> Result<Option<WholeEntry>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::ENTRY_WITH_PARTS)
                .bind(self.key())
                .bind(to_i64(position))
                .bind(slot_bound(position))
                .bind(slot_bound(position.saturating_add(1)))
                .fetch_all(pool)
                .await
        })?;
        let (mut entry, mut parts) = (None, Vec::new());
        for (slot, bytes) in rows {
            match u64::try_from(slot) {
                Ok(slot) => parts.push((place(slot).1, bytes)),
                Err(_) => entry = Some(bytes),
            }
        }
        Ok(entry.map(|entry| (entry, parts)))
    }

    /// Entries at the given positions as [`Store::entry_with_parts`] has them, in the order asked; `None` past the end. One
    /// statement for as many as a person's history usually has.
    pub async fn entries_with_parts(&self, positions: &[u64]) -> Result<Vec<Option<WholeEntry>>, StoreError> {
        let mut found = Vec::with_capacity(positions.len());
        for piece in positions.chunks(ROWS_MAX) {
            let mut parts: Vec<Vec<(u8, Vec<u8>)>> = vec![Vec::new(); piece.len()];
            let mut entries: Vec<Option<Vec<u8>>> = vec![None; piece.len()];
            for (at, slot, bytes) in self.whole_piece(piece).await? {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                match (u64::try_from(slot), entries.get_mut(at), parts.get_mut(at)) {
                    (Ok(slot), _, Some(parts)) => parts.push((place(slot).1, bytes)),
                    (Err(_), Some(entry), _) => *entry = Some(bytes),
                    _ => {}
                }
            }
            found.extend(entries.into_iter().zip(parts).map(|(entry, parts)| Some((entry?, parts))));
        }
        Ok(found)
    }

    async fn whole_piece(&self, positions: &[u64]) -> Result<Vec<(i64, i64, Vec<u8>)>, sqlx::Error> {
        match &self.db {
            Db::Sqlite(pools) => {
                let mut packed = Packed::with_capacity(positions.len(), NUMBER, 0);
                for position in positions {
                    packed.row().number(*position);
                }
                let query = sqlx::query_as(sql::sqlite::ENTRIES_WITH_PARTS).bind(self.key());
                query.bind(packed.count).bind(packed.heads).fetch_all(&pools.log_read).await
            }
            Db::Postgres(pools) => {
                let positions: Vec<i64> = positions.iter().map(|position| to_i64(*position)).collect();
                let query = sqlx::query_as(sql::postgres::ENTRIES_WITH_PARTS).bind(self.key());
                query.bind(positions).fetch_all(&pools.log_read).await
            }
        }
    }

    /// The stored parts of one entry by part number.
    pub async fn payloads_of(&self, position: u64) -> Result<Vec<(u8, Vec<u8>)>, StoreError> {
        let stored = self.payloads_from(position, position.saturating_add(1)).await?;
        Ok(stored.into_iter().map(|(_, part, sealed)| (part, sealed)).collect())
    }

    /// The stored parts of entries in `[first, end)` by position and part.
    pub async fn payloads_from(&self, first: u64, end: u64) -> Result<Vec<StoredPart>, StoreError> {
        self.parts_read(sql::PAYLOADS_FROM, first, end).await
    }

    /// Part 0 of the entries in `[first, end)`, where stored, in order: the public or the business part of nearly all.
    pub async fn first_parts_from(&self, first: u64, end: u64) -> Result<Vec<StoredPart>, StoreError> {
        self.parts_read(sql::FIRST_PARTS_FROM, first, end).await
    }

    async fn parts_read(&self, statement: &'static str, first: u64, end: u64) -> Result<Vec<StoredPart>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(statement)
                .bind(self.key())
                .bind(slot_bound(first))
                .bind(slot_bound(end))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(slot, sealed)| {
                let (position, part) = place(to_u64("payloads", slot)?);
                Ok((position, part, sealed))
            })
            .collect()
    }

    /// Deletes one stored part for good. The entry keeps its digest, so the log still verifies.
    pub async fn payload_delete(&self, position: u64, part: u8) -> Result<(), StoreError> {
        on_db!(self.db, shred, pool => {
            sqlx::query(sql::PAYLOAD_DELETE)
                .bind(self.key())
                .bind(to_i64(slot(position, part)))
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Deletes stored parts (position and part number) for good, all or none; those that are gone already are no error.
    pub async fn payloads_delete(&self, parts: &[(u64, u8)]) -> Result<u64, StoreError> {
        if parts.is_empty() {
            return Ok(0);
        }
        let slots: Vec<u64> = parts.iter().map(|(position, part)| slot(*position, *part)).collect();
        Ok(match &self.db {
            Db::Sqlite(pools) => {
                let mut tx = pools.shred.begin_with("BEGIN IMMEDIATE").await?;
                let mut deleted = 0;
                for slots in slots.chunks(ROWS_MAX) {
                    let mut packed = Packed::with_capacity(slots.len(), NUMBER, 0);
                    for slot in slots {
                        packed.row().number(*slot);
                    }
                    let query = sqlx::query(sql::sqlite::PAYLOADS_DELETE).bind(self.key()).bind(packed.count);
                    deleted += query.bind(packed.heads).execute(&mut *tx).await?.rows_affected();
                }
                tx.commit().await?;
                deleted
            }
            Db::Postgres(pools) => sqlx::query(sql::postgres::PAYLOADS_DELETE)
                .bind(self.key())
                .bind(slots.into_iter().map(to_i64).collect::<Vec<_>>())
                .execute(&pools.shred)
                .await?
                .rows_affected(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_names_one_part_of_one_entry_in_order() {
        assert_eq!(slot(0, 0), 0);
        assert_eq!(slot(7, 255), 7 * 256 + 255);
        assert_eq!(place(slot(7, 255)), (7, 255));
        assert_eq!(place(slot((1 << 53) - 1, 3)), ((1 << 53) - 1, 3));
        assert!(slot(7, 255) < slot(8, 0));
        assert_eq!(slot_bound(u64::MAX), i64::MAX);
    }
}
