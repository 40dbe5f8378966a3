//! Runs a learner's code so that a `todo!` or another panic is a sentence, not a backtrace.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use kvlab::cache::guest::{TODO, said};

/// Why a function did not return `Ok`.
pub enum Caught {
    /// It reached a `todo!`; its text.
    Todo(String),
    /// It panicked; the message and the place.
    Panic(String),
    Error(anyhow::Error),
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Calls `f`; a panic in it prints nothing.
///
/// # Errors
/// [`Caught`]
pub fn caught<T>(f: impl FnOnce() -> anyhow::Result<T>) -> Result<T, Caught> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PLACE.set(info.location().map(|place| format!(" ({place})")).unwrap_or_default());
            } else {
                usual(info);
            }
        }));
    });
    CATCHING.set(true);
    // What a panic may leave half changed (a cache, a sampler) is dropped with the closure.
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(false);
    match result {
        Ok(result) => result.map_err(Caught::Error),
        Err(payload) => {
            let text = said(payload.as_ref());
            match text.strip_prefix(TODO) {
                Some(todo) => Err(Caught::Todo(todo.to_owned())),
                None => Err(Caught::Panic(text + &PLACE.take())),
            }
        }
    }
}
