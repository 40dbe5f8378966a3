//! Traces in the window: opened, dropped on it, scrubbed, closed.

use std::{
    sync::mpsc::{self, Receiver},
    thread,
};

use egui::{Context, Key, Modifiers};

use super::App;
use crate::{
    app::{
        panels::replay::ReplayAction,
        replay::{Replay, lane_of},
        state::RunState,
    },
    cache::Lane,
};

impl App {
    /// Shows a trace in place of a run, which ends.
    pub(super) fn show_replay(&mut self, replay: Replay) {
        self.tell(|worker| worker.forget());
        self.quality.give_way();
        self.run = replay.state();
        let lanes: Vec<Lane> = self.run.lanes.iter().filter_map(|lane| lane_of(&lane.name)).collect();
        if lanes.len() == self.run.lanes.len() {
            self.choose_lanes(&lanes);
        }
        self.replay = Some(replay);
    }

    /// Opens a trace that was dropped on the window, on a thread of its own, and shows it once it is read.
    pub(super) fn take_dropped(&mut self, ctx: &Context) {
        if let Some(path) = ctx.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_path_buf())) {
            let id = self.next_run;
            self.next_run += 1;
            let (window, (sender, receiver)) = (ctx.clone(), mpsc::channel());
            let open = move || {
                let replay = Replay::open(&path, id);
                let _ = sender.send(replay.map_err(|error| format!("{} cannot be opened: {error}", path.display())));
                window.request_repaint();
            };
            match thread::Builder::new().name("trace".into()).spawn(open) {
                Ok(_) => self.opening = Some(receiver),
                Err(error) => self.run.error = Some(format!("the trace cannot be opened: {error}")),
            }
        }
        match self.opening.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(replay))) => self.show_replay(replay),
            Some(Ok(Err(message))) => self.run.error = Some(message),
            _ => return,
        }
        self.opening = None;
    }

    pub(super) fn act_on_replay(&mut self, action: ReplayAction) {
        let Some(replay) = &mut self.replay else { return };
        match action {
            ReplayAction::Toggle => replay.toggle(&mut self.run),
            ReplayAction::Back => replay.step(false, &mut self.run),
            ReplayAction::Forward => replay.step(true, &mut self.run),
            ReplayAction::Seek(round) => replay.seek(round, &mut self.run),
            ReplayAction::Close => {
                self.replay = None;
                self.run = RunState::default();
                // The next run has other lanes; it chooses anew.
                (self.attention.lane, self.blocks.lane) = (usize::MAX, usize::MAX);
            }
        }
    }

    /// Space plays and pauses, the arrows step.
    pub(super) fn replay_keys(ctx: &Context) -> Option<ReplayAction> {
        if ctx.memory(|memory| memory.focused().is_some()) {
            return None;
        }
        let keys = [
            (Key::Space, ReplayAction::Toggle),
            (Key::ArrowLeft, ReplayAction::Back),
            (Key::ArrowRight, ReplayAction::Forward),
        ];
        let pressed = |(key, _): &(Key, ReplayAction)| ctx.input_mut(|input| input.consume_key(Modifiers::NONE, *key));
        keys.into_iter().find(pressed).map(|(_, action)| action)
    }
}
