//! Traces and moments: opened, dropped on the window, scrubbed, closed.

use egui::{Context, Panel, Ui};

use super::App;
use crate::app::{
    panels::{
        self,
        timeline::{TimelineAction, show},
    },
    recording::lane_of,
    state::RunState,
    timeline::Timeline,
};

impl App {
    /// Shows a trace in place of a run, which ends; `end` is the trace's run at its end.
    pub(super) fn show_trace(&mut self, trace: Timeline, end: RunState) {
        self.engine_has_run = false;
        self.tell(|worker| worker.forget());
        self.quality.give_way();
        self.forget_inspection();
        let id = self.next_run;
        self.next_run += 1;
        self.run = RunState { id, is_trace: true, ..end };
        let lanes: Vec<_> = self.run.lanes.iter().filter_map(|lane| lane_of(&lane.name)).collect();
        if lanes.len() == self.run.lanes.len() {
            self.choose_lanes(&lanes);
        }
        self.quality_view = panels::quality::View::live();
        self.timeline = Some(trace);
    }

    /// Opens a trace that was dropped on the window.
    pub(super) fn take_dropped(&mut self, ctx: &Context) {
        if let Some(path) = ctx.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_path_buf())) {
            self.open(ctx, path);
        }
    }

    /// The bar at the bottom, and its keys.
    pub(super) fn timeline_bar(&mut self, ui: &mut Ui) {
        let Some(timeline) = &self.timeline else { return };
        let mut chosen = None;
        let shown = timeline.past().unwrap_or(&self.run);
        Panel::bottom("timeline").show(ui, |ui| chosen = show(ui, timeline, shown).or(chosen));
        if let Some(chosen) = chosen {
            self.act_on_timeline(chosen);
        }
    }

    fn act_on_timeline(&mut self, action: TimelineAction) {
        let Some(timeline) = &mut self.timeline else { return };
        match action {
            TimelineAction::Toggle => timeline.toggle(&self.run),
            TimelineAction::Back => timeline.step(false, &self.run),
            TimelineAction::Forward => timeline.step(true, &self.run),
            TimelineAction::Seek(round) => timeline.seek(round, &self.run),
            TimelineAction::Speed(rounds_per_sec) => timeline.rounds_per_sec = rounds_per_sec,
            TimelineAction::Close => self.close_trace(),
        }
    }

    /// Back to live runs.
    pub(super) fn close_trace(&mut self) {
        if self.is_trace() {
            self.timeline = None;
            self.forget_inspection();
            self.run = RunState::default();
            // The next run has other lanes; it chooses anew.
            (self.attention.lane, self.blocks.lane) = (usize::MAX, usize::MAX);
        }
    }

    /// True while an earlier moment is shown.
    pub(super) fn is_past(&self) -> bool {
        self.timeline.as_ref().is_some_and(|timeline| timeline.past().is_some())
    }

    pub(super) fn toggle_timeline(&mut self) {
        self.act_on_timeline(TimelineAction::Toggle);
    }

    pub(super) fn step_timeline(&mut self, is_forward: bool) {
        self.act_on_timeline(if is_forward { TimelineAction::Forward } else { TimelineAction::Back });
    }

    pub(super) fn seek(&mut self, round: usize) {
        self.act_on_timeline(TimelineAction::Seek(round));
    }
}
