//! How a broken promise is told.

/// Fails with the number and the words of a claim unless it holds.
macro_rules! claim {
    ($holds:expr, $claim:expr, $($text:tt)+) => {
        if !$holds {
            panic!("{}: {}", $claim, format_args!($($text)+));
        }
    };
}

pub(crate) use claim;
