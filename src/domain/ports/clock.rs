//! The clock as a port, so that nothing in the core reads ambient time.

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, UTC microseconds.
    fn now_us(&self) -> i64;
}
