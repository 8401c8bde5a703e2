//! The time, read in about ten nanoseconds.
//!
//! [`Clock::now`] gives two stamps from one read: a monotonic one for durations and deadlines, and a wall one for
//! comparing with what venues send. They are never mixed: the wall clock may be stepped by an administrator or by NTP, the
//! monotonic one only ever goes forward and counts from an arbitrary start.
//!
//! On x86-64 the stamps come from the processor's time stamp counter where that is trustworthy: it must tick at a constant
//! rate in all power states, and the kernel itself must use it as its clock source (which it does only after checking that
//! all cores agree). Everywhere else `clock_gettime` is asked, which costs about 25 ns for each of the two.
//!
//! Call [`Clock::tick`] now and then, best once a cycle; about once a second it compares with the kernel's clocks. What
//! drift is left: while the kernel's rate is steady, within about a microsecond of the kernel's clocks; while NTP
//! slews, its slew (at most 500 ppm, so at most 0.5 ms) until the next comparison. Without `tick`, the error grows with
//! that of the calibration at start, about 5 µs a second.

use std::cell::Cell;
use std::time::Duration;

/// How long the start of a clock takes, for calibration.
const CALIBRATION: Duration = Duration::from_millis(10);

/// Time between two comparisons with the kernel's clocks, in nanoseconds. The first come sooner.
const SYNC_NS_MAX: u64 = 1_000_000_000;

/// A larger difference than this from the kernel's clock is not drift: the machine slept or was moved.
const DRIFT_NS_MAX: i64 = 1_000_000;

/// After so many such differences in a row the counter is not used any more.
const JUMPS_MAX: u32 = 3;

/// One instant, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since an arbitrary start; never less than before. For durations and deadlines.
    pub mono_ns: u64,
    /// Nanoseconds since 1970 (UTC); may jump. For comparing with venue time.
    pub wall_ns: i64,
}

/// Where a clock gets its time from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The processor's time stamp counter, compared with the kernel's clocks about once a second.
    Tsc,
    /// The kernel's clocks, asked each time.
    Kernel,
}

/// A clock. One per thread; see the [module](self).
#[derive(Debug)]
pub struct Clock {
    scale: Option<Scale>,
    next_sync_ns: u64,
    sync_ns: u64,
    /// The latest monotonic stamp given out.
    last_ns: Cell<u64>,
}

impl Clock {
    /// Starts a clock; takes 10 ms where the counter can be used.
    pub fn start() -> Self {
        let first = tsc_is_trustworthy().then(Sample::take).flatten();
        let scale = first.and_then(|first| {
            std::thread::sleep(CALIBRATION);
            Scale::new(first, Sample::take()?)
        });
        Self { scale, next_sync_ns: 0, sync_ns: SYNC_NS_MAX / 64, last_ns: Cell::new(0) }
    }

    /// A clock that asks the kernel each time.
    pub fn kernel() -> Self {
        Self { scale: None, next_sync_ns: u64::MAX, sync_ns: SYNC_NS_MAX, last_ns: Cell::new(0) }
    }

    /// Where the time comes from.
    pub fn source(&self) -> ClockSource {
        if self.scale.is_some() { ClockSource::Tsc } else { ClockSource::Kernel }
    }

    /// The time now.
    #[inline]
    pub fn now(&self) -> Now {
        let now = match &self.scale {
            Some(scale) => scale.at(counter()),
            None => Now { mono_ns: kernel_ns(libc::CLOCK_MONOTONIC) as u64, wall_ns: kernel_ns(libc::CLOCK_REALTIME) },
        };
        // Cores may differ by some nanoseconds, and a thread may move between two of them.
        let mono_ns = now.mono_ns.max(self.last_ns.get());
        self.last_ns.set(mono_ns);
        Now { mono_ns, wall_ns: now.wall_ns }
    }

    /// Compares with the kernel's clocks if it is time to. Costs a comparison of two numbers, and about half a
    /// microsecond once a second.
    #[inline]
    pub fn tick(&mut self, now: Now) {
        if now.mono_ns >= self.next_sync_ns {
            self.sync(now);
        }
    }

