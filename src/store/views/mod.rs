//! Rows of projections.
