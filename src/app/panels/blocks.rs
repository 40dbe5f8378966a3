//! Where a lane's tokens lie: the pool's blocks, the table of each sequence over them, and the text, block by block.

use egui::{
    Align2, Button, Color32, ComboBox, FontId, Rect, Response, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind,
    TextFormat, TextStyle, Ui, Vec2, WidgetInfo, pos2, text::LayoutJob, vec2,
};

use crate::{
    app::{
        state::{LaneState, RunState},
        theme,
        units::{quoted, to_x},
    },
    cache::PoolPicture,
    report::units::bytes,
};

/// What of the blocks is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub lane: usize,
    /// Whose text is shown: 0 is the lane itself, then come its forks.
    pub sequence: usize,
    /// The physical block under the pointer, wherever it is drawn.
    pointed: Option<u32>,
}

const HELP: &str = "Left the pool: every physical block, in the order of memory; the filled part is coloured, a free block is \
    empty. Right the block table of each sequence: its blocks in the order of its tokens, with the number of the physical \
    block. Point at a block or a token to see where it lies.";
const FORK_HELP: &str = "Goes on from here in a second way: the fork takes the likeliest token that nobody took here. It \
    shares all blocks with the lane; the first of the two that writes into a shared block gets a copy of it (copy-on-write). \
    Forks run untimed, in the lane's own memory, and end when the lane needs it.";
const LARGEST_CELL: f32 = 44.0;
const GAP: f32 = 3.0;
/// The height of a sequence's title and the space around it.
const TITLE: f32 = 40.0;

/// The pane; true when the lane is to be forked. `refusal`: why it cannot be.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View, refusal: Option<&str>) -> bool {
    let fork = header(ui, run, view, refusal);
    let Some(lane) = run.lanes.get(view.lane) else { return fork };
    let Some(picture) = &lane.blocks else {
        ui.add_space(ui.available_height() * 0.3);
        ui.vertical_centered(|ui| ui.label(absent(run, view.lane)));
        return fork;
    };
    view.sequence = view.sequence.min(picture.sequences.len().saturating_sub(1));
    let mut pointed = None;
    if picture.n_blocks == 0 {
        let len = picture.sequences.first().map_or(0, |sequence| sequence.len);
        ui.label(format!(
            "concat has no blocks: each layer has one buffer of exactly {len} rows, and at the next token all of them are copied \
             into a new one.\nSo far it moved {}.",
            bytes(lane.records.last().map_or(0, |record| record.copied_bytes))
        ));
    } else {
        let height = ui.available_height() * 0.58;
        ui.columns(2, |columns| {
            columns[0].set_height(height);
            columns[1].set_height(height);
            pointed = pool(&mut columns[0], view, lane, picture).or(pointed);
            pointed = tables(&mut columns[1], view, lane, picture).or(pointed);
        });
    }
    ui.separator();
    pointed = text(ui, run, view, lane, picture).or(pointed);
    view.pointed = pointed;
    fork
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

fn header(ui: &mut Ui, run: &RunState, view: &mut View, refusal: Option<&str>) -> bool {
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
        fork = button.on_hover_text(FORK_HELP).on_disabled_hover_text(refusal.unwrap_or_default()).clicked();
        if let Some(picture) = run.lanes.get(view.lane).and_then(|lane| lane.blocks.as_ref()).filter(|p| p.n_blocks > 0)
        {
            let is_region = run.lanes[view.lane].name.starts_with("contiguous");
            ui.label(RichText::new(if is_region { region(picture) } else { counts(picture) }).weak());
            let copied = run.lanes.get(view.lane).and_then(|lane| lane.records.last()).map_or(0, |r| r.copied_bytes);
            if copied > 0 {
                let text = format!("{} copied on write", bytes(copied));
                ui.label(RichText::new(text).color(theme::WARNING.on(ui.visuals())));
            }
        }
    });
    fork
}

