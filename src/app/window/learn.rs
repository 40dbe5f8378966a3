//! Guided tours beside the panes: what a step asks for is done here.

use egui::{Panel, Ui};

use super::App;
use crate::app::{
    learn::{Learn, LearnAction, Seen, Setup},
    notes::NoteKind,
    pane::Pane,
    panels,
    panels::controls::Action,
    state::Phase,
};
use crate::{cache::Lane, experiment::DEFAULT_PROMPT};

impl App {
    /// The panel at the right, while somebody learns.
    pub(super) fn learn(&mut self, ui: &mut Ui) {
        if !self.learns {
            return;
        }
        let mut action = None;
        Panel::right("learn").default_size(340.0).size_range(300.0..=420.0).show(ui, |ui| {
            let seen = Seen {
                run: self.timeline.as_ref().and_then(|t| t.past()).unwrap_or(&self.run),
                quality: &self.quality,
            };
            action = panels::learn::show(ui, &mut self.lessons, &seen);
        });
        if let Some(action) = action {
            self.act_on_lesson(action);
        }
    }

    pub(super) fn toggle_learn(&mut self) {
        self.learns = !self.learns;
    }

    fn act_on_lesson(&mut self, action: LearnAction) {
        match action {
            LearnAction::Show(pane) => self.pane = pane.parse().unwrap_or(self.pane),
            LearnAction::Run(setup) => {
                self.set_up(setup);
                self.act(Action::Run);
            }
            // A step of a run that is not at rest would begin it anew.
            LearnAction::Step if self.run.phase == Phase::Paused || !self.run.phase.is_active() => {
                self.act(Action::Step);
            }
            LearnAction::Step => {}
            LearnAction::Fork => {
                let is_paged = |lane: &crate::app::state::LaneState| lane.name.starts_with("paged");
                if let Some(lane) = self.run.lanes.iter().position(is_paged) {
                    self.blocks.lane = lane;
                    match self.fork_refusal() {
                        Some(refusal) => {
                            self.notes.push(NoteKind::Warning, refusal);
                        }
                        None => self.fork(),
                    }
                }
            }
            LearnAction::MeasureQuality(lanes) => {
                if let Some(refusal) = self.refuses_measurement() {
                    self.notes.push(NoteKind::Warning, refusal);
                    return;
                }
                lanes.clone_into(&mut self.form.lanes);
                "story".clone_into(&mut self.form.model);
                self.pane = Pane::Quality;
                self.measure();
            }
        }
    }

    /// A tour's run is the same for everybody: the story model, greedy, at full speed.
    fn set_up(&mut self, setup: Setup) {
        self.close_trace();
        let fresh = crate::app::form::Form::default();
        self.form = crate::app::form::Form {
            lanes: setup.lanes.into(),
            tokens: setup.tokens,
            prompt: setup.prompt.unwrap_or(DEFAULT_PROMPT).into(),
            forced: setup.forced,
            device: self.form.device,
            offline: self.form.offline,
            ..fresh
        };
    }

    /// How far somebody is, as it was kept.
    pub(super) fn learn_from(&mut self, kept: Option<serde_json::Value>) {
        self.lessons = kept.and_then(|kept| serde_json::from_value::<Learn>(kept).ok()).unwrap_or_default();
    }

    pub(super) fn learn_value(&self) -> Option<serde_json::Value> {
        serde_json::to_value(&self.lessons).ok()
    }

    /// The lanes of the run, or of the form where there is none, without those that store nothing.
    pub(super) fn cached_lanes(&self) -> String {
        let lanes = crate::cache::spec::parse_lanes(&self.form.lanes).unwrap_or_default();
        let names: Vec<String> =
            lanes.iter().filter(|lane| matches!(lane, Lane::Cache(_))).map(Lane::to_string).collect();
        names.join(",")
    }
}
