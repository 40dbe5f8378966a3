//! Holds the answers: what each trace shows, and what is said to another opinion. Read it when you have yours.

use std::ops::Range;

use crate::{
    facts::{Facts, mb, ms},
    given::{Answer, Cause, Evidence},
};

/// What was planted in a trace.
#[must_use]
pub fn truth(trace: char) -> Option<Cause> {
    Some(match trace {
        'a' => Cause::ReservedAhead,
        'b' => Cause::CopiesPerToken,
        'c' => Cause::OtherProgram,
        'd' => Cause::Nothing,
        'e' => Cause::NeverFreed,
        'f' => Cause::WarmUp,
        'g' => Cause::StartingWork,
        _ => return None,
    })
}

/// What shows a cause, and nothing else.
#[must_use]
pub fn shows(cause: Cause) -> Evidence {
    match cause {
        Cause::Nothing => Evidence::RisesAndNothingElse,
        Cause::WarmUp => Evidence::TimeFallsOnce,
        Cause::CopiesPerToken => Evidence::CopiesRise,
        Cause::StartingWork => Evidence::SameExtraAtEveryLength,
        Cause::NeverFreed => Evidence::ReservedStepsUp,
        Cause::ReservedAhead => Evidence::ReservedIsLevel,
        Cause::OtherProgram => Evidence::BothSlowTogether,
    }
}

/// Nothing for a right answer; else what the trace says to it.
#[must_use]
pub fn grade(answer: Answer, facts: &Facts) -> Option<String> {
    let cause = truth(answer.trace)?;
    if answer.cause != cause {
        return Some(format!(
            "{:?} is not what this trace shows. {}",
            answer.cause,
            contradiction(answer.cause, cause, facts)
        ));
    }
    if answer.evidence != shows(cause) {
        return Some(format!(
            "{cause:?}: right. But {:?} does not show it. {}",
            answer.evidence,
            not_enough(answer.evidence, cause, facts)
        ));
    }
    let (tokens, what) = place(cause, facts);
    (!tokens.contains(&answer.token)).then(|| {
        format!(
            "{cause:?} by {:?}: right. But token {} is not where one sees it: {what}",
            answer.evidence, answer.token
        )
    })
}

/// Where a cause is seen, and what task 6 asks for.
fn place(cause: Cause, facts: &Facts) -> (Range<usize>, String) {
    let n = facts.recorded.mine.secs.len();
    match cause {
        Cause::Nothing => (0..n, format!("any token of the trace, 0 to {}", n - 1)),
        Cause::WarmUp => (
            facts.warm_up.saturating_sub(4)..facts.warm_up + 8,
            "the first token that takes what all later ones take".into(),
        ),
        Cause::CopiesPerToken => (1..n, "any token that moved more bytes than the one before".into()),
        Cause::StartingWork => {
            (1..21, "one of the first twenty, where there is hardly any text and the time is there already".into())
        }
        Cause::NeverFreed => {
            let second = facts.recorded.mine.starts.get(1).copied().unwrap_or(n);
            (
                second.saturating_sub(2)..second + 3,
                "the first token of the second chat, when the first one should be gone".into(),
            )
        }
        Cause::ReservedAhead => (0..3, "token 0: all of it is taken before there is any text".into()),
        Cause::OtherProgram => {
            (facts.slow_together.clone().unwrap_or(0..0), "a token at which both lanes are slow".into())
        }
    }
}

