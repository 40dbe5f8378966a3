//! Whom the tokens of a lane look at: an overview of all heads, one head large, and one token's choice in bars and in words.

mod heatmap;
mod large;
mod marks;
mod overview;
mod profile;
mod ramp;
mod words;
mod zoom;

use egui::{Button, ComboBox, Key, Label, Modifiers, Rect, RichText, TextWrapMode, Ui, UiBuilder, pos2, vec2};

use crate::{
    app::{
        attended::{Axis, Weights, comparable_rows},
        state::{AttentionState, RunState},
        theme,
    },
    cache::{PoolPicture, SequencePicture},
};
use heatmap::{Heatmap, Source};
use zoom::Zoom;

/// What of the attention is shown.
#[derive(Default)]
pub struct View {
    pub lane: usize,
    /// The layer and head that are shown large; `None` until somebody chooses, or a run has some.
    pub head: Option<(usize, usize)>,
    /// Whether profiles are rows or columns of the large map.
    axis: Axis,
    /// The first lane's weights are taken away.
    is_difference: bool,
    zoom: Zoom,
    /// The token whose profile stays.
    pinned: Option<usize>,
    /// Row and column under the pointer in the last frame.
    pointed: Option<(usize, usize)>,
    /// The run and the lane of the pinned token.
    subject: (u64, usize),
    overview: Option<Heatmap>,
    large: Option<Heatmap>,
    /// The sentence about attention sinks, and what it was made from: run, lane, layer and rows.
    sinks: Option<((u64, usize, usize, usize), String)>,
}

impl View {
    /// True while a token is kept in sight by a click.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// The lanes whose attention is wanted, in ascending order.
    #[must_use]
    pub fn lanes(&self) -> Vec<usize> {
        if self.is_compared() { vec![0, self.lane] } else { vec![self.lane] }
    }

    fn is_compared(&self) -> bool {
        self.is_difference && self.lane > 0
    }

    /// Layer and head of the large picture: those that were chosen, or at first a head of the last layer.
    fn shown(&self, attention: &AttentionState) -> (usize, usize) {
        let (layers, heads) = (attention.n_layer.saturating_sub(1), attention.n_head.saturating_sub(1));
        self.head.map_or((layers, 0), |(layer, head)| (layer.min(layers), head.min(heads)))
    }

    /// A token of another run or lane is another token.
    fn release_others(&mut self, run: &RunState) {
        if self.subject != (run.id, self.lane) {
            self.subject = (run.id, self.lane);
            (self.pinned, self.pointed, self.zoom) = (None, None, Zoom::default());
        }
    }

    /// A click pins a token; another click on it releases it.
    fn pin(&mut self, token: usize) {
        self.pinned = (self.pinned != Some(token)).then_some(token);
    }
}

/// What is drawn in this frame.
#[derive(Clone, Copy)]
struct Scene<'a> {
    run: &'a RunState,
    weights: Weights<'a>,
    /// Layer and head of the large map.
    head: (usize, usize),
}

impl<'a> Scene<'a> {
    /// The sentence says why there is none.
    fn of(run: &'a RunState, view: &View) -> Result<Self, String> {
        let attention = run.attention_of(view.lane).ok_or_else(|| words::absent(run, "this lane"))?;
        let head = view.shown(attention);
        if !view.is_compared() {
            let weights = Weights { attention, reference: None, n_rows: attention.rows.len() };
            return Ok(Self { run, weights, head });
        }
        let first = run.lanes.first().map_or("the first lane", |lane| lane.name.as_str());
        let reference = run.attention_of(0).ok_or_else(|| words::absent(run, first))?;
        let weights = Weights { attention, reference: Some(reference), n_rows: comparable_rows(run, view.lane) };
        Ok(Self { run, weights, head })
    }

    fn source(&self, head: Option<(usize, usize)>) -> Source<'a> {
        let lane = self.weights.attention.lane;
        let prompt = self.run.facts.as_ref().map_or(0, |facts| facts.prompt_of(lane).0);
        let n_tokens = (prompt + self.run.tokens.saturating_sub(1)).max(self.weights.attention.rows.len()).max(1);
        Source { run: self.run.id, weights: self.weights, n_tokens, head }
    }

    fn text(&self, token: usize) -> Option<&'a str> {
        self.run.token_text(self.weights.attention.lane, 0, token)
    }

    fn blocks(&self) -> Option<&'a PoolPicture> {
        self.run.lanes.get(self.weights.attention.lane)?.blocks.as_ref()
    }

    fn sequence(&self) -> Option<&'a SequencePicture> {
        self.blocks()?.sequences.first()
    }
}

