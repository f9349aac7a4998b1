//! Panics of the application's code.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Calls code of the application, and catches its panic, which the panic hook has reported.
///
/// A destructor may call this while a panic unwinds, and then a second panic would end the
/// process.
pub(crate) fn contained(call: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else {
        return;
    };
    // The payload is a value of the application, whose destructor may panic too.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::contained;

    #[test]
    fn a_payload_whose_destructor_panics_is_contained_too() {
        struct Payload;

        impl Drop for Payload {
            fn drop(&mut self) {
                panic!("as part of the test");
            }
        }

        contained(|| std::panic::panic_any(Payload));
    }
}
