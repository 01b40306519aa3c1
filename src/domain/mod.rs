//! Values and state machines. This layer does no IO and knows no clock, randomness or environment: they are arguments.

pub mod attribution;
pub mod budget;
pub mod country;
pub mod email;
pub mod hold;
pub mod identifier;
pub mod ids;
pub mod list;
pub mod money;
pub mod nanp;
pub mod parts;
pub mod phone;
pub mod privacy;
pub mod reply;
pub mod score;
pub mod time;