const HELP: &str = "Each row is a token that was run, each column a token it can see: itself and everything before. The \
    brighter, the more it takes from there; a row adds up to 100 %. The weights are read in a pass of their own, before the \
    one that is timed.\nClick a head in the overview to see it large. Point at the large map to see one token's profile; a click pins \
    it, another click or Esc releases it. The wheel zooms, dragging moves, a double click shows all again.";
const GAP: f32 = 14.0;

/// The pane.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View) {
    if let (true, None, Some(attention)) = (run.is_trace, run.attention_of(view.lane), run.attention.first()) {
        view.lane = attention.lane;
    }
    view.release_others(run);
    if view.pinned.is_some() && ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape)) {
        view.pinned = None;
    }
    header(ui, run, view);
    let scene = match Scene::of(run, view) {
        Ok(scene) => scene,
        Err(reason) => {
            ui.add_space(ui.available_height() * 0.3);
            ui.vertical_centered(|ui| ui.label(reason));
            return;
        }
    };
    caption(ui, &scene, view);
    let space = ui.available_rect_before_wrap();
    let side = (space.height() - large::HEIGHT_AROUND).min(space.width() * 0.5).max(120.0);
    let left = (space.width() - side).mul_add(0.5, -GAP).clamp(180.0, 300.0);
    let part = |from: f32, width: f32| {
        Rect::from_min_size(pos2(space.left() + from, space.top()), vec2(width, space.height()))
    };
    ui.scope_builder(UiBuilder::new().max_rect(part(0.0, left)), |ui| {
        overview::show(ui, &scene, view);
        ui.add_space(6.0);
        profile::list(ui, &scene, view);
    });
    ui.scope_builder(UiBuilder::new().max_rect(part(left + GAP, side)), |ui| large::show(ui, &scene, view, side));
    let rest = (space.width() - left - side - 2.0 * GAP).max(0.0);
    if rest > 80.0 {
        ui.scope_builder(UiBuilder::new().max_rect(part(left + side + 2.0 * GAP, rest)), |ui| {
            profile::shaded_text(ui, &scene, view);
        });
    }
    ui.advance_cursor_after_rect(space);
}

fn header(ui: &mut Ui, run: &RunState, view: &mut View) {
    ui.horizontal_wrapped(|ui| {
        ui.strong("Attention").on_hover_text(HELP);
        lane_chooser(ui, run, view);
        let Some(attention) = run.attention_of(view.lane) else { return };
        let mut number = |name: &str, help: &str, value: &mut usize, n: usize| {
            let label = ui.label(name).on_hover_text(help);
            let mut shown = *value + 1;
            let drag = egui::DragValue::new(&mut shown).range(1..=n.max(1)).suffix(format!(" of {n}"));
            ui.add(drag).labelled_by(label.id).on_hover_text(help);
            *value = shown - 1;
        };
        let shown = view.shown(attention);
        let (mut layer, mut head) = shown;
        let of_layer = "The layer whose attention is shown large, counted from 1: each has keys and values of its own";
        number("layer", of_layer, &mut layer, attention.n_layer);
        let of_head = "The head that is shown large, counted from 1: each looks for something else in the same tokens";
        number("head", of_head, &mut head, attention.n_head);
        if (layer, head) != shown {
            view.head = Some((layer, head));
        }
        ui.selectable_value(&mut view.axis, Axis::Rows, "rows")
            .on_hover_text("Profiles of rows: what a token looks at");
        ui.selectable_value(&mut view.axis, Axis::Columns, "columns")
            .on_hover_text("Profiles of columns: who looks at a token");
        difference_switch(ui, run, view);
        if view.zoom.is_zoomed() && ui.add(Button::new("Show all")).on_hover_text("Ends the zoom").clicked() {
            view.zoom = Zoom::default();
        }
    });
}

fn lane_chooser(ui: &mut Ui, run: &RunState, view: &mut View) {
    let is_trace = run.is_trace;
    let name = |lane: usize| run.lanes.get(lane).map_or("-", |lane| lane.name.as_str());
    let choices: Vec<usize> =
        (0..run.lanes.len()).filter(|lane| !is_trace || run.attention_of(*lane).is_some()).collect();
    if is_trace && choices.len() < 2 {
        if let Some(&lane) = choices.first() {
            theme::lane_name(ui, lane, name(lane));
        }
        return;
    }
    let label = ui.label("lane");
    let chooser = ComboBox::from_id_salt("attention lane").selected_text(name(view.lane)).show_ui(ui, |ui| {
        for lane in choices {
            ui.selectable_value(&mut view.lane, lane, name(lane));
        }
    });
    chooser.response.labelled_by(label.id);
}

