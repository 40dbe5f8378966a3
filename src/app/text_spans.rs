//! The text of a lane as it is drawn: cut where something is marked, and back from a drawn character to its token.
//! Free of egui.

use super::{
    comparison::token_words,
    state::{LaneState, RunState, Switch},
};

/// A part of a drawn text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub kind: Kind,
}

/// What a part of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The end of the prompt.
    Prompt,
    /// The lane's text from this byte on.
    Plain(usize),
    /// A token that is not the first lane's.
    Differs(usize),
    /// A mark, which is no part of the text: the cache was changed before this token.
    Switched(usize),
}

/// Everything that is drawn of a lane, in order.
#[must_use]
pub fn spans(run: &RunState, index: usize, lane: &LaneState) -> Vec<Span> {
    let prompt = run.prompt_of(index);
    let last_line = prompt.rsplit('\n').find(|line| !line.is_empty()).unwrap_or_default();
    let mut spans = vec![Span { text: last_line.to_owned(), kind: Kind::Prompt }];
    let mut marks =
        (0..lane.switches.len()).filter_map(|i| Some((lane.token_start(lane.switches[i].step)?, i))).peekable();
    let mut at = 0;
    for piece in lane.pieces() {
        let end = at + piece.text.len();
        // A mark stands before the piece that begins there, or cuts a plain one.
        while let Some((place, index)) =
            marks.next_if(|(place, _)| *place <= at || (*place < end && piece.differs.is_none()))
        {
            if place > at {
                spans.push(plain(lane, at, place));
                at = place;
            }
            spans.push(mark(lane, index));
        }
        match piece.differs {
            // A token without a visible character is still to be seen.
            Some(token) if piece.text.trim().is_empty() => {
                spans.push(Span { text: format!("\u{b7}{}", piece.text), kind: Kind::Differs(token) });
            }
            Some(token) => spans.push(Span { text: piece.text.to_owned(), kind: Kind::Differs(token) }),
            None if end > at => spans.push(plain(lane, at, end)),
            None => {}
        }
        at = end;
    }
    spans.extend(marks.map(|(_, index)| mark(lane, index)));
    spans.retain(|span| !span.text.is_empty());
    spans
}

fn plain(lane: &LaneState, from: usize, to: usize) -> Span {
    Span { text: lane.text.get(from..to).unwrap_or_default().to_owned(), kind: Kind::Plain(from) }
}

fn mark(lane: &LaneState, index: usize) -> Span {
    Span { text: format!("| now {} |", switched_to(lane, index)), kind: Kind::Switched(lane.switches[index].step) }
}

/// What the lane was called after its switch `index`.
#[must_use]
pub fn switched_to(lane: &LaneState, index: usize) -> &str {
    lane.switches.get(index + 1).map_or(&lane.name, |next| &next.from)
}

/// The drawn character with which a token begins.
#[must_use]
pub fn char_of_token(spans: &[Span], lane: &LaneState, token: usize) -> Option<usize> {
    let start = lane.token_start(token)?;
    let mut drawn = 0;
    for Span { text, kind } in spans {
        match kind {
            Kind::Differs(other) | Kind::Switched(other) if *other == token => return Some(drawn),
            Kind::Plain(from) if (*from..from + text.len()).contains(&start) => {
                return Some(drawn + text.get(..start - from)?.chars().count());
            }
            _ => drawn += text.chars().count(),
        }
    }
    None
}

/// The part under the drawn character `index`, and its token where it is one.
#[must_use]
pub fn at_char(spans: &[Span], lane: &LaneState, index: usize) -> Option<(Kind, Option<usize>)> {
    let mut rest = index;
    for Span { text, kind } in spans {
        let Some((byte, _)) = text.char_indices().nth(rest) else {
            rest -= text.chars().count();
            continue;
        };
        let token = match kind {
            Kind::Prompt => None,
            Kind::Plain(from) => lane.token_at(from + byte),
            Kind::Differs(token) | Kind::Switched(token) => Some(*token),
        };
        return Some((*kind, token));
    }
    None
}

/// What is said of a part under the pointer.
#[must_use]
pub fn words(run: &RunState, lane: &LaneState, (kind, token): (Kind, Option<usize>)) -> Option<String> {
    match kind {
        Kind::Prompt => Some("The end of the prompt".into()),
        Kind::Switched(step) => {
            let index = lane.switches.iter().position(|switch| switch.step == step)?;
            Some(switch_words(lane, index))
        }
        Kind::Plain(_) => token.map(|token| token_words(run, token)),
        Kind::Differs(token) => {
            let is_first = lane.first_divergence == Some(token);
            let words = if is_first { "first divergence at token" } else { "not the first lane's: token" };
            Some(format!("{words} {token}\n{}", token_words(run, token)))
        }
    }
}

/// A switch, in words.
#[must_use]
pub fn switch_words(lane: &LaneState, index: usize) -> String {
    let Some(Switch { step, from, tokens_in, secs }) = lane.switches.get(index) else { return String::new() };
    format!(
        "From token {step} on in {} instead of {from}: {tokens_in} tokens were run again for it in {:.1} ms",
        switched_to(lane, index),
        secs * 1e3
    )
}

/// Something on the strip above a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    pub token: usize,
    /// Which of the lane's switches; `None`: a token that differs.
    pub switch: Option<usize>,
}

