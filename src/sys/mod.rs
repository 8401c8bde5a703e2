//! Operating-system calls: the only unsafe code of the crate.
#![allow(unsafe_code)]

pub(crate) mod ahead;
pub mod clock;
pub mod doctor;
pub(crate) mod lanes;
pub(crate) mod lines;
pub(crate) mod pairs;
pub mod socket;
pub mod thread;

use std::fmt;
use std::io;

/// Something the operating system did not let us do. Never fatal; worth telling the user once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was wanted.
    pub what: &'static str,
    /// What the operating system said.
    pub error: io::ErrorKind,
    /// How to allow it; empty when there is nothing to advise.
    pub advice: &'static str,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not possible: {}", self.what, self.error)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}