    #[cold]
    fn sync(&mut self, now: Now) {
        if let Some(scale) = &mut self.scale
            && let Some(sample) = Sample::take()
        {
            scale.adjust(sample);
            if scale.jumps >= JUMPS_MAX {
                self.scale = None;
            }
        }
        self.next_sync_ns = now.mono_ns.saturating_add(self.sync_ns);
        // Short intervals at first, because the first calibration is the coarsest.
        self.sync_ns = (self.sync_ns * 2).min(SYNC_NS_MAX);
    }
}

/// The three clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    ticks: u64,
    mono_ns: i64,
    wall_ns: i64,
}

impl Sample {
    /// The best of a few tries, so that an interrupt in the middle of one does no harm.
    fn take() -> Option<Self> {
        let mut best: Option<(u64, Self)> = None;
        for _ in 0..5 {
            let before = counter();
            let mono_ns = kernel_ns(libc::CLOCK_MONOTONIC);
            let between = counter();
            let wall_ns = kernel_ns(libc::CLOCK_REALTIME);
            let after = counter();
            let width = after.checked_sub(before)?;
            // The two kernel clocks were read half a width apart; both are brought to the middle.
            let ticks = between;
            let sample = Self { ticks, mono_ns, wall_ns };
            if best.is_none_or(|(narrowest, _)| width < narrowest) {
                best = Some((width, sample));
            }
        }
        best.map(|(_, sample)| sample)
    }
}

/// Nanoseconds per tick, with 32 fractional bits.
type Rate = u64;

/// How counter ticks become nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// The moment that everything below refers to.
    ticks: u64,
    mono_ns: u64,
    wall_ns: i64,
    /// How fast the monotonic stamp runs: the true rate, and a little more or less to make up for the last difference.
    mono_rate: Rate,
    /// How fast the kernel's clock runs.
    true_rate: Rate,
    /// Our monotonic stamp less the kernel's monotonic clock, after jumps.
    offset_ns: i64,
    /// The sample before, for measuring the rate.
    before: Sample,
    jumps: u32,
}

impl Scale {
    fn new(first: Sample, second: Sample) -> Option<Self> {
        let rate = rate(first, second)?;
        Some(Self {
            ticks: second.ticks,
            mono_ns: u64::try_from(second.mono_ns).ok()?,
            wall_ns: second.wall_ns,
            mono_rate: rate,
            true_rate: rate,
            offset_ns: 0,
            before: second,
            jumps: 0,
        })
    }

    #[inline]
    fn at(&self, ticks: u64) -> Now {
        let ticks = ticks.saturating_sub(self.ticks);
        Now {
            mono_ns: self.mono_ns.saturating_add(to_ns(ticks, self.mono_rate)),
            wall_ns: self.wall_ns.saturating_add_unsigned(to_ns(ticks, self.true_rate)),
        }
    }

    /// Takes the kernel's time into account: the wall stamp follows at once, the monotonic one within the next interval,
    /// without ever going back.
    fn adjust(&mut self, sample: Sample) {
        let predicted = self.at(sample.ticks);
        let predicted_ns = i64::try_from(predicted.mono_ns).unwrap_or(i64::MAX);
        let error_ns = sample.mono_ns.saturating_add(self.offset_ns).saturating_sub(predicted_ns);
        let interval_ns = sample.mono_ns.saturating_sub(self.before.mono_ns);
        // NTP changes the rate by 500 ppm at most.
        let believable = |rate: &Rate| rate.abs_diff(self.true_rate) <= self.true_rate / 1_000;
        let measured = rate(self.before, sample).filter(believable);
        let Some(rate) = measured.filter(|_| error_ns.abs() <= DRIFT_NS_MAX) else {
            self.jumps += 1;
            if error_ns > 0 {
                self.mono_ns = predicted.mono_ns.saturating_add_signed(error_ns);
            } else {
                // Where it is now is where it goes on: the start of a monotonic clock is arbitrary anyhow.
                self.mono_ns = predicted.mono_ns;
                self.offset_ns = self.offset_ns.saturating_sub(error_ns);
            }
            self.mono_rate = self.true_rate;
            self.begin_at(sample);
            return;
        };
        self.jumps = 0;
        self.true_rate = rate;
        self.mono_ns = predicted.mono_ns;
        let correction = i128::from(self.true_rate) * i128::from(error_ns) / i128::from(interval_ns.max(1));
        // At least half speed, at most three times it: the stamp goes forward whatever the kernel says.
        let half = i128::from(self.true_rate / 2);
        self.mono_rate = (i128::from(self.true_rate) + correction.clamp(-half, 4 * half)) as Rate;
        self.begin_at(sample);
    }

