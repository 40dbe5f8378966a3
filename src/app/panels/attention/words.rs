//! The attention pane in words.

use super::{Scene, View};
use crate::{
    app::{
        attended::{Axis, share_of_first},
        recording::lane_of,
        state::{Phase, RunState},
        units::quoted,
    },
    cache::{CacheSpec, Lane, Retention, SequencePicture, blocks::NO_BLOCK},
};

/// The first tokens whose share is named: as many as StreamingLLM keeps.
pub const N_SINKS: usize = 4;

/// Why a lane's attention is not there. `lane`: what to call it.
pub fn absent(run: &RunState, lane: &str) -> String {
    match &run.phase {
        _ if run.is_trace => {
            format!(
                "This trace holds no attention of {lane} up to here. `kvlab run --attention LANE --out DIR` records it."
            )
        }
        // The past of a run under way, too.
        phase if phase.is_active() || *phase == Phase::Replay => {
            format!("The next step of {lane} brings its attention, unless a message above says why not.")
        }
        _ => {
            "Nobody watched this lane while it ran. Run again with this pane open, or choose the lane that was watched."
                .into()
        }
    }
}

/// The share of all attention that goes to the first tokens: to the first one, and to the first four.
pub fn sinks(scene: &Scene<'_>) -> String {
    let (layer, attention) = (scene.head.0, scene.weights.attention);
    let share = |n| share_of_first(attention, layer, scene.weights.n_rows, n);
    // Those that the lane itself keeps, if it keeps some.
    let lane = scene.run.lanes.get(attention.lane).and_then(|lane| lane_of(&lane.name));
    let n_sinks = Some(window_sinks(lane)).filter(|sinks| *sinks > 0).unwrap_or(N_SINKS);
    match (share(n_sinks), share(1)) {
        (Some(first), Some(one)) => format!(
            "Attention sinks: in layer {}, {:.0} % of all attention goes to the first {n_sinks} tokens, {:.0} % to token 0.",
            layer + 1,
            first * 100.0,
            one * 100.0
        ),
        _ => format!("Attention sinks: known from the token after the first {n_sinks} on."),
    }
}

pub const SINKS_HELP: &str = "A mean over the heads of the layer and over the rows that are shown, without the rows of the first tokens \
    themselves, which see nothing else. Weights add up to 100 %, so a head that looks for nothing leaves its weight somewhere: mostly \
    on the first tokens, which all later ones see. A cache that forgets them breaks the model (StreamingLLM: Xiao et al., 2023).";

/// What a difference compares, and why rows are missing.
pub fn difference(scene: &Scene<'_>, first: &str) -> String {
    let n_rows = scene.weights.n_rows;
    let diverged = scene.run.lanes.get(scene.weights.attention.lane).and_then(|lane| lane.first_divergence);
    let missing = match diverged {
        Some(_) if scene.run.is_forced => String::new(),
        Some(at) if n_rows < scene.weights.attention.rows.len() => {
            format!(
                " Below row {n_rows} nothing is shown: generated token {at} differs, and after it the two read different texts."
            )
        }
        _ => String::new(),
    };
    let is_exact = scene.run.lanes.first().is_some_and(|lane| lane.is_lossless);
    let not_exact = if is_exact { "" } else { " That one loses something itself: put an exact lane first." };
    format!(
        "Orange: looks there more than {first}; blue: less. {n_rows} rows, in which both have read the same.{not_exact}{missing}"
    )
}

/// The token whose profile is told: the pinned one, or the one under the pointer, or else the newest; of columns the first.
pub fn token(view: &View, n_rows: usize) -> usize {
    let newest = n_rows.saturating_sub(1);
    let pointed = view.pointed.map(|(query, key)| if view.axis == Axis::Rows { query } else { key });
    let default = if view.axis == Axis::Rows { newest } else { 0 };
    view.pinned.or(pointed).unwrap_or(default).min(newest)
}

