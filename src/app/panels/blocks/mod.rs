//! Where a lane's tokens lie: the pool's blocks, the table of each sequence over them, the text, block by block, and all that is
//! known of what a person points at.

mod cells;
mod detail;
mod draw;
mod fresh;
mod grid;
mod legend;
mod slots;
mod target;
mod text;
mod words;

use egui::{Button, Color32, ComboBox, Key, Label, Modifiers, RichText, ScrollArea, TextWrapMode, Ui, UiBuilder};

use crate::{
    app::{
        recording::lane_of,
        spots,
        state::{LaneState, RunState},
        theme,
    },
    cache::{PoolPicture, blocks::NO_BLOCK},
};
use detail::Known;
use draw::Band;
use fresh::Fresh;
use grid::Grid;
use slots::{Census, Holder};
use target::{Focus, Target, Touch};
use text::Source;

/// What of the blocks is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub lane: usize,
    /// Whose text is shown: 0 is the lane itself, then come its forks.
    pub sequence: usize,
    /// What is pointed at or pinned, wherever it is drawn.
    focus: Focus,
    /// The run and the lane that it belongs to.
    subject: (u64, usize),
    fresh: Fresh,
}

const HELP: &str = "Left the pool: every physical block, in the order of memory; each is filled from the left, slot by slot, and a \
    free block is empty. Right the block table of each sequence: its blocks in the order of its tokens, with the number of the \
    physical block; a dash where the block was given back. A dead slot holds rows of a token that was evicted: nobody reads it, \
    and nobody else can have it until its whole block is dead. Point at a block, a slot or a word to see all that is known of it; a \
    click keeps it.";
const FORK_HELP: &str = "Goes on from here in a second way: the fork takes the likeliest token that nobody took here. It \
    shares all blocks with the lane; the first of the two that writes into a shared block gets a copy of it (copy-on-write). \
    Forks run untimed, in the lane's own memory, and end when the lane needs it.";
/// The height of a sequence's title and the space around it.
const TITLE: f32 = 40.0;
/// The share of the height that blocks take; the text and the details have the rest.
const BLOCKS_SHARE: f32 = 0.56;
const DETAIL_WIDTH: f32 = 330.0;

impl View {
    /// True while a token or a block is kept in sight by a click.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.focus.is_pinned()
    }
}

/// A lane and its blocks, and what is known of them.
struct Shown<'a> {
    lane: &'a LaneState,
    picture: &'a PoolPicture,
    /// By block.
    holders: Vec<Vec<Holder>>,
    census: Census,
    /// By sequence.
    colors: Vec<Color32>,
    fresh: Fresh,
    /// What is highlighted.
    target: Option<Target>,
}

/// The pane; true when the lane is to be forked. `refusal`: why it cannot be.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View, refusal: Option<&str>) -> bool {
    if view.subject != (run.id, view.lane) {
        (view.subject, view.focus) = ((run.id, view.lane), Focus::default());
    }
    if view.focus.is_pinned() && ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape)) {
        view.focus.release();
    }
    let shown = run.lanes.get(view.lane).and_then(|lane| Shown::of(ui, lane, view));
    let fork = header(ui, run, view, shown.as_ref(), refusal);
    let Some(shown) = shown else {
        ui.add_space(ui.available_height() * 0.3);
        ui.vertical_centered(|ui| ui.label(absent(run, view.lane)));
        return fork;
    };
    let Shown { lane, picture, .. } = &shown;
    view.sequence = view.sequence.min(picture.sequences.len().saturating_sub(1));
    let mut touch = Touch::default();
    if picture.n_blocks == 0 {
        ui.label(words::buffer(picture, lane.records.last().map_or(0, |record| record.copied_bytes)));
    } else {
        legend::show(ui, shown.color(0), &shown.census, !shown.fresh.taken().is_empty());
        let height = ui.available_height() * BLOCKS_SHARE;
        ui.columns(2, |columns| {
            columns[0].set_height(height);
            columns[1].set_height(height);
            spots::mark(columns[0].ctx(), spots::BLOCK_POOL, columns[0].max_rect());
            spots::mark(columns[1].ctx(), spots::BLOCK_TABLES, columns[1].max_rect());
            touch = pool(&mut columns[0], &shown).or(tables(&mut columns[1], view, &shown));
        });
    }
    ui.separator();
    spots::mark(ui.ctx(), spots::BLOCK_TEXT, ui.available_rect_before_wrap());
    touch = below(ui, run, view, &shown).or(touch);
    view.focus.take(touch);
    fork
}

