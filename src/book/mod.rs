//! Order books: sides, synchronisation, checksums.
