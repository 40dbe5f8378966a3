//! What the middle of the window shows.

use egui::{Align, ComboBox, Layout, Panel, Role, Ui, WidgetInfo};

use super::App;
use crate::app::{
    floor::MachineFloor,
    pane::Pane,
    panels::{self, attention, blocks, controls::Action, files::Task, latency, memory, summary, text, welcome::Begin},
    shared::{Mark, Shared},
    spots,
    state::{LaneState, Phase, RunState, Switch},
    timeline::Timeline,
    units,
};
use crate::{cache::spec::parse_lanes, measure::floor::Floor};

impl App {
    pub(super) fn middle(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for pane in Pane::ALL {
                ui.selectable_value(&mut self.pane, pane, pane.name()).on_hover_text(pane.help());
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| self.choose_beside(ui));
        });
        if let Some(beside) = self.beside.filter(|beside| *beside != self.pane) {
            let width = ui.available_width();
            Panel::right("beside").default_size(width * 0.5).size_range(width * 0.2..=width * 0.8).show(ui, |ui| {
                self.pane(ui, beside);
            });
        }
        egui::CentralPanel::default().show(ui, |ui| self.pane(ui, self.pane));
    }

    /// A second pane beside the first.
    fn choose_beside(&mut self, ui: &mut Ui) {
        let name = self.beside.map_or("Beside", Pane::name);
        let menu = ui.menu_button(name, |ui| {
            for pane in std::iter::once(None).chain(Pane::ALL.map(Some)) {
                let name = pane.map_or_else(|| "with nothing".to_owned(), |pane| format!("with {}", pane.name()));
                if ui.selectable_label(self.beside == pane, name).clicked() {
                    self.beside = pane;
                    ui.close();
                }
            }
        });
        menu.response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "pane beside"));
        menu.response.on_hover_text("A second pane at the right of the first");
    }

    fn pane(&mut self, ui: &mut Ui, pane: Pane) {
        let run = self.timeline.as_ref().and_then(Timeline::past).unwrap_or(&self.run);
        match pane {
            Pane::Quality => self.quality(ui),
            Pane::Plan => {
                let lanes = self.cached_lanes();
                let board = parse_lanes(&self.form.lanes).unwrap_or_default();
                panels::planner::show(ui, &mut self.planner, &lanes, &board);
            }
            Pane::Labs => self.show_labs(ui),
            _ if run.lanes.is_empty() || (run.phase.is_active() && run.facts.is_none()) => self.welcome(ui),
            Pane::Cost => self.cost(ui),
            Pane::Attention => attention::show(ui, run, &mut self.attention),
            Pane::Blocks => {
                let refusal = self.fork_refusal();
                let run = self.timeline.as_ref().and_then(Timeline::past).unwrap_or(&self.run);
                if blocks::show(ui, run, &mut self.blocks, refusal) {
                    self.fork();
                }
            }
            Pane::Layers => panels::layers::show(ui, run),
            Pane::Numbers => self.numbers(ui),
        }
    }

    fn welcome(&mut self, ui: &mut Ui) {
        match panels::welcome::show(ui, self.run.phase.is_active()) {
            Some(Begin::Run(preset)) => {
                self.form.choose(preset);
                self.act(Action::Run);
            }
            Some(Begin::Learn) => self.toggle_learn(),
            Some(Begin::Open) => self.ask(Task::Open),
            None => {}
        }
    }

    fn numbers(&mut self, ui: &mut Ui) {
        let run = &self.run;
        ui.horizontal(|ui| {
            let label = ui.label("lane");
            let name = |lane: usize| run.lanes.get(lane).map_or("-", |lane| lane.name.as_str());
            let chooser = ComboBox::from_id_salt("numbers lane").selected_text(name(self.inside_lane));
            let chooser = chooser.show_ui(ui, |ui| {
                for lane in 0..run.lanes.len() {
                    ui.selectable_value(&mut self.inside_lane, lane, name(lane));
                }
            });
            chooser.response.labelled_by(label.id);
        });
        let lane = self.inside_lane;
        let Some(state) = run.lanes.get(lane) else { return };
        let possible = match run.phase {
            _ if self.timeline.as_ref().is_some_and(Timeline::is_trace) => {
                Err("A trace holds no keys and values. Run the lanes here to look into them")
            }
            _ if self.timeline.as_ref().is_some_and(|timeline| timeline.past().is_some()) => {
                Err("The past is shown; what is stored is known of the newest moment only (press To the end)")
            }
            Phase::Paused => Ok(()),
            Phase::Finished if self.can_look() => Ok(()),
            Phase::Finished => Err("The measurement of quality has taken the place of what the run stored; run again"),
            ref phase if phase.is_active() => Err("Pause the run to look at what it stored"),
            _ => Err("The run is gone; run again, and pause or let it finish"),
        };
        let facts = run.facts.as_ref();
        let (n_layer, n_head) =
            facts.and_then(|facts| facts.shape).map_or((0, 0), |shape| (shape.n_layer, shape.n_head));
        // The newest token is stored with the next step.
        let prompt_tokens = facts.map_or(0, |facts| facts.prompt_tokens);
        let stored_tokens = state.records.len().checked_sub(1).map_or(0, |generated| prompt_tokens + generated);
        let token_text = |position: usize| run.token_text(lane, 0, position);
        let inspection = self.inspection.as_ref().filter(|(of, _)| *of == lane).map(|(_, found)| found);
        let context = panels::inside::Context {
            lane,
            name: &state.name,
            n_layer,
            n_head,
            stored_tokens,
            token_text: &token_text,
            inspection,
            possible,
        };
        let ask = panels::inside::show(ui, &mut self.inside, context);
        if let Some(ask) = ask {
            self.looks.want(lane, ask);
        }
        self.look();
    }

    fn quality(&mut self, ui: &mut Ui) {
        let refusal = self.check_quality().err();
        let run = self.timeline.as_ref().and_then(Timeline::past).unwrap_or(&self.run);
        let (form, view) = (&mut self.quality_form, &mut self.quality_view);
        if let Some(asked) = panels::quality::show(ui, run, &self.quality, form, view, refusal.as_deref()) {
            self.measure_with(asked);
        }
    }

    fn cost(&mut self, ui: &mut Ui) {
        let run = match self.timeline.as_mut().and_then(Timeline::past_mut) {
            Some(past) => past,
            None => &mut self.run,
        };
        Panel::top("summary").show(ui, |ui| summary::show(ui, run));
        let height = (ui.available_height() * 0.3).clamp(110.0, 260.0);
        Panel::bottom("text").resizable(true).default_size(height).size_range(100.0..=600.0).show(ui, |ui| {
            text::show(ui, run);
        });
        let shared = shared(run);
        egui::CentralPanel::default().show(ui, |ui| {
            ui.columns(2, |columns| {
                spots::mark(columns[0].ctx(), spots::LATENCY, columns[0].available_rect_before_wrap());
                spots::mark(columns[1].ctx(), spots::MEMORY, columns[1].available_rect_before_wrap());
                latency::show(&mut columns[0], run, &mut self.latency, &shared);
                memory::show(&mut columns[1], run, &mut self.memory, &shared);
            });
        });
        // What is hidden in the past is hidden now.
        if let Some(past) = self.timeline.as_ref().and_then(Timeline::past) {
            let hidden = past.lanes.iter().map(|lane| lane.is_hidden);
            self.run.lanes.iter_mut().zip(hidden).for_each(|(lane, is_hidden)| lane.is_hidden = is_hidden);
        }
    }
}

/// What the plots show beside the run itself: what the machine can do at best, and where lanes were given other caches.
fn shared(run: &RunState) -> Shared {
    let floor = run.facts.as_ref().and_then(|facts| facts.floor);
    let machine =
        floor.map(|Floor { read_bytes_per_sec, flops_per_sec }| MachineFloor { read_bytes_per_sec, flops_per_sec });
    let of_lane = |(lane, state): (usize, &LaneState)| -> Vec<Mark> {
        let names = state.switches.iter().skip(1).map(|next| next.from.as_str()).chain([state.name.as_str()]);
        let mark = |(switch, name): (&Switch, &str)| {
            let millis = units::millis(switch.secs);
            let text = format!("{} became {name}: {} tokens run again in {millis} ms", switch.from, switch.tokens_in);
            Mark { lane, step: switch.step, text }
        };
        state.switches.iter().zip(names).map(mark).collect()
    };
    Shared { machine, marks: run.lanes.iter().enumerate().flat_map(of_lane).collect() }
}
