//! What the window system calls, and when a picture can be taken.

use egui::{Context, Ui};

use super::App;
use crate::app::{pane::Pane, state::Phase};

impl App {
    /// True when the window shows all that its options asked for.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.run.phase.is_over() || self.quality.phase.is_over() || self.is_trace()
    }
}

impl App {
    /// True while a pane that is shown waits for an answer, which a picture should show.
    #[must_use]
    pub fn waits(&self) -> bool {
        let shows = |pane| self.pane == pane || self.beside == Some(pane);
        let can_look = self.can_look() && self.run.error.is_none() && !self.run.lanes.is_empty();
        let attention = shows(Pane::Attention) && self.run.attention_of(self.attention.lane).is_none();
        let numbers = shows(Pane::Numbers) && self.inspection.is_none();
        self.waits_for_labs() || (can_look && (attention || numbers))
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.update(ctx);
    }

    /// Nobody points at a window that takes its own picture: where the pointer happens to be is no part of it.
    fn raw_input_hook(&mut self, _ctx: &Context, raw_input: &mut egui::RawInput) {
        if self.screenshot.is_some() {
            raw_input.events.retain(|event| !matches!(event, egui::Event::PointerMoved(_)));
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        if let Some(ctx) = self.context.clone() {
            self.keep_run();
            self.remember(&ctx, true);
        }
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        let is_busy = matches!(self.phase(), Phase::Running | Phase::Measuring);
        if let Some(times) = &mut self.frame_times {
            times.push(frame.info().cpu_usage, is_busy);
        }
        self.show(ui);
        self.bench_frame(ui.ctx(), frame.info().cpu_usage);
        if self.has_settled() {
            let failure = self.failure();
            if let Some(screenshot) = &mut self.screenshot {
                screenshot.frame(ui.ctx(), failure);
            }
        }
    }
}
