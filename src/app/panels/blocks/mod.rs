//! Where a lane's tokens lie: the pool's blocks, the table of each sequence over them, and the text, block by block.

mod draw;
mod slots;
mod text;
mod words;

use egui::{Button, Color32, ComboBox, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo};

use crate::{
    app::{
        spots,
        state::{LaneState, RunState},
        theme,
    },
    cache::{PoolPicture, blocks::NO_BLOCK},
};
use draw::{Band, Grid};
use slots::{Census, Holder};
use text::Source;

/// What of the blocks is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub lane: usize,
    /// Whose text is shown: 0 is the lane itself, then come its forks.
    pub sequence: usize,
    /// The physical block under the pointer, wherever it is drawn.
    pointed: Option<u32>,
}

const HELP: &str = "Left the pool: every physical block, in the order of memory; each is filled from the left, slot by slot, and a \
    free block is empty. Right the block table of each sequence: its blocks in the order of its tokens, with the number of the \
    physical block; a dash where the block was given back. A dead slot holds rows of a token that was evicted: nobody reads it, \
    and nobody else can have it until its whole block is dead. Point at a block or a token to see where it lies.";
const FORK_HELP: &str = "Goes on from here in a second way: the fork takes the likeliest token that nobody took here. It \
    shares all blocks with the lane; the first of the two that writes into a shared block gets a copy of it (copy-on-write). \
    Forks run untimed, in the lane's own memory, and end when the lane needs it.";
/// The height of a sequence's title and the space around it.
const TITLE: f32 = 40.0;

/// A lane and its blocks, and what is known of them.
struct Shown<'a> {
    lane: &'a LaneState,
    picture: &'a PoolPicture,
    /// By block.
    holders: Vec<Vec<Holder>>,
    census: Census,
    /// By sequence.
    colors: Vec<Color32>,
}

/// The pane; true when the lane is to be forked. `refusal`: why it cannot be.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View, refusal: Option<&str>) -> bool {
    let shown = run.lanes.get(view.lane).and_then(|lane| Shown::of(ui, view.lane, lane));
    let fork = header(ui, run, view, shown.as_ref(), refusal);
    let Some(shown) = shown else {
        ui.add_space(ui.available_height() * 0.3);
        ui.vertical_centered(|ui| ui.label(absent(run, view.lane)));
        return fork;
    };
    let Shown { lane, picture, .. } = &shown;
    view.sequence = view.sequence.min(picture.sequences.len().saturating_sub(1));
    let mut pointed = None;
    if picture.n_blocks == 0 {
        ui.label(words::buffer(picture, lane.records.last().map_or(0, |record| record.copied_bytes)));
    } else {
        draw::legend(ui, shown.color(0), &shown.census);
        let height = ui.available_height() * 0.58;
        ui.columns(2, |columns| {
            columns[0].set_height(height);
            columns[1].set_height(height);
            spots::mark(columns[0].ctx(), spots::BLOCK_POOL, columns[0].max_rect());
            spots::mark(columns[1].ctx(), spots::BLOCK_TABLES, columns[1].max_rect());
            pointed = pool(&mut columns[0], view, &shown).or(pointed);
            pointed = tables(&mut columns[1], view, &shown).or(pointed);
        });
    }
    ui.separator();
    spots::mark(ui.ctx(), spots::BLOCK_TEXT, ui.available_rect_before_wrap());
    let name = sequence_name(lane, view.sequence);
    let source = Source {
        run,
        picture,
        lane: view.lane,
        sequence: view.sequence,
        color: shown.color(view.sequence),
        name: &name,
        pointed: view.pointed,
    };
    pointed = text::show(ui, source).or(pointed);
    view.pointed = pointed;
    fork
}

