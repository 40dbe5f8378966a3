//! All that is known of a token, a block or a gap, as pairs of what and how much.

use egui::{Frame, Label, RichText, ScrollArea, Ui};

use super::{
    fresh::Fresh,
    slots::{self, Holder, Slot},
    target::{Focus, Target},
    words,
};
use crate::{
    app::{attended::received, state::RunState, units::quoted},
    cache::{PoolPicture, SequencePicture, blocks::NO_BLOCK},
    report::units::bytes,
};

/// A title and facts: what it is, and what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub title: String,
    pub facts: Vec<(&'static str, String)>,
}

/// Where facts come from.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub run: &'a RunState,
    pub lane: usize,
    pub picture: &'a PoolPicture,
    /// By block.
    pub holders: &'a [Vec<Holder>],
    pub fresh: &'a Fresh,
}

impl Known<'_> {
    /// What is known of `target` at the moment that is shown.
    pub fn detail(&self, target: Target) -> Detail {
        match target {
            Target::Block(block) => self.block(block),
            Target::Gap { place, .. } => self.gap(place),
            Target::Token { sequence, position } => match self.picture.sequences.get(sequence) {
                Some(of) if position < of.len => self.token(of, sequence, position),
                _ => Detail {
                    title: format!("Token {position} of {}", words::holder(sequence)),
                    facts: vec![("state", "not there at this moment".into())],
                },
            },
        }
    }

    fn token(&self, of: &SequencePicture, sequence: usize, position: usize) -> Detail {
        let picture = self.picture;
        let block_len = picture.block_len.max(1);
        let row = bytes(picture.token_bytes);
        let text = quoted(self.run.token_text(self.lane, sequence, position));
        let mut facts = vec![];
        let place = of.blocks.get(position / block_len).copied().filter(|_| picture.n_blocks > 0);
        let (state, row) = match (slots::slot(of, position), place) {
            (Slot::Stored, _) => ("live", format!("{row} of keys and values over all layers")),
            (Slot::Dead, Some(NO_BLOCK)) => ("evicted, and its block was given back", "none any more".into()),
            (Slot::Dead, Some(_)) => ("evicted; its slot stays taken: a dead slot", format!("{row} that nobody reads")),
            (Slot::Dead, None) => ("evicted; its row is not copied along any more", "none any more".into()),
            (Slot::Exact, _) => (
                "live, exact still: waits in the residual until its group is quantized",
                format!("{row} over all layers once it is quantized"),
            ),
            (Slot::Empty, _) => ("evicted before its group was quantized", "none".into()),
        };
        facts.push(("state", state.into()));
        if let Some(block) = place {
            facts.push((
                "logical",
                format!("block {} of the table, slot {}", position / block_len, position % block_len),
            ));
            let physical = if block == NO_BLOCK {
                "none: given back".into()
            } else {
                format!("block {block}{}", self.freshness(block))
            };
            facts.push(("physical", physical));
        }
        facts.push(("bytes", row));
        if let Some(holders) = place.and_then(|block| self.holders.get(block as usize)) {
            facts.push(("held by", who(holders)));
        }
        facts.push(("attention", self.attention(sequence, &[position])));
        Detail { title: format!("{text}: token {position} of {}", words::holder(sequence)), facts }
    }

    fn block(&self, block: u32) -> Detail {
        let holders = self.holders.get(block as usize).map(Vec::as_slice).unwrap_or_default();
        let mut facts = vec![];
        facts.push((
            "state",
            match holders {
                [] => "free".into(),
                [_] => format!("held{}", self.freshness(block)),
                _ => format!("shared{}: copied when one of them writes into it", self.freshness(block)),
            },
        ));
        let picture = self.picture;
        for holder in holders {
            let Some(sequence) = picture.sequences.get(holder.sequence) else { continue };
            let held = words::held(picture, sequence, holder.place);
            facts.push((
                "held by",
                format!("{}: block {} of its table, {held}", words::holder(holder.sequence), holder.place),
            ));
        }
        facts.push(("bytes", bytes(words::block_bytes(picture))));
        if let Some(holder) = holders.first() {
            let first = holder.place.saturating_mul(picture.block_len);
            let len = picture.sequences.get(holder.sequence).map_or(0, |sequence| sequence.len);
            let tokens: Vec<usize> = (first..first.saturating_add(picture.block_len).min(len)).collect();
            facts.push(("attention", self.attention(holder.sequence, &tokens)));
        }
        Detail { title: format!("Block {block}"), facts }
    }

    fn gap(&self, place: usize) -> Detail {
        let first = place.saturating_mul(self.picture.block_len);
        let last = first.saturating_add(self.picture.block_len).saturating_sub(1);
        let state = "all evicted, and their block was given back to the pool".into();
        let facts = vec![("state", state), ("logical", format!("block {place} of the table"))];
        Detail { title: format!("Tokens {first} to {last}"), facts }
    }

    fn freshness(&self, block: u32) -> &'static str {
        if self.fresh.is_taken(block) { ", taken in the last change" } else { "" }
    }

    /// What tokens got together from the newest token that was watched.
    fn attention(&self, sequence: usize, tokens: &[usize]) -> String {
        if sequence > 0 {
            return "not known: lanes are watched, not their forks".into();
        }
        let Some(attention) = self.run.attention_of(self.lane) else {
            return "not watched; open the Attention pane with this lane while it runs".into();
        };
        let newest = attention.rows.len().saturating_sub(1);
        let shares: Vec<f32> = tokens.iter().filter_map(|token| received(attention, *token)).collect();
        if shares.is_empty() {
            return format!("not known: the newest token that was watched is {newest}");
        }
        let share = shares.iter().sum::<f32>() * 100.0;
        format!(
            "{share:.1} % of what token {newest}, the newest that was watched, gave: a mean over all heads and layers"
        )
    }
}