/// The text, and beside it the details.
fn below(ui: &mut Ui, run: &RunState, view: &View, shown: &Shown<'_>) -> Touch {
    let space = ui.available_rect_before_wrap();
    let width = DETAIL_WIDTH.min(space.width() * 0.45);
    let (left, right) = space.split_left_right_at_x(space.right() - width);
    let name = sequence_name(shown.lane, view.sequence);
    let source = Source {
        run,
        picture: shown.picture,
        lane: view.lane,
        sequence: view.sequence,
        color: shown.color(view.sequence),
        name: &name,
        target: shown.target,
    };
    let left = left.with_max_x(left.right() - 10.0);
    let touch = ui.scope_builder(UiBuilder::new().max_rect(left), |ui| text::show(ui, source)).inner;
    let known = Known { run, lane: view.lane, picture: shown.picture, holders: &shown.holders, fresh: &shown.fresh };
    ui.scope_builder(UiBuilder::new().max_rect(right), |ui| detail::show(ui, known, &view.focus));
    ui.advance_cursor_after_rect(space);
    touch
}

impl<'a> Shown<'a> {
    fn of(ui: &Ui, lane: &'a LaneState, view: &mut View) -> Option<Self> {
        let picture = lane.blocks.as_ref()?;
        let holders = slots::holders(picture);
        let census = Census::of(picture, &holders);
        let n_sequences = picture.sequences.len();
        let colors = (0..n_sequences).map(|sequence| color(ui, (view.lane, lane), sequence)).collect();
        view.fresh.update(view.subject, &holders);
        let (fresh, target) = (view.fresh.clone(), view.focus.target());
        Some(Self { lane, picture, holders, census, colors, fresh, target })
    }

    fn color(&self, sequence: usize) -> Color32 {
        self.colors.get(sequence).copied().unwrap_or_default()
    }