impl<'a> Shown<'a> {
    fn of(ui: &Ui, index: usize, lane: &'a LaneState) -> Option<Self> {
        let picture = lane.blocks.as_ref()?;
        let holders = slots::holders(picture);
        let census = Census::of(picture, &holders);
        let colors = (0..picture.sequences.len()).map(|sequence| color(ui, (index, lane), sequence)).collect();
        Some(Self { lane, picture, holders, census, colors })
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

    fn words(&self) -> String {
        words::store(self.picture, self.lane.name.starts_with("contiguous"), &self.census)
    }
}

fn absent(run: &RunState, lane: usize) -> &'static str {
    if run.lanes.get(lane).is_some_and(|lane| lane.name.starts_with("none")) {
        "Without a cache nothing is stored: every token is computed from the whole text before it."
    } else if run.phase == crate::app::state::Phase::Replay {
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
    fork
}

/// The physical blocks in the order of memory.
fn pool(ui: &mut Ui, view: &View, shown: &Shown<'_>) -> Option<u32> {
    ui.label("Pool: physical blocks");
    let grid = Grid::new(ui.available_width(), ui.available_height(), shown.holders.len());
    let (rect, response) = ui.allocate_exact_size(grid.size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("pool: {}", shown.words())));
    let mut pointed = None;
    for (index, block) in (0..shown.holders.len()).zip(0_u32..) {
        let cell = grid.cell(rect, index);
        let is_pointed = view.pointed == Some(block);
        draw::block(ui, cell, shown.picture.block_len, &shown.bands(block), is_pointed, &block.to_string());
        if response.hover_pos().is_some_and(|at| cell.contains(at)) {
            pointed = Some(block);
        }
    }
    if let Some(block) = pointed {
        response.on_hover_text_at_pointer(words::block(shown.picture, block, shown.holders(block)));
    }
    pointed
}

/// Each sequence's blocks in the order of its tokens.
fn tables(ui: &mut Ui, view: &mut View, shown: &Shown<'_>) -> Option<u32> {
    ui.label("Block tables: logical order, with the physical number");
    let sequences = &shown.picture.sequences;
    let mut pointed = None;
    // The same room for each that has blocks, so that they look the same in all.
    let (n, n_held) = (sequences.len(), sequences.iter().filter(|s| !s.blocks.is_empty()).count());
    #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
    let each = (ui.available_height() - TITLE * n as f32) / n_held.max(1) as f32;
    ScrollArea::vertical().id_salt("tables").auto_shrink([false, false]).show(ui, |ui| {
        for index in 0..n {
            title(ui, view, shown, index);
            pointed = table(ui, view, shown, index, each).or(pointed);
            ui.add_space(4.0);
        }
    });
    pointed
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

fn table(ui: &mut Ui, view: &View, shown: &Shown<'_>, index: usize, height: f32) -> Option<u32> {
    let picture = shown.picture;
    let sequence = picture.sequences.get(index)?;
    let grid = Grid::new(ui.available_width(), height, sequence.blocks.len());
    let (rect, response) = ui.allocate_exact_size(grid.size, Sense::hover());
    let given_back = slots::given_back(sequence);
    let mut label = format!(
        "block table of {}: {} blocks, {}",
        sequence_name(shown.lane, index),
        sequence.blocks.len() - given_back,
        words::length(sequence)
    );
    if given_back > 0 {
        label.push_str(&format!(", {given_back} blocks given back"));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    let (mut pointed, mut tip) = (None, None);
    for (place, block) in sequence.blocks.iter().enumerate() {
        let cell = grid.cell(rect, place);
        let is_here = response.hover_pos().is_some_and(|at| cell.contains(at));
        if *block == NO_BLOCK {
            draw::gap(ui, cell, is_here);
            tip = is_here.then(|| words::gap(picture, place)).or(tip);
            continue;
        }
        let is_pointed = view.pointed == Some(*block);
        draw::block(ui, cell, picture.block_len, &shown.bands(*block), is_pointed, &block.to_string());
        if is_here {
            pointed = Some(*block);
            tip = Some(words::block(picture, *block, shown.holders(*block)));
        }
    }
    if let Some(tip) = tip {
        response.on_hover_text_at_pointer(tip);
    }
    pointed
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
