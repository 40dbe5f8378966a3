//! What the labs have in common: named checks, what they found, hints in three levels, and a command line for each.
//!
//! A lab is a crate with `exercise.rs` (the learner's), `solution.rs`, `wrong/*.rs` and one `checks.rs`, which is compiled for each of
//! them by [`variants!`]: plain functions are checked, without a trait between.

mod caught;
mod cli;
pub mod compare;
mod lab;
mod report;
pub mod story;
mod window;

pub use caught::{Caught, caught};
pub use cli::{Command, dispatch, main};
pub use kvlab::course::{
    Found, Report, Verdict,
    hints::{Hints, LEVELS},
};
pub use lab::{Lab, Variant};
pub use report::{Check, print, run};
pub use window::{Mine, Window, for_story};

/// Compiles `checks.rs` for each module of functions, under the name `subject`, and lists them: the first is the exercise, the second the
/// solution, the others are mistakes with the check that catches each.
///
/// ```ignore
/// labkit::variants! {
///     exercise = exercise,
///     solution = solution,
///     forgets_scales = wrong::forgets_scales, caught_by "bytes_of_a_token",
/// }
/// ```
#[allow(clippy::crate_in_macro_def, reason = "the modules are the lab's own")]
#[macro_export]
macro_rules! variants {
    ($($name:ident = $($module:ident)::+ $(, caught_by $check:literal)?);+ $(;)?) => {
        /// The checks, once for each variant.
        pub mod checked {
            $(
                #[doc = concat!("The checks of `", stringify!($name), "`.")]
                pub mod $name {
                    use $crate::Check;
                    use crate::$($module)::+ as subject;
                    include!("checks.rs");
                }
            )+
        }

        /// The exercise, the solution, and mistakes that people make.
        pub static VARIANTS: &[$crate::Variant] = &[$(
            $crate::Variant {
                name: stringify!($name),
                checks: checked::$name::CHECKS,
                caught_by: $crate::variants!(@caught $($check)?),
            },
        )+];
    };
    (@caught) => { None };
    (@caught $check:literal) => { Some($check) };
}