fn difference_switch(ui: &mut Ui, run: &RunState, view: &mut View) {
    let Some(first) = run.lanes.first().filter(|_| run.lanes.len() > 1) else { return };
    let refusal = if view.lane == 0 {
        Some("Choose another lane to compare it with the first")
    } else if run.is_trace && run.attention_of(0).is_none() {
        Some("This trace holds no attention of the first lane")
    } else {
        None
    };
    let mut is_on = view.is_compared();
    let switch = egui::Checkbox::new(&mut is_on, format!("difference to {}", first.name));
    let response = ui.add_enabled(refusal.is_none(), switch);
    if response.changed() {
        view.is_difference = is_on;
    }
    response
        .on_hover_text(
            "What this lane's weights are more or less than the first lane's. Both lanes are watched for it.",
        )
        .on_disabled_hover_text(refusal.unwrap_or_default());
}

/// What the whole map says, in a sentence.
fn caption(ui: &mut Ui, scene: &Scene<'_>, view: &mut View) {
    let line = |text: &str| Label::new(RichText::new(text).weak()).wrap_mode(TextWrapMode::Truncate);
    if let Some(first) = scene.run.lanes.first().filter(|_| view.is_compared()) {
        ui.add(line(&words::difference(scene, &first.name)));
        return;
    }
    let made_from = (scene.run.id, view.lane, scene.head.0, scene.weights.n_rows);
    if view.sinks.as_ref().is_none_or(|(from, _)| *from != made_from) {
        view.sinks = Some((made_from, words::sinks(scene)));
    }
    if let Some((_, sentence)) = &view.sinks {
        ui.add(line(sentence)).on_hover_text(words::SINKS_HELP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::worker::Facts, cache::spec::parse_lanes};
    use egui_kittest::{Harness, kittest::Queryable};

    /// Two lanes of one layer with two heads; each token looks at itself.
    fn run(n: usize) -> RunState {
        let lanes = parse_lanes("contiguous,paged:16+window:4/40").expect("lanes");
        let mut run = RunState::new(1, &lanes, 9, String::new());
        run.facts = Some(Facts { prompt_tokens: n, ..Facts::default() });
        let row = |position: usize| {
            let head = || (0..=position).map(move |key| if key == position { 255 } else { 0 });
            head().chain(head()).collect()
        };
        let state = |lane| AttentionState { lane, n_layer: 1, n_head: 2, rows: (0..n).map(row).collect() };
        run.attention = vec![state(0), state(1)];
        run
    }

    fn pane(n: usize) -> Harness<'static, View> {
        let run = run(n);
        let view = View { lane: 1, ..View::default() };
        Harness::builder().with_size([960.0, 700.0]).build_ui_state(move |ui, view| show(ui, &run, view), view)
    }

    #[test]
    fn both_lanes_are_wanted_for_a_difference_and_one_otherwise() {
        let mut view = View { lane: 2, ..View::default() };
        assert_eq!(view.lanes(), [2]);
        view.is_difference = true;
        assert_eq!(view.lanes(), [0, 2]);
        view.lane = 0;
        assert_eq!(view.lanes(), [0], "the first lane differs from itself nowhere");
    }

    #[test]
    fn esc_releases_and_another_lane_has_no_pinned_token() {
        let mut window = pane(20);
        window.run_steps(2);
        window.state_mut().pin(7);
        window.step();
        window.get_by_label("attention profile: what token 7 looks at");
        window.key_press(Key::Escape);
        window.run_steps(2);
        window.get_by_label("attention profile: what token 19 looks at");
        assert!(!window.state().is_pinned());
        window.state_mut().pin(7);
        window.state_mut().lane = 0;
        window.run_steps(2);
        assert!(!window.state().is_pinned(), "it was a token of the other lane");
    }

    #[test]
    fn a_long_run_is_a_few_shapes() {
        let mut window = pane(1_024);
        window.run_steps(4);
        window.get_by_label("attention of layer 1, head 1: 1024 rows");
        let n_shapes = window.output().shapes.len();
        assert!(n_shapes < 2_500, "{n_shapes}");
    }
}
