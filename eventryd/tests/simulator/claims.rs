//! The macro that checks a rule.

/// Panics with the number of the rule and a message unless the condition holds.
macro_rules! claim {
    ($holds:expr, $claim:expr, $($text:tt)+) => {
        if !$holds {
            panic!("{}: {}", $claim, format_args!($($text)+));
        }
    };
}

pub(crate) use claim;
