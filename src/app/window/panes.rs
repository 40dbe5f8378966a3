//! What the middle of the window shows.

use egui::{Panel, Ui};

use super::App;
use crate::app::{
    pane::Pane,
    panels::{self, attention, blocks, latency, memory, summary, text},
    timeline::Timeline,
};

impl App {
    pub(super) fn middle(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for pane in Pane::ALL {
                ui.selectable_value(&mut self.pane, pane, pane.name()).on_hover_text(pane.help());
            }
        });
        self.pane(ui, self.pane);
    }

    fn pane(&mut self, ui: &mut Ui, pane: Pane) {
        let run = self.timeline.as_ref().and_then(Timeline::past).unwrap_or(&self.run);
        match pane {
            Pane::Quality => self.quality(ui),
            _ if run.lanes.is_empty() => panels::status::welcome(ui),
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
        }
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
        let height = (ui.available_height() * 0.36).clamp(120.0, 260.0);
        Panel::bottom("text").resizable(true).default_size(height).size_range(100.0..=600.0).show(ui, |ui| {
            text::show(ui, run);
        });
        egui::CentralPanel::default().show(ui, |ui| {
            ui.columns(2, |columns| {
                latency::show(&mut columns[0], run, &mut self.latency);
                memory::show(&mut columns[1], run, &mut self.memory);
            });
        });
        // What is hidden in the past is hidden now.
        if let Some(past) = self.timeline.as_ref().and_then(Timeline::past) {
            let hidden = past.lanes.iter().map(|lane| lane.is_hidden);
            self.run.lanes.iter_mut().zip(hidden).for_each(|(lane, is_hidden)| lane.is_hidden = is_hidden);
        }
    }
}
