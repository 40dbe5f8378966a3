//! What the engine says: taken in, written down, shown.

use std::time::{Duration, Instant};

use egui::Context;

use super::{App, looks::Looks};
use crate::{
    app::{
        recording::Recording,
        timeline::Timeline,
        worker::{Event, What},
    },
    experiment::{LaneEvent, trace},
};

/// A frame spends at most this long on events; what is left waits for the next frame.
const EVENT_BUDGET: Duration = Duration::from_millis(4);

impl App {
    pub(super) fn drain(&mut self, ctx: &Context) {
        let started = Instant::now();
        loop {
            match self.worker.poll() {
                Ok(Some(event)) if event.run == self.quality.id => self.quality.apply(event),
                Ok(Some(event)) => self.take(event),
                Ok(None) => return,
                Err(message) => {
                    if self.quality.phase.is_active() {
                        self.quality.fail(message);
                    } else if self.run.phase.is_active() {
                        self.run.fail(message);
                    }
                    return;
                }
            }
            if started.elapsed() > EVENT_BUDGET {
                ctx.request_repaint();
                return;
            }
        }
    }

    /// What happened in the run: written down, and shown.
    fn take(&mut self, event: Event) {
        if event.run != self.run.id {
            return;
        }
        if matches!(event.what, What::Cancelled | What::Failed(_)) {
            self.engine_has_run = false;
            self.looks = Looks::default();
        }
        // A refusal may be the answer to a look; if it is none, the next look only comes a little early.
        if matches!(event.what, What::Inspected { .. } | What::Refused(_)) {
            self.looks.answered();
        }
        if matches!(event.what, What::Lane(LaneEvent::Switched { .. })) {
            self.forget_inspection();
        }
        match (&event.what, &mut self.timeline) {
            (What::Header(header), _) => self.timeline = Some(Timeline::live(Recording::new((**header).clone()))),
            (What::Lane(happened), Some(timeline)) => timeline.push(happened.clone()),
            (What::Finished, Some(timeline)) => timeline.end(trace::Outcome::Finished),
            (What::Inspected { lane, inspection }, _) => self.inspection = Some((*lane, (**inspection).clone())),
            (What::Cancelled, Some(timeline)) => timeline.end(trace::Outcome::Cancelled),
            (What::Failed(_), Some(timeline)) => timeline.end(trace::Outcome::Failed),
            _ => {}
        }
        let before = self.run.phase.clone();
        self.run.apply(event);
        self.announce(&before);
    }
}
