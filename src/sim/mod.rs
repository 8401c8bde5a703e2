//! Loopback venues.
