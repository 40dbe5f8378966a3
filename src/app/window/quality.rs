//! Quality in the window: begun, told, and what it leaves to the other buttons.

use super::{App, looks::Looks};
use crate::app::{
    quality::{MeasureSettings, QualityForm, QualityState},
    state::Phase,
};

impl App {
    /// The measurement of quality as the window shows it.
    #[must_use]
    pub fn quality_state(&self) -> &QualityState {
        &self.quality
    }

    /// What the next measurement is to read.
    pub fn quality_form_mut(&mut self) -> &mut QualityForm {
        &mut self.quality_form
    }

    /// Why what was asked for was not done in full.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.run.failure().or_else(|| self.quality.failure())
    }

    /// What the buttons go by: the engine does one thing at a time.
    pub(super) fn phase(&self) -> &Phase {
        if self.quality.phase.is_active() || self.run.phase == Phase::Empty {
            &self.quality.phase
        } else {
            &self.run.phase
        }
    }

    /// The settings of a measurement, or why there is none now.
    pub(super) fn check_quality(&self) -> Result<MeasureSettings, String> {
        self.check_measurement(self.quality_form)
    }

    fn check_measurement(&self, form: QualityForm) -> Result<MeasureSettings, String> {
        let settings = form.check(&self.form);
        match self.refuses_measurement() {
            Some(refusal) => Err(refusal.into()),
            None => settings,
        }
    }

    /// Why nothing can be measured now, whatever it is.
    pub(super) fn refuses_measurement(&self) -> Option<&'static str> {
        if self.is_trace() {
            Some("A trace is shown; close it to measure")
        } else if self.run.phase.is_active() {
            Some("A run is under way, and the engine does one thing at a time: let it finish, or cancel it")
        } else {
            None
        }
    }

    /// Measures what the pane is set to.
    pub(super) fn measure(&mut self) {
        self.measure_with(self.quality_form);
    }

    pub(super) fn measure_with(&mut self, form: QualityForm) {
        match self.check_measurement(form) {
            Ok(settings) => {
                let id = self.next_run;
                self.next_run += 1;
                self.quality = QualityState::new(id, settings.clone());
                match self.worker.measure(id, settings) {
                    // What the run has stored makes room for the measurement.
                    Ok(()) => (self.engine_has_run, self.looks) = (false, Looks::default()),
                    Err(message) => self.quality.fail(message),
                }
            }
            Err(message) => self.quality.fail(message),
        }
    }
}
