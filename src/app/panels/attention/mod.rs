//! Whom the tokens of a lane look at: an overview of all heads, one head large, and the newest token's choice in words.

mod heatmap;

use egui::{
    Align2, Color32, ComboBox, Image, Label, Pos2, Rect, RichText, Role, ScrollArea, Sense, Stroke, Ui, UiBuilder,
    Vec2, WidgetInfo, pos2, text::LayoutJob, vec2,
};

use crate::{
    app::{
        spots,
        state::{AttentionState, Phase, RunState},
        theme,
        units::{quoted, to_x},
    },
    cache::blocks::NO_BLOCK,
    engine::Attention,
};
use heatmap::{Heatmap, Source};

/// What of the attention is shown.
#[derive(Default)]
pub struct View {
    pub lane: usize,
    /// The layer and head that are shown large; `None` until somebody chooses, or a run has some.
    pub head: Option<(usize, usize)>,
    overview: Option<Heatmap>,
    large: Option<Heatmap>,
    /// Tokens between two lines in the last frame.
    line_every: usize,
    /// The row under the pointer in the last frame.
    pointed: Option<usize>,
}

impl View {
    /// The lanes whose attention is wanted.
    #[must_use]
    pub fn lanes(&self) -> Vec<usize> {
        vec![self.lane]
    }

    /// Layer and head of the large picture: those that were chosen, or at first a head of the last layer.
    fn shown(&self, attention: &AttentionState) -> (usize, usize) {
        let (layers, heads) = (attention.n_layer.saturating_sub(1), attention.n_head.saturating_sub(1));
        self.head.map_or((layers, 0), |(layer, head)| (layer.min(layers), head.min(heads)))
    }
}

const HELP: &str = "Each row is a token that was run, each column a token it can see: itself and everything before. The \
    brighter, the more it takes from there; a row adds up to 100 %. The weights are read in a pass of their own, before the \
    one that is timed.\nClick a head in the overview to see it large.";
/// Tokens in the list of the newest token.
const LIST: usize = 8;
/// Closer block boundaries than this are thinned out.
const BOUNDARY_POINTS: f32 = 12.0;

/// The pane.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View) {
    let is_trace = run.phase == Phase::Replay;
    if let (true, None, Some(attention)) = (is_trace, run.attention_of(view.lane), run.attention.first()) {
        view.lane = attention.lane;
    }
    let attention = run.attention_of(view.lane);
    header(ui, run, attention, view);
    let Some(attention) = attention else {
        nothing(ui, &run.phase);
        return;
    };
    let prompt = run.facts.as_ref().map_or(0, |facts| facts.prompt_tokens);
    let source = Source { run: run.id, attention, n_tokens: prompt + run.tokens.saturating_sub(1), head: None };
    let space = ui.available_rect_before_wrap();
    let side = space.height().min(space.width() * 0.52).max(120.0);
    let left = (space.width() - side).mul_add(0.5, -10.0).clamp(200.0, 320.0);
    let part = |from: f32, width: f32| {
        Rect::from_min_size(pos2(space.left() + from, space.top()), vec2(width, space.height()))
    };
    ui.scope_builder(UiBuilder::new().max_rect(part(0.0, left)), |ui| {
        overview(ui, source, view);
        ui.add_space(6.0);
        choice(ui, run, attention, view);
    });
    ui.scope_builder(UiBuilder::new().max_rect(part(left + 10.0, side)), |ui| large(ui, run, source, view, side));
    let rest = (space.width() - left - side - 20.0).max(0.0);
    if rest > 80.0 {
        ui.scope_builder(UiBuilder::new().max_rect(part(left + side + 20.0, rest)), |ui| {
            shaded_text(ui, run, attention, view);
        });
    }
    ui.advance_cursor_after_rect(space);
}

