//! Operating-system calls: the only unsafe code of the crate.
#![allow(unsafe_code)]

pub(crate) mod lanes;
