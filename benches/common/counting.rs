//! The two things that need the operating system or the allocator: what a thread allocates, and what it has run.
#![allow(unsafe_code)] // An allocator is an unsafe trait, and the thread's clock is the operating system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Allocations and reallocations of this thread so far, and how many bytes they asked for.
pub(crate) fn allocated() -> (u64, u64) {
    ALLOCATED.with(Cell::get)
}

fn count(bytes: usize) {
    // The allocator is called while a thread ends, too, when the counters are gone.
    let _ = ALLOCATED.try_with(|sum| sum.set((sum.get().0 + 1, sum.get().1 + bytes as u64)));
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The processor time that this thread has had, in nanoseconds: what other programs do meanwhile does not count.
pub(crate) fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "Linux has had this clock since 2.6.12");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
