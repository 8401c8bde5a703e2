//! Keeping a thread where it is and its memory in place.
//!
//! All of it is optional, and whatever the operating system refuses is returned with what would allow it.

use std::io;

use super::Failure;

/// How long a real-time thread may run without sleeping before it is stopped, in microseconds.
///
/// A thread that spins is meant to run for ever, so this guard is for the start of a program and for tests: a spinning
/// real-time thread that goes wrong cannot be interrupted from the same core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealTimeGuard {
    /// End the process (`SIGXCPU`) when a real-time thread has run for so many microseconds without a blocking call.
    EndAfterUs(u64),
    /// No guard; for threads that spin on purpose on a core of their own.
    None,
}

/// The cores that this process may run on.
pub fn cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Keeps the calling thread on one core.
///
/// # Errors
/// When there is no such core, or this process may not use it.
pub fn pin_to_core(core: usize) -> Result<(), Failure> {
    // Whether the core is in the present mask says nothing: an isolated core is not, and may be used all the same.
    // The kernel's set of cores has a fixed size.
    if core < libc::CPU_SETSIZE as usize && core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Ok(());
    }
    Err(Failure {
        what: "pinning the thread to the core",
        error: io::ErrorKind::InvalidInput,
        advice: "choose a core that exists and is allowed here (see taskset -p, and the cpuset of the container)",
    })
}

/// Keeps all memory of the process, present and future, in RAM, so that no page fault waits for a disk.
///
/// # Errors
/// When the limit on locked memory is too low.
pub fn lock_memory() -> Result<(), Failure> {
    // SAFETY: takes only flags and changes nothing but where pages may be.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } == 0 {
        return Ok(());
    }
    Err(Failure {
        what: "locking memory (mlockall)",
        error: io::Error::last_os_error().kind(),
        advice: "raise `ulimit -l` (LimitMEMLOCK= in systemd) or grant CAP_IPC_LOCK",
    })
}

/// Gives the calling thread a real-time priority of 1 to 99 (`SCHED_FIFO`): nothing ordinary interrupts it any more.
///
/// The guard is set first, for the whole process; without it nothing is done.
///
/// # Errors
/// When the limit on real-time priorities is too low, or the guard cannot be set.
pub fn real_time(priority: u8, guard: RealTimeGuard) -> Result<(), Failure> {
    if let RealTimeGuard::EndAfterUs(limit) = guard {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit.saturating_mul(2) };
        // SAFETY: the kernel reads one `rlimit` from the pointer during the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit) } != 0 {
            return Err(Failure {
                what: "limiting real-time threads (RLIMIT_RTTIME)",
                error: io::Error::last_os_error().kind(),
                advice: "raise LimitRTTIME= of the service, or go without the guard",
            });
        }
    }
    let parameters = libc::sched_param { sched_priority: libc::c_int::from(priority.clamp(1, 99)) };
    // SAFETY: 0 is the calling thread; the kernel reads one `sched_param` from the pointer during the call.
    let result =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if result == 0 {
        return Ok(());
    }
    Err(Failure {
        what: "real-time priority (SCHED_FIFO)",
        error: io::Error::last_os_error().kind(),
        advice: "raise `ulimit -r` (LimitRTPRIO= in systemd) or grant CAP_SYS_NICE",
    })
}

/// How much memory the process holds in RAM, in bytes, if the system tells.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: takes a number and returns one.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    pages.checked_mul(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_to_a_core_that_exists() {
        // On a thread of its own, because the pin stays.
        std::thread::spawn(|| {
            let core = *cores().last().unwrap();
            pin_to_core(core).unwrap();
            // SAFETY: takes nothing and returns a number.
            assert_eq!(usize::try_from(unsafe { libc::sched_getcpu() }).unwrap(), core);
            let failure = pin_to_core(100_000).unwrap_err();
            assert!(failure.to_string().contains("choose a core that exists"), "{failure}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn real_time_says_how_to_allow_it() {
        std::thread::spawn(|| {
            // Allowed for root, refused for others; both are right.
            if let Err(failure) = real_time(1, RealTimeGuard::EndAfterUs(2_000_000)) {
                assert!(!failure.advice.is_empty());
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn memory_is_counted() {
        let bytes = resident_bytes().unwrap();
        assert!(bytes > 100_000 && bytes < 1 << 40, "{bytes}");
    }
}