/// The ticks of a lane, by token.
#[must_use]
pub fn ticks(lane: &LaneState) -> Vec<Tick> {
    let differing = lane.differing.iter().map(|token| Tick { token: *token, switch: None });
    let switches = lane.switches.iter().enumerate().map(|(i, switch)| Tick { token: switch.step, switch: Some(i) });
    let mut ticks: Vec<Tick> = differing.chain(switches).collect();
    ticks.sort_by_key(|tick| tick.token);
    ticks
}

/// The tick nearest to a token, no further than `reach` tokens away; of two in one place the switch, which is rarer.
#[must_use]
pub fn nearest(ticks: &[Tick], token: f64, reach: f64) -> Option<Tick> {
    let away = |tick: &Tick| (super::units::to_x(tick.token) - token).abs();
    let order = |a: &&Tick, b: &&Tick| away(a).total_cmp(&away(b)).then(b.switch.is_some().cmp(&a.switch.is_some()));
    ticks.iter().min_by(order).filter(|tick| away(tick) <= reach).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::comparison::tests::run, experiment::LaneEvent};

    /// `Once w1 w2 w3 w4` beside a lane that says 9 for 2, and goes on in paged:8 from token 3 on.
    fn switched() -> RunState {
        let mut run = run("none,paged:16", true, &[&[1, 2, 3, 4], &[1, 9, 3, 4]], &[]);
        let name = "paged:8".into();
        run.apply_to_lane(LaneEvent::Switched { lane: 1, step: 3, name, tokens_in: 7, secs: 0.002 });
        run
    }

    #[test]
    fn a_text_is_cut_where_something_is_marked() {
        let run = switched();
        let texts: Vec<_> = spans(&run, 1, &run.lanes[1]).into_iter().map(|span| (span.text, span.kind)).collect();
        let expected = [
            ("Once", Kind::Prompt),
            (" w1", Kind::Plain(0)),
            (" w9", Kind::Differs(1)),
            (" w3", Kind::Plain(6)),
            ("| now paged:8 |", Kind::Switched(3)),
            (" w4", Kind::Plain(9)),
        ];
        assert_eq!(texts, expected.map(|(text, kind)| (text.to_owned(), kind)));
        let whole = spans(&run, 0, &run.lanes[0]);
        assert_eq!(whole.len(), 2, "the first lane's text is one part after the prompt: {whole:?}");
    }

    #[test]
    fn a_switch_at_a_token_that_differs_and_one_at_the_end_have_their_marks() {
        let mut run = switched();
        run.lanes[1].switches[0].step = 1;
        let mut later = run.lanes[1].switches[0].clone();
        (later.step, later.from) = (4, "paged:8".into());
        run.lanes[1].switches.push(later);
        run.lanes[1].name = "concat".into();
        let kinds: Vec<Kind> = spans(&run, 1, &run.lanes[1]).into_iter().map(|span| span.kind).collect();
        let expected =
            [Kind::Prompt, Kind::Plain(0), Kind::Switched(1), Kind::Differs(1), Kind::Plain(6), Kind::Switched(4)];
        assert_eq!(kinds, expected);
        assert_eq!((switched_to(&run.lanes[1], 0), switched_to(&run.lanes[1], 1)), ("paged:8", "concat"));
    }

    #[test]
    fn characters_and_tokens_find_each_other() {
        let run = switched();
        let lane = &run.lanes[1];
        let spans = spans(&run, 1, lane);
        let drawn: String = spans.iter().map(|span| span.text.as_str()).collect();
        for (token, text) in [(0, " w1"), (1, " w9"), (2, " w3"), (3, "| now")] {
            let at = char_of_token(&spans, lane, token).expect("drawn");
            assert!(drawn[at..].starts_with(text), "token {token} at {at} of {drawn}");
            assert_eq!(at_char(&spans, lane, at).and_then(|(_, token)| token), Some(token));
        }
        assert_eq!(at_char(&spans, lane, 0), Some((Kind::Prompt, None)));
        assert_eq!((at_char(&spans, lane, drawn.len()), char_of_token(&spans, lane, 99)), (None, None));
    }

    #[test]
    fn what_is_under_the_pointer_is_said() {
        let run = switched();
        let lane = &run.lanes[1];
        let said = |part| words(&run, lane, part).expect("words");
        assert!(said((Kind::Differs(1), Some(1))).starts_with("first divergence at token 1\ntoken 1\nA none"));
        assert_eq!(
            said((Kind::Switched(3), Some(3))),
            "From token 3 on in paged:8 instead of paged:16: 7 tokens were run again for it in 2.0 ms"
        );
    }

    #[test]
    fn the_nearest_tick_is_found() {
        let run = switched();
        let ticks = ticks(&run.lanes[1]);
        assert_eq!(ticks, [Tick { token: 1, switch: None }, Tick { token: 3, switch: Some(0) }]);
        assert_eq!(nearest(&ticks, 2.2, 1.0), Some(ticks[1]));
        assert_eq!(nearest(&ticks, 9.0, 1.0), None);
        let both = [Tick { token: 4, switch: None }, Tick { token: 4, switch: Some(0) }];
        assert_eq!(nearest(&both, 4.0, 0.0), Some(both[1]));
    }
}