/// Why a cause cannot be: what one would see, and what there is.
fn contradiction(given: Cause, truth: Cause, facts: &Facts) -> String {
    let Facts { first_secs, early_secs, late_secs, early_extra_secs, late_extra_secs, fixed_share, .. } = facts;
    let mine = &facts.recorded.mine;
    let starts: Vec<String> = mine.starts.iter().map(|start| mb(mine.reserved[*start])).collect();
    match given {
        Cause::WarmUp => format!(
            "If it were, the first tokens would be slow and all later ones equally fast. Here tokens 1 to 9 take {}, tokens 10 to 49 {} and the last \
             quarter {}",
            ms(*first_secs),
            ms(*early_secs),
            ms(*late_secs)
        ),
        Cause::CopiesPerToken => format!(
            "If each token copied all that is stored, an early one would move some bytes and the last one more. Here token 2 moved {} and the last \
             one {} (column `copied`, its difference from token to token)",
            mb(facts.early_copied),
            mb(facts.late_copied)
        ),
        Cause::StartingWork => format!(
            "If starting were the time, `mine` would take longer than `contiguous` by the same at every length. Here it is {} in \
             the first quarter and {} \
             in the last; of that, the line through both gives {:.0} % to a text of no length (warm-up left out)",
            ms(*early_extra_secs),
            ms(*late_extra_secs),
            fixed_share * 100.0
        ),
        Cause::NeverFreed if mine.starts.len() < 2 => {
            "There is one chat in this trace, and it has not ended: `reserved` grows with the text, as it should".into()
        }
        Cause::NeverFreed => format!(
            "If chats left memory behind, each chat would begin with more than the one before. Here chats begin with [{}] \
             reserved: much, but never more",
            starts.join(", ")
        ),
        Cause::ReservedAhead => format!(
            "If it were, `reserved` would be the same from the first token on. Here it is {} at the beginning, {} at the end, and \
             at most {} were used",
            mb(mine.reserved[0]),
            mb(facts.reserved),
            mb(facts.most_used)
        ),
        Cause::OtherProgram => {
            "If somebody else had computed for a while, both lanes would be slow at the same tokens, and no others. There is no \
             stretch of 20 tokens in which \
             both take twice what is usual for them"
                .into()
        }
        Cause::Nothing => format!("Something is. {}", nudge(truth, facts)),
    }
}

/// Where to look, for whoever sees nothing.
fn nudge(truth: Cause, facts: &Facts) -> String {
    match truth {
        Cause::WarmUp => format!(
            "Tokens 1 to 9 take {}, the last quarter {}, though later tokens look at more text",
            ms(facts.first_secs),
            ms(facts.late_secs)
        ),
        Cause::CopiesPerToken => {
            format!(
                "Look at what moves: token 2 moved {}, the last one {}",
                mb(facts.early_copied),
                mb(facts.late_copied)
            )
        }
        Cause::StartingWork => format!(
            "In the first quarter, with next to no text, `mine` takes {} longer than `contiguous`",
            ms(facts.early_extra_secs)
        ),
        Cause::NeverFreed => {
            let left: Vec<String> = facts.left_behind.iter().map(|bytes| mb(*bytes)).collect();
            format!("Compare what is reserved where a chat begins with the one before: more by [{}]", left.join(", "))
        }
        Cause::ReservedAhead => format!(
            "{} are reserved, and never more than {} used. Whether that is a fault is for you to say; it is what the trace shows",
            mb(facts.reserved),
            mb(facts.most_used)
        ),
        Cause::OtherProgram => {
            "Some tokens take many times what their neighbours do. Are they the same in both lanes?".into()
        }
        Cause::Nothing => String::new(),
    }
}

/// Of a right cause: why this evidence is not the one that shows it.
fn not_enough(given: Evidence, truth: Cause, facts: &Facts) -> String {
    match given {
        Evidence::TimeRises if truth == Cause::Nothing => {
            "It rises in trace b as well, which copies. What shows that nothing is wrong is that there is nothing else"
                .into()
        }
        Evidence::TimeRises => {
            "Time rises in a healthy cache as well: attention reads all that is stored. Trace d rises and has nothing"
                .into()
        }
        Evidence::RisesAndNothingElse => "Something else there is: that is why you named a cause".into(),
        Evidence::TimeFallsOnce => format!(
            "The first tokens take {} and the last quarter {}: that is no single fall with a level behind it, or it is, and something else decides",
            ms(facts.first_secs),
            ms(facts.late_secs)
        ),
        Evidence::CopiesRise => {
            format!("Token 2 moved {}, the last one {}", mb(facts.early_copied), mb(facts.late_copied))
        }
        Evidence::SameExtraAtEveryLength => format!(
            "`mine` takes {} longer than `contiguous` in the first quarter and {} in the last",
            ms(facts.early_extra_secs),
            ms(facts.late_extra_secs)
        ),
        Evidence::ReservedStepsUp if truth == Cause::CopiesPerToken => {
            "What is reserved grows with the text, in every cache that grows; nothing is said of copies by that".into()
        }
        Evidence::ReservedStepsUp => {
            "Compare chats where they begin: what is reserved there is the same in this trace".into()
        }
        Evidence::ReservedIsLevel => format!(
            "What is reserved is {} at the beginning and {} at the end",
            mb(facts.recorded.mine.reserved[0]),
            mb(facts.reserved)
        ),
        Evidence::BothSlowTogether => {
            "There is no stretch of tokens in which both lanes take twice what is usual for them".into()
        }
    }
}
