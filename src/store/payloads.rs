//! Sealed parts. Only retention and erasure delete them, through the shredding connection.
//!
//! A part's row has one number for a key, its slot: position * 256 + index in the entry's list of parts. Rows then append in
//! order of the key, on SQLite to the table itself. What kind of part it is only the entry says, which is authentic.

use std::collections::HashMap;

use futures_util::future::try_join_all;

use super::db::{Db, lookup_rows, on_db, range_pieces};
use super::lookup::{Reading, numbered};
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

fn stored_part((slot, sealed): (i64, Vec<u8>)) -> Result<StoredPart, StoreError> {
    let (position, part) = place(to_u64("payloads", slot)?);
    Ok((position, part, sealed))
}

/// Stored bytes of an entry, and its stored parts by part number.
pub type WholeEntry = (Vec<u8>, Vec<(u8, Vec<u8>)>);
/// A row of a number and bytes.
type Numbered = (i64, Vec<u8>);

impl Store {
    /// The stored bytes of an entry with its stored parts by part number; `None` past the end.
    pub async fn entry_with_parts(&self, position: u64) -> Result<Option<WholeEntry>, StoreError> {
        let (at, first, end) = (to_i64(position), slot_bound(position), slot_bound(position.saturating_add(1)));
        let rows: Vec<(i64, Vec<u8>)> = match &self.db {
            Db::Sqlite(files) => {
                let ledger = self.ledger;
                let read = move |reading: &Reading<'_>| {
                    reading.rows(sql::ENTRY_WITH_PARTS, (ledger.as_bytes(), at, first, end), numbered)
                };
                files.lookups.log.read(read).await?
            }
            Db::Postgres(pools) => {
                let query = sqlx::query_as(sql::ENTRY_WITH_PARTS).bind(self.key()).bind(at);
                query.bind(first).bind(end).fetch_all(&pools.log_read).await?
            }
        };
        let (mut entry, mut parts) = (None, Vec::new());
        for (slot, bytes) in rows {
            match u64::try_from(slot) {
                Ok(slot) => parts.push((place(slot).1, bytes)),
                Err(_) => entry = Some(bytes),
            }
        }
        Ok(entry.map(|entry| (entry, parts)))
    }

    /// Entries at the given positions, each with those of its stored parts whose numbers `wanted` gives for its bytes; in no
    /// particular order, and missing ones are left out.
    pub async fn entries_with_parts(
        &self,
        positions: &[u64],
        wanted: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static,
    ) -> Result<Vec<(u64, WholeEntry)>, StoreError> {
        let mut positions: Vec<i64> = positions.iter().map(|position| to_i64(*position)).collect();
        // In order of the rows, so that neighbours share a page.
        positions.sort_unstable();
        positions.dedup();
        let pieces =
            positions.chunks(lookup_rows(positions.len())).map(|piece| self.whole_piece(piece, wanted.clone()));
        let mut found: HashMap<u64, WholeEntry> = HashMap::with_capacity(positions.len());
        for (entries, parts) in try_join_all(pieces).await? {
            for (position, entry) in entries {
                found.insert(to_u64("entries", position)?, (entry, Vec::new()));
            }
            for row in parts {
                let (position, part, sealed) = stored_part(row)?;
                if let Some((_, parts)) = found.get_mut(&position) {
                    parts.push((part, sealed));
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    async fn whole_piece(
        &self,
        positions: &[i64],
        wanted: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
    ) -> Result<(Vec<Numbered>, Vec<Numbered>), StoreError> {
        let slots = move |entries: &[Numbered]| -> Vec<i64> {
            let of = |(position, entry): &Numbered| {
                let first = position.saturating_mul(256);
                wanted(entry).into_iter().map(move |part| first + i64::from(part))
            };
            entries.iter().flat_map(of).collect()
        };
        match &self.db {
            Db::Sqlite(files) => {
                let (ledger, positions) = (self.ledger, positions.to_vec());
                let read = move |reading: &Reading<'_>| {
                    let bound = |key: &i64| (ledger.as_bytes(), *key);
                    let entries = reading.each(sql::sqlite::ENTRY_AT, &positions, bound, numbered)?;
                    let parts = reading.each(sql::sqlite::PART_AT, &slots(&entries), bound, numbered)?;
                    Ok((entries, parts))
                };
                files.lookups.log.read(read).await
            }
            Db::Postgres(pools) => {
                let query = sqlx::query_as(sql::postgres::ENTRIES_AT).bind(self.key());
                let entries: Vec<Numbered> = query.bind(positions).fetch_all(&pools.log_read).await?;
                let query = sqlx::query_as(sql::postgres::PARTS_AT).bind(self.key());
                let parts = query.bind(slots(&entries)).fetch_all(&pools.log_read).await?;
                Ok((entries, parts))
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
        let rows: Vec<(i64, Vec<u8>)> = match &self.db {
            Db::Sqlite(files) => {
                let pieces = range_pieces(first, end).into_iter().map(|(first, end)| {
                    let (ledger, first, end) = (self.ledger, slot_bound(first), slot_bound(end));
                    let read =
                        move |reading: &Reading<'_>| reading.rows(statement, (ledger.as_bytes(), first, end), numbered);
                    files.lookups.log.read(read)
                });
                try_join_all(pieces).await?.into_iter().flatten().collect()
            }
            Db::Postgres(pools) => {
                let query = sqlx::query_as(statement).bind(self.key());
                query.bind(slot_bound(first)).bind(slot_bound(end)).fetch_all(&pools.log_read).await?
            }
        };
        rows.into_iter().map(stored_part).collect()
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
