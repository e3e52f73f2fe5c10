//! Readers that are not ours and may panic on damaged bytes.

use std::cell::Cell;
use std::sync::Once;

/// Does `work` on foreign bytes with a reader that may panic; `None` when it did. Nobody takes that for a mistake of the
/// program. What `work` has changed must not be used afterwards.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    silently(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))).ok()
}

thread_local! {
    /// Whether a panic of this thread is expected, and caught.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, which catches its panics, without a word about them on stderr.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                before(panic);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let done = work();
    IS_CAUGHT.set(false);
    done
}
