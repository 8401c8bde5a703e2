//! Order books: sides, synchronisation, checksums.

pub mod checksum;
pub mod side;