/// Who holds a block.
fn who(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(|holder| words::holder(holder.sequence)).collect();
    let shared = if names.len() > 1 { " (shared)" } else { "" };
    format!("{}{shared}", names.join(", "))
}

const HINT: &str = "Point at a block, a slot or a word: what is known of it stands here, and it is marked wherever it is drawn. A \
    click keeps it while the run goes on; a click elsewhere or Esc releases it.";

/// The box, as large as the room it is given. Returns true when it was clicked, which is no place to pin anything.
pub fn show(ui: &mut Ui, known: Known<'_>, focus: &Focus) {
    Frame::group(ui.style()).show(ui, |ui| {
        ui.set_min_size(ui.available_size());
        ScrollArea::vertical().id_salt("detail").auto_shrink([false, false]).show(ui, |ui| {
            let Some(target) = focus.target() else {
                ui.add(Label::new(RichText::new(HINT).weak()).wrap());
                return;
            };
            let Detail { title, facts } = known.detail(target);
            ui.add(Label::new(RichText::new(title).strong()).wrap());
            for (what, value) in facts {
                ui.horizontal_wrapped(|ui| {
                    ui.spacing_mut().item_spacing = egui::vec2(6.0, 0.0);
                    ui.label(RichText::new(what).weak());
                    ui.label(value);
                });
            }
            if focus.is_pinned() {
                ui.label(RichText::new("pinned: Esc releases it").weak());
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{state::AttentionState, worker::Facts},
        cache::spec::parse_lanes,
    };

    fn picture() -> PoolPicture {
        let lane =
            SequencePicture { len: 14, blocks: vec![3, NO_BLOCK, 0, 2], evicted: vec![(1, 9)], sealed: Some(12) };
        let fork = SequencePicture { len: 3, blocks: vec![3], ..SequencePicture::default() };
        PoolPicture { block_len: 4, n_blocks: 5, token_bytes: 8, sequences: vec![lane, fork] }
    }

    fn run() -> RunState {
        let mut run = RunState::new(1, &parse_lanes("paged:4").expect("lane"), 9, String::new());
        let prompt_pieces = (0..14).map(|n| format!(" w{n}")).collect();
        run.facts = Some(Facts { prompt_tokens: 14, prompt_pieces, ..Facts::default() });
        run
    }

    fn detail(run: &RunState, target: Target) -> Detail {
        let picture = picture();
        let holders = slots::holders(&picture);
        Known { run, lane: 0, picture: &picture, holders: &holders, fresh: &Fresh::default() }.detail(target)
    }

    fn fact(detail: &Detail, what: &str) -> String {
        detail.facts.iter().filter(|fact| fact.0 == what).map(|fact| fact.1.as_str()).collect::<Vec<_>>().join(" | ")
    }

    fn token(run: &RunState, position: usize) -> Detail {
        detail(run, Target::Token { sequence: 0, position })
    }

    #[test]
    fn a_token_says_where_it_lies_and_what_became_of_it() {
        let run = run();
        let live = token(&run, 0);
        assert_eq!(live.title, "\u{201c} w0\u{201d}: token 0 of the lane");
        assert_eq!(fact(&live, "state"), "live");
        assert_eq!(fact(&live, "logical"), "block 0 of the table, slot 0");
        assert_eq!(fact(&live, "physical"), "block 3");
        assert_eq!(fact(&live, "bytes"), "8 B of keys and values over all layers");
        assert_eq!(fact(&live, "held by"), "the lane, fork 1 (shared)");
        assert_eq!(fact(&token(&run, 2), "state"), "evicted; its slot stays taken: a dead slot");
        let gone = token(&run, 5);
        assert_eq!(
            (fact(&gone, "state").as_str(), fact(&gone, "physical").as_str()),
            ("evicted, and its block was given back", "none: given back")
        );
        assert_eq!(fact(&gone, "held by"), "");
        assert!(fact(&token(&run, 13), "state").contains("waits in the residual"));
        assert_eq!(fact(&token(&run, 14), "state"), "not there at this moment");
        assert_eq!(
            fact(&detail(&run, Target::Token { sequence: 9, position: 0 }), "state"),
            "not there at this moment"
        );
    }

    #[test]
    fn a_block_says_who_holds_it_and_what_is_in_it() {
        let run = run();
        let shared = detail(&run, Target::Block(3));
        assert!(fact(&shared, "state").starts_with("shared"));
        assert_eq!(
            fact(&shared, "held by"),
            "the lane: block 0 of its table, 4 of 4 slots, tokens 0 to 3, 3 evicted | fork 1: block 0 of its table, \
             3 of 4 slots, tokens 0 to 2"
        );
        assert_eq!(fact(&shared, "bytes"), "32 B");
        let last = detail(&run, Target::Block(2));
        assert!(fact(&last, "held by").ends_with("0 of 4 slots, tokens 12 to 13; 2 exact, not in the block yet"));
        assert_eq!(fact(&detail(&run, Target::Block(1)), "state"), "free");
        assert_eq!(detail(&run, Target::Gap { sequence: 0, place: 1 }).title, "Tokens 4 to 7");
    }

    #[test]
    fn attention_is_that_of_the_newest_watched_token_or_a_way_to_get_it() {
        let mut run = run();
        assert!(fact(&token(&run, 0), "attention").contains("open the Attention pane"));
        // Two rows of one head: a quarter to the first token, the rest to itself.
        run.attention =
            vec![AttentionState { lane: 0, n_layer: 1, n_head: 1, rows: vec![[255].into(), [128, 221].into()] }];
        assert!(fact(&token(&run, 0), "attention").starts_with("25.2 % of what token 1"));
        assert_eq!(fact(&token(&run, 9), "attention"), "not known: the newest token that was watched is 1");
        assert!(
            fact(&detail(&run, Target::Block(3)), "attention").starts_with("100.3 %"),
            "both, rounded as they are kept"
        );
        let fork = detail(&run, Target::Token { sequence: 1, position: 0 });
        assert!(fact(&fork, "attention").contains("not their forks"));
    }
}