fn header(ui: &mut Ui, run: &RunState, attention: Option<&AttentionState>, view: &mut View) {
    ui.horizontal_wrapped(|ui| {
        ui.strong("Attention").on_hover_text(HELP);
        if run.phase == Phase::Replay {
            if let (Some(lane), Some(_)) = (run.lanes.get(view.lane), attention) {
                theme::lane_name(ui, view.lane, &lane.name);
            }
        } else {
            let name = |lane: usize| run.lanes.get(lane).map_or("-", |lane| lane.name.as_str());
            let label = ui.label("lane");
            let chooser = ComboBox::from_id_salt("attention lane").selected_text(name(view.lane)).show_ui(ui, |ui| {
                for lane in 0..run.lanes.len() {
                    ui.selectable_value(&mut view.lane, lane, name(lane));
                }
            });
            chooser.response.labelled_by(label.id);
        }
        let Some(attention) = attention else { return };
        let mut number = |name: &str, value: &mut usize, n: usize| {
            let label = ui.label(name);
            let mut shown = *value + 1;
            let drag = egui::DragValue::new(&mut shown).range(1..=n.max(1)).suffix(format!(" of {n}"));
            ui.add(drag).labelled_by(label.id);
            *value = shown - 1;
        };
        let shown = view.shown(attention);
        let (mut layer, mut head) = shown;
        number("layer", &mut layer, attention.n_layer);
        number("head", &mut head, attention.n_head);
        if (layer, head) != shown {
            view.head = Some((layer, head));
        }
        if let Some(blocks) = run.lanes.get(attention.lane).and_then(|lane| lane.blocks.as_ref())
            && blocks.n_blocks > 0
        {
            let lines = match view.line_every / blocks.block_len {
                0 | 1 => format!("lines: blocks of {}", blocks.block_len),
                blocks_per_line => format!("lines: every {blocks_per_line} blocks of {}", blocks.block_len),
            };
            ui.label(RichText::new(lines).weak());
        }
    });
}

fn nothing(ui: &mut Ui, phase: &Phase) {
    ui.add_space(ui.available_height() * 0.3);
    ui.vertical_centered(|ui| {
        ui.label(match phase {
            Phase::Replay => {
                "This trace holds no attention up to here. `kvlab run --attention LANE --out DIR` records it."
            }
            phase if phase.is_active() => "The next step of the lane brings its attention, unless a message above says why not.",
            _ => "Nobody watched this lane while it ran. Run again with this pane open, or choose the lane that was watched.",
        });
    });
}

/// All heads: a row for each layer.
fn overview(ui: &mut Ui, source: Source<'_>, view: &mut View) {
    let AttentionState { n_layer, n_head, .. } = *source.attention;
    let gap = 2.0;
    let shown = view.shown(source.attention);
    let map = Heatmap::update(&mut view.overview, ui.ctx(), ui.visuals(), source);
    let most = ui.available_height() * 0.55;
    let cell = ((ui.available_width() + gap) / count(n_head)).min(most / count(n_layer)).floor().max(4.0);
    let (area, _) = ui.allocate_exact_size(vec2(cell * count(n_head), cell * count(n_layer)), Sense::hover());
    spots::mark(ui.ctx(), spots::ATTENTION_HEADS, area);
    for layer in 0..n_layer {
        for head in 0..n_head {
            let rect =
                Rect::from_min_size(area.min + vec2(cell * count(head), cell * count(layer)), Vec2::splat(cell - gap));
            let uv = Rect::from_min_max(
                pos2(count(head) / count(n_head), count(layer) / count(n_layer)),
                pos2(count(head + 1) / count(n_head), count(layer + 1) / count(n_layer)),
            );
            ui.painter().rect_filled(rect, 0.0, ui.visuals().extreme_bg_color);
            Image::from_texture(map.texture()).uv(uv).paint_at(ui, rect);
            let response = ui.interact(rect, ui.scope_id().with((layer, head)), Sense::click());
            let is_chosen = (layer, head) == shown;
            let name = format!("layer {}, head {}", layer + 1, head + 1);
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_chosen, &name));
            if is_chosen || response.hovered() || response.has_focus() {
                let stroke = Stroke::new(2.0, if is_chosen { theme::CHOSEN.on(ui.visuals()) } else { Color32::GRAY });
                ui.painter().rect_stroke(rect, 0.0, stroke, egui::StrokeKind::Outside);
            }
            if response.on_hover_text(name).clicked() {
                view.head = Some((layer, head));
            }
        }
    }
}

