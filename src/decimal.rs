//! Fixed-point decimals.