/// What `contiguous` reserved, in a sentence: blocks too, but side by side, from the start, and of one sequence.
fn region(picture: &PoolPicture) -> String {
    let len = picture.sequences.first().map_or(0, |sequence| sequence.len);
    let all = picture.n_blocks * picture.block_len;
    let reserved = bytes(picture.token_bytes * all as u64);
    format!(
        "one region for {all} tokens, {reserved}, reserved from the start; {len} stored. It is drawn in blocks of {} that are neighbours",
        picture.block_len
    )
}

/// The pool in a sentence.
fn counts(picture: &PoolPicture) -> String {
    let holders = picture.holders();
    let free = holders.iter().filter(|holders| holders.is_empty()).count();
    let shared = holders.iter().filter(|holders| holders.len() > 1).count();
    let block_bytes = picture.token_bytes * picture.block_len as u64;
    format!(
        "{} blocks of {}, {} each: {} held, {shared} shared, {free} free",
        picture.n_blocks,
        tokens(picture.block_len),
        bytes(block_bytes),
        picture.n_blocks - free
    )
}

/// The physical blocks in the order of memory.
fn pool(ui: &mut Ui, view: &View, lane: &LaneState, picture: &PoolPicture) -> Option<u32> {
    ui.label("Pool: physical blocks");
    let holders = picture.holders();
    let fills = fills(picture);
    let grid = Grid::new(ui.available_width(), ui.available_height(), picture.n_blocks);
    let (rect, response) = ui.allocate_exact_size(grid.size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("pool: {}", counts(picture))));
    let mut pointed = None;
    for (block, (holders, fill)) in (0_u32..).zip(holders.iter().zip(&fills)) {
        let cell = grid.cell(rect, block as usize);
        let colors: Vec<Color32> = holders.iter().map(|sequence| color(ui, (view.lane, lane), *sequence)).collect();
        draw(ui, cell, *fill, &colors, view.pointed == Some(block), &block.to_string());
        if response.hover_pos().is_some_and(|at| cell.contains(at)) {
            pointed = Some(block);
        }
    }
    tip(response, picture, pointed);
    pointed
}

/// Each sequence's blocks in the order of its tokens.
fn tables(ui: &mut Ui, view: &mut View, lane: &LaneState, picture: &PoolPicture) -> Option<u32> {
    ui.label("Block tables: logical order, with the physical number");
    let holders = picture.holders();
    let mut pointed = None;
    // The same room for each that has blocks, so that they look the same in all.
    let (n, n_held) = (picture.sequences.len(), picture.sequences.iter().filter(|s| !s.blocks.is_empty()).count());
    #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
    let each = (ui.available_height() - TITLE * n as f32) / n_held.max(1) as f32;
    ScrollArea::vertical().id_salt("tables").auto_shrink([false, false]).show(ui, |ui| {
        for (index, sequence) in picture.sequences.iter().enumerate() {
            let name = sequence_name(lane, index);
            let title = format!("{name}: {}", tokens(sequence.len));
            let is_chosen = view.sequence == index;
            let button = Button::selectable(is_chosen, RichText::new(title).color(color(ui, (view.lane, lane), index)));
            let end = index.checked_sub(1).and_then(|fork| lane.forks.get(fork)).and_then(|fork| fork.end.as_deref());
            if ui.add(button).on_hover_text(end.unwrap_or("Shows its text below")).clicked() {
                view.sequence = index;
            }
            let grid = Grid::new(ui.available_width(), each, sequence.blocks.len());
            let (rect, response) = ui.allocate_exact_size(grid.size, Sense::hover());
            let label = format!("block table of {name}: {} blocks, {}", sequence.blocks.len(), tokens(sequence.len));
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
            let mut here = None;
            for (place, block) in sequence.blocks.iter().enumerate() {
                let cell = grid.cell(rect, place);
                let sharers = holders.get(*block as usize).map(Vec::as_slice).unwrap_or_default();
                let colors: Vec<Color32> =
                    sharers.iter().map(|sequence| color(ui, (view.lane, lane), *sequence)).collect();
                let fill = share(picture.fill(index, place), picture.block_len);
                draw(ui, cell, fill, &colors, view.pointed == Some(*block), &block.to_string());
                if response.hover_pos().is_some_and(|at| cell.contains(at)) {
                    here = Some(*block);
                }
            }
            tip(response, picture, here);
            pointed = here.or(pointed);
            ui.add_space(4.0);
        }
    });
    pointed
}

