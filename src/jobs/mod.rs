//! What runs beside requests: publishing checkpoints, holding the lease, keeping write-ahead logs short, sealing the map of
//! subjects, erasing persons, ending keys by age. A job ends when the service stops; none of them may lose or change an entry.

pub mod archive;
pub mod checkpoint;
pub mod erase;
pub mod items;
pub mod lease;
pub mod retention;
pub mod seal_subjects;
pub mod wal;
