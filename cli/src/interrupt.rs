//! Ctrl-C as a wish that long work asks for between its steps, so that it can save what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failure::Failure;

/// Counts what the user presses. The first Ctrl-C is a wish; the third ends the program at once.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicUsize>);

/// How often someone must press it who does not want to wait.
const AT_ONCE: usize = 3;
/// What a shell reports of a program that Ctrl-C has ended.
const CODE: i32 = 130;

impl Interrupt {
    /// Begins to listen. A program can do so once.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let pressed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&pressed);
        ctrlc::set_handler(move || {
            if counter.fetch_add(1, Ordering::Relaxed) + 1 >= AT_ONCE {
                std::process::exit(CODE);
            }
        })
        .map_err(|error| Failure::Message(format!("cannot listen for Ctrl-C: {error}")))?;
        Ok(Self(pressed))
    }

    /// Whether the user wants it to end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