/// The text of a sequence, its blocks told apart; a token under the pointer points at its block.
fn text(ui: &mut Ui, run: &RunState, view: &View, lane: &LaneState, picture: &PoolPicture) -> Option<u32> {
    let sequence = picture.sequences.get(view.sequence)?;
    ui.label(format!("Stored text of {}, block by block", sequence_name(lane, view.sequence)));
    let (font, ink) = (TextStyle::Body.resolve(ui.style()), ui.visuals().text_color());
    let ground = color(ui, (view.lane, lane), view.sequence);
    let block_of = |position: usize| sequence.blocks.get(position / picture.block_len.max(1)).copied();
    let mut job = LayoutJob::default();
    job.wrap.max_width = ui.available_width() - 16.0;
    let mut ends = Vec::with_capacity(sequence.len);
    let mut n_chars = 0;
    for position in 0..sequence.len {
        let piece =
            run.token_text(view.lane, view.sequence, position).filter(|text| !text.is_empty()).unwrap_or("\u{b7}");
        n_chars += piece.chars().count();
        ends.push(n_chars);
        let is_pointed = block_of(position).is_some() && block_of(position) == view.pointed;
        let is_odd = position / picture.block_len.max(1) % 2 == 1 && picture.n_blocks > 0;
        let strength = if is_pointed {
            0.6
        } else if is_odd {
            0.26
        } else {
            0.1
        };
        let mut format = TextFormat::simple(font.clone(), ink);
        format.background = ground.gamma_multiply(strength);
        job.append(piece, 0.0, format);
    }
    let mut pointed = None;
    ScrollArea::vertical().id_salt("block text").auto_shrink([false, false]).stick_to_bottom(true).show(ui, |ui| {
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, galley.text()));
        ui.painter().galley(rect.min, galley.clone(), ink);
        let Some(at) = response.hover_pos() else { return };
        let char = galley.cursor_from_pos(at - rect.min).index;
        let position = ends.partition_point(|end| *end <= usize::from(char));
        if position >= sequence.len {
            return;
        }
        let block = block_of(position);
        pointed = block;
        let place =
            block.map_or_else(String::new, |block| format!("block {block}, slot {}\n", position % picture.block_len));
        response.on_hover_text_at_pointer(format!(
            "{} is token {position}\n{place}{} of keys and values over all layers",
            quoted(run.token_text(view.lane, view.sequence, position)),
            bytes(picture.token_bytes)
        ));
    });
    pointed
}

/// A number of tokens, in words.
fn tokens(n: usize) -> String {
    if n == 1 { "1 token".into() } else { format!("{n} tokens") }
}

/// The lane's name, or a fork's: its number and the token that it said otherwise, as `kvlab run --fork` counts.
fn sequence_name(lane: &LaneState, index: usize) -> String {
    let Some(fork) = index.checked_sub(1).and_then(|fork| lane.forks.get(fork)) else { return lane.name.clone() };
    let ended = if fork.end.is_some() { " (ended)" } else { "" };
    format!("fork {index} @{}{ended}", fork.start + 1)
}

/// The filled share of each physical block: that of whoever filled it most.
fn fills(picture: &PoolPicture) -> Vec<f32> {
    let mut fills = vec![0.0_f32; picture.n_blocks];
    for (index, sequence) in picture.sequences.iter().enumerate() {
        for (place, block) in sequence.blocks.iter().enumerate() {
            if let Some(fill) = fills.get_mut(*block as usize) {
                *fill = fill.max(share(picture.fill(index, place), picture.block_len));
            }
        }
    }
    fills
}