    fn begin_at(&mut self, sample: Sample) {
        self.ticks = sample.ticks;
        self.wall_ns = sample.wall_ns;
        self.before = sample;
    }
}

fn to_ns(ticks: u64, rate: Rate) -> u64 {
    ((u128::from(ticks) * u128::from(rate)) >> 32) as u64
}

/// The rate between two samples, if it is one that a counter can have (10 MHz to 100 GHz).
fn rate(from: Sample, to: Sample) -> Option<Rate> {
    let ticks = to.ticks.checked_sub(from.ticks).filter(|ticks| *ticks > 0)?;
    let ns = u64::try_from(to.mono_ns.checked_sub(from.mono_ns)?).ok()?;
    let rate = Rate::try_from((u128::from(ns) << 32) / u128::from(ticks)).ok()?;
    ((1 << 32) / 100..100 << 32).contains(&rate).then_some(rate)
}

fn kernel_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec` to the pointer. Both clocks asked for here always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has this instruction, and Linux allows it to user space unless told otherwise
    // (prctl PR_SET_TSC), in which case the process is ended and no memory is harmed.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

/// Whether the counter ticks evenly on all cores: the processor promises it and the kernel relies on it.
fn tsc_is_trustworthy() -> bool {
    invariant_tsc()
        && std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .is_ok_and(|source| source.trim() == "tsc")
}

#[cfg(target_arch = "x86_64")]
fn invariant_tsc() -> bool {
    use core::arch::x86_64::__cpuid;
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn invariant_tsc() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICKS_PER_US: u64 = 2_600;

    /// A counter of 2.6 GHz, and a kernel clock that runs `ppm` faster or slower than nominal from here on.
    struct World {
        sample: Sample,
    }

    impl World {
        fn new() -> Self {
            Self { sample: Sample { ticks: 77, mono_ns: 5_000_000_000, wall_ns: 1_700_000_000_000_000_000 } }
        }

        fn pass(&mut self, us: u64, ppm: i64) -> Sample {
            self.sample.ticks += us * TICKS_PER_US;
            let ns = us as i64 * 1_000 + us as i64 * ppm / 1_000;
            self.sample.mono_ns += ns;
            self.sample.wall_ns += ns;
            self.sample
        }
    }

    #[test]
    fn follows_a_steady_kernel_clock() {
        let mut world = World::new();
        let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
        for _ in 0..50 {
            let sample = world.pass(1_000_000, 40);
            scale.adjust(sample);
        }
        let sample = world.pass(1_000_000, 40);
        let now = scale.at(sample.ticks);
        assert!((now.mono_ns as i64 - sample.mono_ns).abs() < 100, "{now:?} {sample:?}");
        assert!((now.wall_ns - sample.wall_ns).abs() < 100, "{now:?} {sample:?}");
    }

    #[test]
    fn a_slewing_kernel_is_followed_within_an_interval() {
        let mut world = World::new();
        let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
        // NTP's fastest, without notice: 0.5 ms off at the first comparison, and back on track after the second.
        let sample = world.pass(1_000_000, 500);
        let behind = sample.mono_ns - scale.at(sample.ticks).mono_ns as i64;
        assert!((behind - 500_000).abs() <= 1, "{behind}");
        scale.adjust(sample);
        let sample = world.pass(1_000_000, 500);
        assert!((sample.mono_ns - scale.at(sample.ticks).mono_ns as i64).abs() < 2_000);
        assert!((sample.wall_ns - scale.at(sample.ticks).wall_ns).abs() < 2_000);
    }

    #[test]
    fn a_wall_clock_step_does_not_touch_the_monotonic_one() {
        let mut world = World::new();
        let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
        let mut sample = world.pass(1_000_000, 0);
        let before = scale.at(sample.ticks);
        sample.wall_ns -= 3_600_000_000_000;
        scale.adjust(sample);
        let after = scale.at(sample.ticks);
        assert_eq!(after.mono_ns, before.mono_ns);
        assert_eq!(after.wall_ns, sample.wall_ns);
    }

    #[test]
    fn jumps_move_forward_only_and_are_counted() {
        let mut world = World::new();
        let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
        // The kernel's clock gains an hour (the counter stood still).
        world.sample.mono_ns += 3_600_000_000_000;
        let sample = world.pass(1_000, 0);
        scale.adjust(sample);
        assert_eq!(scale.at(sample.ticks).mono_ns as i64, sample.mono_ns);
        // It loses an hour (the counter went on while the machine slept): ours goes on from where it is.
        world.sample.mono_ns -= 3_600_000_000_000;
        let sample = world.pass(1_000, 0);
        let before = scale.at(sample.ticks).mono_ns;
        scale.adjust(sample);
        assert_eq!(scale.at(sample.ticks).mono_ns, before);
        assert_eq!(scale.jumps, 2);
        let sample = world.pass(1_000_000, 0);
        scale.adjust(sample);
        assert_eq!(scale.jumps, 0);
        assert!((scale.at(sample.ticks).mono_ns as i64 - sample.mono_ns - scale.offset_ns).abs() < 10);
    }

    #[test]
    fn a_large_error_over_a_short_interval_does_not_turn_it_round() {
        for ppm in [-900, 900] {
            let mut world = World::new();
            let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
            // Off by 0.9 ms, which is found out, and then the next comparison comes too soon to have made up for it.
            scale.adjust(world.pass(1_000_000, ppm));
            let sample = world.pass(100, ppm);
            let before = scale.at(sample.ticks).mono_ns;
            scale.adjust(sample);
            let passed_us = (scale.at(sample.ticks + 1_000 * TICKS_PER_US).mono_ns - before) / 1_000;
            // At half speed, at three times the speed: a millisecond on the counter.
            assert!((passed_us as i64 - if ppm < 0 { 500 } else { 3_000 }).abs() < 5, "{passed_us}");
        }
    }

    #[test]
    fn a_rate_that_cannot_be_is_not_believed() {
        let mut world = World::new();
        let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
        let rate = scale.true_rate;
        world.sample.mono_ns += 500_000;
        scale.adjust(world.pass(10_000, 0));
        assert_eq!((scale.true_rate, scale.jumps), (rate, 1));
        scale.adjust(world.pass(1_000_000, 400));
        assert!(scale.true_rate > rate && scale.jumps == 0);
    }

    #[test]
    fn a_counter_that_stands_still_is_not_a_clock() {
        let still = Sample { ticks: 5, mono_ns: 0, wall_ns: 0 };
        assert!(Scale::new(still, Sample { mono_ns: 10_000_000, ..still }).is_none());
        assert!(Scale::new(Sample { ticks: 6, ..still }, Sample { mono_ns: 10_000_000, ..still }).is_none());
    }

    proptest! {
        #[test]
        fn never_goes_back(steps in prop::collection::vec((1_u64..2_000_000, -600_i64..600, -5_000_000_i64..5_000_000), 1..40)) {
            let mut world = World::new();
            let mut scale = Scale::new(world.sample, world.pass(10_000, 0)).unwrap();
            let mut last = 0;
            for (us, ppm, jump) in steps {
                // Small jumps are noise, large ones happen now and then.
                world.sample.mono_ns += if jump % 7 == 0 { jump } else { jump / 1_000_000 };
                let from = world.sample.ticks;
                let sample = world.pass(us, ppm);
                for part in 0..=4 {
                    let at = scale.at(from + (sample.ticks - from) * part / 4).mono_ns;
                    prop_assert!(at >= last, "{} after {}", at, last);
                    last = at;
                }
                scale.adjust(sample);
                let at = scale.at(sample.ticks).mono_ns;
                prop_assert!(at >= last, "{} after {} at a comparison", at, last);
                last = at;
            }
        }
    }

    #[test]
    fn the_real_clock_agrees_with_the_kernel() {
        for mut clock in [Clock::start(), Clock::kernel()] {
            let mut last = 0;
            for _ in 0..10_000 {
                let now = clock.now();
                clock.tick(now);
                assert!(now.mono_ns >= last);
                last = now.mono_ns;
            }
            let before = kernel_ns(libc::CLOCK_REALTIME);
            let now = clock.now();
            let after = kernel_ns(libc::CLOCK_REALTIME);
            let slack = 50_000_000;
            assert!(now.wall_ns > before - slack && now.wall_ns < after + slack, "{before} {now:?} {after}");
        }
    }
}