/// Whose profile it is, as the beginning of a sentence that the list completes.
pub fn subject(scene: &Scene<'_>, view: &View) -> String {
    let token = token(view, scene.weights.n_rows);
    let text = quoted(scene.text(token));
    let who = match (view.pinned, view.pointed, view.axis) {
        (Some(_), ..) => format!("Pinned: token {token} {text}"),
        (None, None, Axis::Rows) => format!("The newest stored token {text}"),
        _ => format!("Token {token} {text}"),
    };
    let more = if scene.weights.reference.is_some() { " differently" } else { "" };
    match view.axis {
        Axis::Rows => format!("{who} looks{more} at"),
        Axis::Columns => format!("{who} is looked at{more} by"),
    }
}

/// A weight, or a difference.
pub fn number(scene: &Scene<'_>, value: f32) -> String {
    if scene.weights.reference.is_some() {
        format!("{:+.1} points", value * 100.0)
    } else {
        format!("{:.1} %", value * 100.0)
    }
}

/// What stands under the pointer of the large map.
pub fn pointed(scene: &Scene<'_>, query: usize, key: usize) -> String {
    let (from, to) = (quoted(scene.text(query)), quoted(scene.text(key)));
    let value = scene.weights.at(scene.head, query, key);
    let takes = match scene.weights.reference {
        None => format!("{from} (token {query}) takes {}", number(scene, value)),
        Some(reference) => {
            let (layer, head) = scene.head;
            let code = reference.row(layer, head, query).get(key).copied().unwrap_or(0);
            let was = crate::engine::Attention::weight(code);
            format!(
                "{from} (token {query}) takes {:.1} %, in the first lane {:.1} %: {}",
                (was + value) * 100.0,
                was * 100.0,
                number(scene, value)
            )
        }
    };
    let place = placed(scene.run, scene.weights.attention.lane, key);
    let place = place.map_or_else(String::new, |place| format!("\n{place}"));
    let evicted = if scene.sequence().is_some_and(|sequence| is_evicted(sequence, key)) {
        "\nThe column is shaded as of now: when the token was evicted is not recorded."
    } else {
        ""
    };
    format!("{takes}\nfrom {to} (token {key}){place}{evicted}")
}

/// Block and slot of a token of a lane, and whether it was evicted from there since.
pub fn placed(run: &RunState, lane: usize, position: usize) -> Option<String> {
    let lane = run.lanes.get(lane).filter(|lane| lane.name.starts_with("paged"))?;
    let blocks = lane.blocks.as_ref().filter(|blocks| blocks.n_blocks > 0)?;
    let sequence = blocks.sequences.first()?;
    let block_len = blocks.block_len.max(1);
    let block = *sequence.blocks.get(position / block_len)?;
    Some(match (block, is_evicted(sequence, position)) {
        (NO_BLOCK, _) => "evicted".into(),
        (block, false) => format!("block {block}, slot {}", position % block_len),
        (block, true) => format!("block {block}, dead"),
    })
}

fn is_evicted(sequence: &SequencePicture, position: usize) -> bool {
    sequence.evicted.iter().any(|(start, end)| (*start..*end).contains(&position))
}

