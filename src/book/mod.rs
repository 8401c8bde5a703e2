//! Order books: sides, synchronisation, checksums.

pub mod side;