/// The chosen head.
fn large(ui: &mut Ui, run: &RunState, source: Source<'_>, view: &mut View, side: f32) {
    let attention = source.attention;
    let (layer, head) = view.shown(attention);
    let source = Source { head: Some((layer, head)), ..source };
    let map = Heatmap::update(&mut view.large, ui.ctx(), ui.visuals(), source);
    let n_tokens = map.n_tokens();
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::hover());
    spots::mark(ui.ctx(), spots::ATTENTION_HEAD, rect);
    ui.painter().rect_filled(rect, 0.0, ui.visuals().extreme_bg_color);
    Image::from_texture(map.texture()).paint_at(ui, rect);
    let cell = side / count(n_tokens);
    view.line_every = boundaries(ui, run, attention, rect, cell);
    let n_rows = attention.rows.len();
    let name = format!("attention of layer {}, head {}: {n_rows} rows", layer + 1, head + 1);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));

    view.pointed = None;
    let Some(at) = response.hover_pos() else { return };
    let place = |offset: f32| position(offset / cell);
    let (query, key) = (place(at.y - rect.top()), place(at.x - rect.left()));
    if query >= n_rows || key > query {
        return;
    }
    view.pointed = Some(query);
    cross(ui, rect, cell, query, key);
    let weight = attention.row(layer, head, query).get(key).map_or(0.0, |code| Attention::weight(*code));
    let text = |position| quoted(run.token_text(attention.lane, 0, position));
    let block = placed(run, attention.lane, key).map_or_else(String::new, |place| format!("\n{place}"));
    response.on_hover_text_at_pointer(format!(
        "{} (token {query}) takes {:.1} %\nfrom {} (token {key}){block}",
        text(query),
        weight * 100.0,
        text(key)
    ));
}

/// Where blocks end, over the tokens that are stored; returns how many tokens lie between two lines.
fn boundaries(ui: &Ui, run: &RunState, attention: &AttentionState, rect: Rect, cell: f32) -> usize {
    let Some(blocks) = run.lanes.get(attention.lane).and_then(|lane| lane.blocks.as_ref()) else {
        return 0;
    };
    if blocks.n_blocks == 0 {
        return 0;
    }
    let mut every = blocks.block_len.max(1);
    while count(every) * cell < BOUNDARY_POINTS {
        every *= 2;
    }
    let n_rows = attention.rows.len();
    let stroke = Stroke::new(1.0, theme::grid_color(ui.visuals()));
    for token in (every..n_rows).step_by(every) {
        let x = rect.left() + count(token) * cell;
        // From the diagonal down: above it a token is not seen yet.
        ui.painter().vline(x, rect.top() + count(token) * cell..=rect.top() + count(n_rows) * cell, stroke);
    }
    every
}

fn cross(ui: &Ui, rect: Rect, cell: f32, query: usize, key: usize) {
    let stroke = Stroke::new(1.0, theme::CHOSEN.on(ui.visuals()));
    let at = |index: usize| (count(index) + 0.5) * cell;
    ui.painter().hline(rect.left()..=rect.left() + at(query), rect.top() + at(query), stroke);
    ui.painter().vline(rect.left() + at(key), rect.top() + at(key)..=rect.top() + at(query), stroke);
}

/// The token whose choice is told: the one under the pointer, or else the newest.
fn query(attention: &AttentionState, view: &View) -> usize {
    let newest = attention.rows.len().saturating_sub(1);
    view.pointed.map_or(newest, |row| row.min(newest))
}