/// Tokens that a window keeps at the beginning, by the lane's specification.
pub fn window_sinks(lane: Option<Lane>) -> usize {
    match lane {
        Some(Lane::Cache(CacheSpec { retention: Retention::Window { sinks, .. }, .. })) => sinks,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{attended::Weights, state::AttentionState, worker::Facts},
        cache::spec::parse_lanes,
    };

    fn run(lanes: &str) -> RunState {
        let mut run = RunState::new(1, &parse_lanes(lanes).expect("lanes"), 9, String::new());
        let prompt_pieces = ["Once", " upon", " a", " time", ",", " Tom"].map(str::to_owned).to_vec();
        run.facts = Some(Facts { prompt_tokens: 6, prompt_pieces, ..Facts::default() });
        // One head that takes a quarter from itself and the rest from the first token.
        let row = |position: usize| {
            (0..=position).map(move |key| if key == 0 { 221 } else { u8::from(key == position) * 128 })
        };
        let rows = (0..6).map(|position| row(position).collect()).collect();
        run.attention = vec![AttentionState { lane: 0, n_layer: 1, n_head: 1, rows }];
        run
    }

    fn scene(run: &RunState) -> Scene<'_> {
        let weights = Weights { attention: &run.attention[0], reference: None, n_rows: run.attention[0].rows.len() };
        Scene { run, weights, head: (0, 0) }
    }

    #[test]
    fn sinks_are_named_with_their_share() {
        let run = run("paged:2");
        let said = sinks(&scene(&run));
        assert_eq!(
            said,
            "Attention sinks: in layer 1, 75 % of all attention goes to the first 4 tokens, 75 % to token 0."
        );
        let few = Scene { weights: Weights { n_rows: 3, ..scene(&run).weights }, ..scene(&run) };
        assert!(sinks(&few).contains("known from"));
    }

    #[test]
    fn the_profile_is_of_the_pinned_token_then_of_the_pointed_one() {
        let run = run("paged:2");
        let scene = scene(&run);
        let mut view = View { lane: 0, ..View::default() };
        assert_eq!(subject(&scene, &view), "The newest stored token \u{201c} Tom\u{201d} looks at");
        view.pointed = Some((3, 1));
        assert_eq!(subject(&scene, &view), "Token 3 \u{201c} time\u{201d} looks at");
        view.axis = Axis::Columns;
        assert_eq!(subject(&scene, &view), "Token 1 \u{201c} upon\u{201d} is looked at by");
        view.pinned = Some(2);
        assert_eq!(subject(&scene, &view), "Pinned: token 2 \u{201c} a\u{201d} is looked at by");
        view.pinned = Some(99);
        assert_eq!(token(&view, 6), 5, "a moment at which it did not exist yet");
    }

    #[test]
    fn the_pointer_names_both_tokens_and_where_the_second_lies() {
        let mut run = run("paged:2");
        let sequence = SequencePicture { len: 6, blocks: vec![7, NO_BLOCK, 3], evicted: vec![(1, 4)], sealed: None };
        run.lanes[0].blocks =
            Some(crate::cache::PoolPicture { block_len: 2, n_blocks: 8, token_bytes: 8, sequences: vec![sequence] });
        let said = pointed(&scene(&run), 4, 0);
        assert_eq!(
            said,
            "\u{201c},\u{201d} (token 4) takes 75.1 %\nfrom \u{201c}Once\u{201d} (token 0)\nblock 7, slot 0"
        );
        let said = pointed(&scene(&run), 4, 1);
        assert!(said.contains("block 7, dead\nThe column is shaded as of now"), "{said}");
        assert!(pointed(&scene(&run), 4, 2).contains("\nevicted\n"));
    }

    #[test]
    fn a_difference_says_why_rows_are_missing() {
        let mut run = run("none,paged:2+int4");
        run.attention[0].lane = 1;
        let first = run.attention[0].clone();
        let words = |run: &RunState| {
            let weights = Weights { attention: &run.attention[0], reference: Some(&first), n_rows: 4 };
            difference(&Scene { run, weights, head: (0, 0) }, "none")
        };
        assert!(!words(&run).contains("Below row"));
        run.lanes[1].first_divergence = Some(2);
        assert!(words(&run).ends_with(
            "Below row 4 nothing is shown: generated token 2 differs, and after it the two read different texts."
        ));
        run.is_forced = true;
        assert!(!words(&run).contains("Below row"));
    }

    #[test]
    fn only_a_window_promises_its_first_tokens() {
        let lane = |spec: &str| parse_lanes(spec).expect("lane").first().copied();
        assert_eq!(window_sinks(lane("paged:16+window:4/20")), 4);
        assert_eq!(
            (window_sinks(lane("paged:16+h2o:4/20")), window_sinks(lane("none")), window_sinks(None)),
            (0, 0, 0)
        );
    }
}