    fn holders(&self, block: u32) -> &[Holder] {
        self.holders.get(block as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// The block as each of its holders sees it.
    fn bands(&self, block: u32) -> Vec<Band> {
        let band = |holder: &Holder| {
            let sequence = self.picture.sequences.get(holder.sequence)?;
            let runs = slots::runs(sequence, holder.place, self.picture.block_len);
            Some(Band { color: self.color(holder.sequence), runs })
        };
        self.holders(block).iter().filter_map(band).collect()
    }

    fn marked_block(&self) -> Option<u32> {
        self.target?.block(self.picture)
    }

    fn marked_slot(&self) -> Option<usize> {
        self.target?.slot(self.picture)
    }

    /// True for a gap that is pointed at, itself or one of its tokens.
    fn is_marked_gap(&self, gap: Target) -> bool {
        match (self.target, gap) {
            (Some(Target::Token { sequence, position }), Target::Gap { sequence: of, place }) => {
                (sequence, position / self.picture.block_len.max(1)) == (of, place)
            }
            (target, gap) => target == Some(gap),
        }
    }

    fn words(&self) -> String {
        words::store(self.picture, self.is_region(), &self.census)
    }

    /// `contiguous` has no pool.
    fn is_region(&self) -> bool {
        self.lane.name.starts_with("contiguous")
    }
}

fn absent(run: &RunState, lane: usize) -> &'static str {
    if run.lanes.get(lane).is_some_and(|lane| lane.name.starts_with("none")) {
        "Without a cache nothing is stored: every token is computed from the whole text before it."
    } else if run.is_trace {
        "This trace holds no blocks up to here; traces since schema 2 do."
    } else {
        "The first step of the lane brings its blocks."
    }
}

fn header(ui: &mut Ui, run: &RunState, view: &mut View, shown: Option<&Shown<'_>>, refusal: Option<&str>) -> bool {
    let mut fork = false;
    ui.horizontal_wrapped(|ui| {
        ui.strong("Blocks").on_hover_text(HELP);
        let label = ui.label("lane");
        let name = |lane: usize| run.lanes.get(lane).map_or("-", |lane| lane.name.as_str());
        let chooser = ComboBox::from_id_salt("blocks lane").selected_text(name(view.lane)).show_ui(ui, |ui| {
            for lane in 0..run.lanes.len() {
                ui.selectable_value(&mut view.lane, lane, name(lane));
            }
        });
        chooser.response.labelled_by(label.id);
        let button = ui.add_enabled(refusal.is_none(), Button::new("Fork here"));
        spots::mark(ui.ctx(), spots::FORK, button.rect);
        fork = button.on_hover_text(FORK_HELP).on_disabled_hover_text(refusal.unwrap_or_default()).clicked();
        let Some(shown) = shown.filter(|shown| shown.picture.n_blocks > 0) else { return };
        ui.label(RichText::new(shown.words()).weak());
        let copied_bytes = shown.lane.records.last().map_or(0, |record| record.copied_bytes);
        if copied_bytes > 0 {
            let text = words::moved(shown.picture, !shown.lane.forks.is_empty(), copied_bytes);
            ui.label(RichText::new(text).color(theme::WARNING.on(ui.visuals())));
        }
    });
    if let Some(shown) = shown {
        let format = words::format(lane_of(&shown.lane.name), shown.picture);
        ui.add(Label::new(RichText::new(format).weak()).wrap_mode(TextWrapMode::Truncate));
    }
    fork
}

/// The physical blocks in the order of memory.
fn pool(ui: &mut Ui, shown: &Shown<'_>) -> Touch {
    ui.horizontal(|ui| {
        ui.label("Pool: physical blocks");
        if !shown.is_region() {
            let free = RichText::new(words::free(&shown.holders)).weak();
            ui.add(Label::new(free).wrap_mode(TextWrapMode::Truncate))
                .on_hover_text("By their numbers; in which order the pool hands them out is not recorded.");
        }
    });
    let n = shown.holders.len();
    let places: Vec<Target> = (0_u32..).take(n).map(Target::Block).collect();
    let grid = Grid::new(
        ui.available_width() - 2.0 * MARGIN,
        ui.available_height(),
        n,
        cells::largest(shown.picture.block_len),
    );
    ScrollArea::vertical()
        .id_salt("pool")
        .auto_shrink([false, false])
        .show(ui, |ui| inset(ui, |ui| cells::show(ui, shown, &grid, &places, &format!("pool: {}", shown.words()))))
        .inner
}

/// Room for the marks around the outermost blocks.
const MARGIN: f32 = 3.0;

fn inset(ui: &mut Ui, draw: impl FnOnce(&mut Ui) -> Touch) -> Touch {
    let margin = egui::Margin { left: 3, right: 3, top: 2, bottom: 0 };
    egui::Frame::NONE.inner_margin(margin).show(ui, draw).inner
}

/// Each sequence's blocks in the order of its tokens.
fn tables(ui: &mut Ui, view: &mut View, shown: &Shown<'_>) -> Touch {
    ui.label("Block tables: logical order, with the physical number");
    let sequences = &shown.picture.sequences;
    let mut touch = Touch::default();
    // The same room for each that has blocks, so that they look the same in all.
    let (n, n_held) = (sequences.len(), sequences.iter().filter(|s| !s.blocks.is_empty()).count());
    #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
    let each = (ui.available_height() - TITLE * n as f32) / n_held.max(1) as f32;
    ScrollArea::vertical().id_salt("tables").auto_shrink([false, false]).show(ui, |ui| {
        for index in 0..n {
            title(ui, view, shown, index);
            touch = touch.or(table(ui, shown, index, each));
            ui.add_space(4.0);
        }
    });
    touch
}

/// The name of a sequence, which shows its text when it is pressed.
fn title(ui: &mut Ui, view: &mut View, shown: &Shown<'_>, index: usize) {
    let Some(sequence) = shown.picture.sequences.get(index) else { return };
    let text = format!("{}: {}", sequence_name(shown.lane, index), words::length(sequence));
    let button = Button::selectable(view.sequence == index, RichText::new(text).color(shown.color(index)));
    let fork = index.checked_sub(1).and_then(|fork| shown.lane.forks.get(fork));
    let end = fork.and_then(|fork| fork.end.as_deref());
    if ui.add(button).on_hover_text(end.unwrap_or("Shows its text below")).clicked() {
        view.sequence = index;
    }
}

fn table(ui: &mut Ui, shown: &Shown<'_>, index: usize, height: f32) -> Touch {
    let picture = shown.picture;
    let Some(sequence) = picture.sequences.get(index) else { return Touch::default() };
    let place = |(place, block): (usize, &u32)| match *block {
        NO_BLOCK => Target::Gap { sequence: index, place },
        block => Target::Block(block),
    };
    let places: Vec<Target> = sequence.blocks.iter().enumerate().map(place).collect();
    let given_back = slots::given_back(sequence);
    let mut name = format!(
        "block table of {}: {} blocks, {}",
        sequence_name(shown.lane, index),
        sequence.blocks.len() - given_back,
        words::length(sequence)
    );
    if given_back > 0 {
        name.push_str(&format!(", {given_back} blocks given back"));
    }
    let grid = Grid::new(ui.available_width() - 2.0 * MARGIN, height, places.len(), cells::largest(picture.block_len));
    inset(ui, |ui| cells::show(ui, shown, &grid, &places, &name))
}

/// The lane's name, or a fork's: its number and the token that it said otherwise, as `kvlab run --fork` counts.
fn sequence_name(lane: &LaneState, index: usize) -> String {
    let Some(fork) = index.checked_sub(1).and_then(|fork| lane.forks.get(fork)) else { return lane.name.clone() };
    let ended = if fork.end.is_some() { " (ended)" } else { "" };
    format!("fork {index} @{}{ended}", fork.start + 1)
}

fn color(ui: &Ui, (index, lane): (usize, &LaneState), sequence: usize) -> Color32 {
    match sequence.checked_sub(1).and_then(|fork| lane.forks.get(fork)) {
        None => theme::lane_color(index, ui.visuals()),
        Some(fork) => theme::fork_color(index, fork.color, ui.visuals()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{SequencePicture, spec::parse_lanes};
    use egui_kittest::{Harness, kittest::Queryable};

    /// A pool of which the lane holds the first half.
    fn pane(n_blocks: u32) -> Harness<'static, View> {
        let mut run = RunState::new(1, &parse_lanes("paged:16").expect("a lane"), 9, String::new());
        let len = n_blocks as usize / 2 * 16;
        let lane = SequencePicture { len, blocks: (0..n_blocks / 2).collect(), ..SequencePicture::default() };
        let (n_blocks, sequences) = (n_blocks as usize, vec![lane]);
        run.lanes[0].blocks = Some(PoolPicture { block_len: 16, n_blocks, token_bytes: 8, sequences });
        let draw = move |ui: &mut Ui, view: &mut View| {
            let _ = show(ui, &run, view, None);
        };
        Harness::builder().with_size([960.0, 700.0]).build_ui_state(draw, View::default())
    }

    #[test]
    fn thousands_of_blocks_are_a_few_shapes_and_each_can_be_pointed_at() {
        let mut window = pane(5_000);
        window.run_steps(3);
        let n_shapes = window.output().shapes.len();
        assert!(n_shapes < 2_500, "{n_shapes}");
        let pool = window.get_by_label_contains("pool: ").rect();
        window.hover_at(pool.min + egui::vec2(1.5, 1.5));
        window.run_steps(2);
        window.get_by_label("Block 0");
        window.remove_cursor();
        window.run_steps(2);
        window.get_by_label_contains("Point at a block, a slot or a word");
    }

    #[test]
    fn a_click_pins_and_esc_releases() {
        let mut window = pane(8);
        window.run_steps(2);
        // The middle of the table lies in a block.
        window.get_by_label_contains("block table of").click();
        window.run_steps(2);
        window.remove_cursor();
        window.run_steps(2);
        assert!(window.state().is_pinned());
        window.get_by_label_contains(" of the lane");
        window.key_press(Key::Escape);
        window.run_steps(2);
        assert!(!window.state().is_pinned());
        window.get_by_label_contains("Point at a block, a slot or a word");
    }
}
