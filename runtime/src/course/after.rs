//! What comes after an executor.

/// What comes after an executor (TES contract 12.1, 12.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next one.
    Next,
    /// The next one, although this one has failed.
    NextAllTheSame,
    /// No other executor.
    Nothing,
}

pub(crate) fn after(code: i32, ignore_error: bool) -> After {
    match (code, ignore_error) {
        (0, _) => After::Next,
        (_, true) => After::NextAllTheSame,
        (_, false) => After::Nothing,
    }
}

/// A failure that is passed over, for the log.
pub(crate) fn ignored_failure(step: u32, code: i32) -> String {
    format!("executor {step} ended with exit code {code}, which is ignored")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_12_1_and_12_3_a_failure_stops_unless_it_is_ignored() {
        for code in [1, 2, 126, 127, 137, 143, 255, -1] {
            assert_eq!(after(code, false), After::Nothing, "{code}");
            assert_eq!(after(code, true), After::NextAllTheSame, "{code}");
        }
        assert_eq!((after(0, false), after(0, true)), (After::Next, After::Next));
    }
}
