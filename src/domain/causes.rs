//! Errors in words. Knows no error in particular.

use std::error::Error;

/// An error with its causes, each once, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::ports::{StoreError, StoreErrorKind};
    use super::*;

    #[test]
    fn every_cause_is_told_once() {
        let inner = StoreError::new(StoreErrorKind::Failed, "disk gone");
        let middle =
            StoreError::new(StoreErrorKind::Failed, "cannot read a: disk gone").caused_by(inner);
        let outer = StoreError::new(StoreErrorKind::Failed, "job 1").caused_by(middle);
        assert_eq!(with_causes(&outer), "job 1: cannot read a: disk gone");
    }
}
