//! JSON readers.