/// The largest weights of one token, as bars.
fn choice(ui: &mut Ui, run: &RunState, attention: &AttentionState, view: &View) {
    let query = query(attention, view);
    let who = if view.pointed.is_some() { "Token" } else { "The newest stored token" };
    ui.add(Label::new(format!("{who} {} looks at", quoted(run.token_text(attention.lane, 0, query)))).wrap());
    let (layer, head) = view.shown(attention);
    let row = attention.row(layer, head, query);
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by_key(|key| (std::cmp::Reverse(row[*key]), *key));
    ScrollArea::vertical().id_salt("choice").auto_shrink([false, false]).show(ui, |ui| {
        for &key in order.iter().take(LIST) {
            let weight = Attention::weight(row[key]);
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 19.0), Sense::hover());
            let bar = Rect::from_min_size(rect.min, vec2(rect.width() * weight, rect.height()));
            ui.painter().rect_filled(bar, 2.0, theme::CHOSEN.on(ui.visuals()).gamma_multiply(0.35));
            let text = |at: Pos2, anchor: Align2, text: String| {
                ui.painter().text(
                    at,
                    anchor,
                    text,
                    egui::TextStyle::Small.resolve(ui.style()),
                    ui.visuals().text_color(),
                );
            };
            let mid = rect.center().y;
            text(pos2(rect.left() + 4.0, mid), Align2::LEFT_CENTER, quoted(run.token_text(attention.lane, 0, key)));
            let place = placed(run, attention.lane, key).unwrap_or_else(|| format!("token {key}"));
            text(pos2(rect.right() - 56.0, mid), Align2::RIGHT_CENTER, place);
            text(pos2(rect.right() - 4.0, mid), Align2::RIGHT_CENTER, format!("{:.1} %", weight * 100.0));
            let name = format!("token {key}: {:.1} %", weight * 100.0);
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
        }
    });
}

/// The text so far, each token as bright as it is looked at.
fn shaded_text(ui: &mut Ui, run: &RunState, attention: &AttentionState, view: &View) {
    let query = query(attention, view);
    let (layer, head) = view.shown(attention);
    let row = attention.row(layer, head, query);
    let (font, color) = (egui::TextStyle::Body.resolve(ui.style()), ui.visuals().text_color());
    let mut job = LayoutJob::default();
    for (position, code) in row.iter().enumerate() {
        let shade = theme::CHOSEN.on(ui.visuals()).gamma_multiply(0.8 * f32::from(*code) / 255.0);
        let mut format = egui::TextFormat::simple(font.clone(), color);
        format.background = shade;
        if position == query {
            format.underline = Stroke::new(2.0, theme::CHOSEN.on(ui.visuals()));
        }
        job.append(run.token_text(attention.lane, 0, position).unwrap_or("\u{b7}"), 0.0, format);
    }
    ScrollArea::vertical()
        .id_salt("shaded")
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show(ui, |ui| ui.add(Label::new(job).wrap()));
}

/// Block and slot of a token of a lane, and whether it was evicted from there since.
fn placed(run: &RunState, lane: usize, position: usize) -> Option<String> {
    let blocks = run.lanes.get(lane)?.blocks.as_ref().filter(|blocks| blocks.n_blocks > 0)?;
    let sequence = blocks.sequences.first()?;
    let block_len = blocks.block_len.max(1);
    let block = *sequence.blocks.get(position / block_len)?;
    let is_evicted = sequence.evicted.iter().any(|(start, end)| (*start..*end).contains(&position));
    Some(match (block, is_evicted) {
        (NO_BLOCK, _) => "evicted".into(),
        (block, false) => format!("block {block}, slot {}", position % block_len),
        (block, true) => format!("block {block}, dead"),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a coordinate on the screen")]
fn count(n: usize) -> f32 {
    to_x(n) as f32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a coordinate on the screen")]
fn position(cells: f32) -> usize {
    cells.max(0.0) as usize
}
