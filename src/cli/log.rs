//! Warnings of the library, as lines on standard error.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::say;

/// Where in the input the command is, for messages about it.
pub(crate) type Place = (Rc<str>, u64);

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
    static SHOWN: Cell<u64> = const { Cell::new(0) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Warnings and errors of the library are shown from now on.
pub(crate) fn start() {
    // Fails only when called twice.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

/// Names the place of the input that the next messages are about.
pub(crate) fn set_place(place: Option<Place>) {
    PLACE.with(|cell| *cell.borrow_mut() = place);
}

/// How many lines were shown so far by this thread.
pub(crate) fn lines_shown() -> u64 {
    SHOWN.with(Cell::get)
}

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("wirebook")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        SHOWN.with(|shown| shown.set(shown.get() + 1));
        let text = match PLACE.with(|cell| cell.borrow().clone()) {
            Some((file, line)) => format!("{file}:{line}: {}", record.args()),
            None => format!("warning: {}", record.args()),
        };
        // What fails again and again for the same reason is said once.
        if LAST.with(|last| *last.borrow() == text) {
            return;
        }
        say(&text);
        LAST.with(|last| *last.borrow_mut() = text);
    }

    fn flush(&self) {}
}
