//! What is counted.

use tokio::runtime::Runtime;

/// Does an operation once.
pub(crate) type Operation = Box<dyn FnMut()>;

pub(crate) fn paused_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// An operation for which no time passes, so that no publication becomes due meanwhile.
pub(crate) fn with_paused_clock<O: FnMut() + 'static>(prepare: impl FnOnce() -> O) -> Operation {
    let runtime = paused_runtime();
    let mut operation = {
        let _context = runtime.enter();
        prepare()
    };
    Box::new(move || {
        let _context = runtime.enter();
        operation();
    })
}
