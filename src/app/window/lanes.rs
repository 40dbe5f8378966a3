//! The lanes that panes of one lane show, and forks of them.

use super::App;
use crate::{
    cache::{Format, Lane, Layout},
    engine::MAX_FORKS,
};

impl App {
    /// The lanes that the panes of one lane begin with: one that has something to show there.
    pub(super) fn choose_lanes(&mut self, lanes: &[Lane]) {
        let is_cached = |lane: &Lane| matches!(lane, Lane::Cache(_));
        let is_paged = |lane: &Lane| matches!(lane, Lane::Cache(spec) if matches!(spec.layout, Layout::Paged { .. }));
        let first = |wanted: &dyn Fn(&Lane) -> bool| lanes.iter().position(wanted);
        let cached = first(&is_cached).unwrap_or(0);
        if !lanes.get(self.attention.lane).is_some_and(is_cached) {
            self.attention.lane = cached;
        }
        // Numbers are worth looking at where something is lost.
        let is_lossy = |lane: &Lane| matches!(lane, Lane::Cache(spec) if spec.format != Format::F32);
        if !lanes.get(self.inside_lane).is_some_and(is_lossy) {
            self.inside_lane = first(&is_lossy).unwrap_or(cached);
        }
        if !lanes.get(self.blocks.lane).is_some_and(is_paged) {
            self.blocks.lane = first(&is_paged).unwrap_or(cached);
        }
    }

    pub(super) fn fork(&mut self) {
        let lane = self.blocks.lane;
        self.tell(|worker| worker.fork(lane));
    }

    /// Why the lane that is shown cannot be forked now.
    pub(super) fn fork_refusal(&self) -> Option<&'static str> {
        let lane = self.run.lanes.get(self.blocks.lane);
        if self.is_trace() {
            Some("A trace has happened; only a live run can be forked")
        } else if self.is_past() {
            Some("The past is shown, and a fork begins at the newest token: press To the end first")
        } else if !self.run.phase.is_active() || lane.is_none_or(|lane| lane.records.is_empty() || lane.end.is_some()) {
            Some("Only a run under way can be forked; pause it to choose the moment")
        } else if lane.is_some_and(|lane| !lane.name.starts_with("paged")) {
            Some("Only blocks of a pool can be shared; choose a lane paged:B")
        } else if lane.is_some_and(|lane| lane.forks.iter().filter(|fork| fork.end.is_none()).count() >= MAX_FORKS) {
            Some("The lane has as many forks as its store has room for")
        } else {
            None
        }
    }
}
