//! Fetching memory before it is needed.
//!
//! With a thousand books the one that a message belongs to lies in no near cache, and each of its lines would be waited
//! for in turn. The topic says early which book it is; what follows in the message takes longer to read than the lines
//! take to come, if all are asked for at once.

/// Bytes of a line of the caches.
pub(crate) const LINE: usize = 64;

/// Asks the processor for the `count` lines from `address` on. It is a hint: an address that is no memory of ours, or no
/// memory at all, is as good as none, so whoever kept an address need not know whether it is still in use.
#[inline(always)]
pub(crate) fn fetch_ahead(address: usize, count: usize) {
    for line in 0..count {
        let at = address.wrapping_add(line * LINE);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE is part of x86-64, and a prefetch neither faults nor changes what a program sees, whatever
        // the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(at));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_does_harm() {
        let value = [7_u8; 3 * LINE];
        for address in [0, 1, 4_095, usize::MAX, usize::MAX / 2, value.as_ptr().addr()] {
            fetch_ahead(address, 3);
        }
        assert_eq!(value, [7; 3 * LINE]);
    }
}