fn tip(response: Response, picture: &PoolPicture, block: Option<u32>) {
    let Some(block) = block else { return };
    let mut lines = vec![format!("block {block}, {}", bytes(picture.token_bytes * picture.block_len as u64))];
    for (index, sequence) in picture.sequences.iter().enumerate() {
        let Some(place) = sequence.blocks.iter().position(|held| *held == block) else { continue };
        let (fill, first) = (picture.fill(index, place), place * picture.block_len);
        let who = if index == 0 { "the lane".into() } else { format!("fork {index}") };
        lines.push(match fill {
            0 => format!("{who}: reserved, empty"),
            _ => format!("{who}: {fill} of {} slots, tokens {first} to {}", picture.block_len, first + fill - 1),
        });
    }
    match lines.len() {
        1 => lines.push("free".into()),
        2 => {}
        _ => lines.push("shared: copied when one of them writes into it".into()),
    }
    response.on_hover_text_at_pointer(lines.join("\n"));
}

/// A block: filled from the left, in the colours of its holders, one above the other.
fn draw(ui: &Ui, cell: Rect, fill: f32, holders: &[Color32], is_pointed: bool, number: &str) {
    let painter = ui.painter();
    painter.rect_filled(cell, 2.0, ui.visuals().extreme_bg_color);
    #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
    let band = cell.height() / holders.len().max(1) as f32;
    let mut top = cell.top();
    for holder in holders {
        let part = Rect::from_min_size(pos2(cell.left(), top), vec2(cell.width() * fill, band));
        painter.rect_filled(part, 2.0, holder.gamma_multiply(0.75));
        top += band;
    }
    let edge = if is_pointed {
        Stroke::new(2.0, theme::CHOSEN.on(ui.visuals()))
    } else {
        Stroke::new(1.0, holders.first().copied().unwrap_or(theme::grid_color(ui.visuals())))
    };
    painter.rect_stroke(cell, 2.0, edge, StrokeKind::Inside);
    if cell.width() >= 20.0 {
        painter.text(
            cell.center(),
            Align2::CENTER_CENTER,
            number,
            FontId::proportional((cell.width() * 0.34).max(10.0)),
            ui.visuals().strong_text_color(),
        );
    }
}

fn color(ui: &Ui, (index, lane): (usize, &LaneState), sequence: usize) -> Color32 {
    match sequence.checked_sub(1).and_then(|fork| lane.forks.get(fork)) {
        None => theme::lane_color(index, ui.visuals()),
        Some(fork) => theme::fork_color(index, fork.color, ui.visuals()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share of a block")]
fn share(fill: usize, of: usize) -> f32 {
    (to_x(fill) / to_x(of.max(1))) as f32
}

/// Equal cells in rows that fill the width.
struct Grid {
    cell: f32,
    columns: usize,
    size: Vec2,
}

impl Grid {
    /// The largest cells with which `n` of them fit the room there is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "coordinates on the screen"
    )]
    fn new(width: f32, height: f32, n: usize) -> Self {
        let (width, height) = (width.max(1.0), height.max(1.0));
        let mut cell = LARGEST_CELL;
        loop {
            let columns = (((width + GAP) / (cell + GAP)) as usize).max(1);
            let rows = n.div_ceil(columns);
            let size = vec2(columns as f32 * (cell + GAP) - GAP, rows as f32 * (cell + GAP));
            if size.y <= height || cell <= 4.0 {
                return Self { cell, columns, size };
            }
            cell -= 1.0;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "coordinates on the screen")]
    fn cell(&self, area: Rect, index: usize) -> Rect {
        let (column, row) = ((index % self.columns) as f32, (index / self.columns) as f32);
        Rect::from_min_size(area.min + vec2(column, row) * (self.cell + GAP), Vec2::splat(self.cell))
    }
}
