//! Code of libraries that may panic.

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    /// Something runs whose panics are not ours.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `act`, which is somebody else's code; a panic in it becomes `None`, without a word.
pub fn guarded<T>(act: impl FnOnce() -> T) -> Option<T> {
    static HUSH: Once = Once::new();
    HUSH.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                usual(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    IS_GUARDED.set(false);
    result.ok()
}
