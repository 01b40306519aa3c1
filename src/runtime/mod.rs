//! The only ambient effects: the clock, randomness and tasks. `app` builds them once and passes them down; nothing else
//! asks the machine what time it is or starts a task, so a replay gives the same bytes and a shutdown can wait.

pub mod clock;
pub mod randomness;
pub mod tasks;

pub use clock::Clock;
pub use randomness::Randomness;
pub use tasks::Tasks;
