//! Quality on the engine's thread: a step at a time, between commands.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use super::{Active, Closed, Engine, start::facts};
use crate::{
    app::{
        quality::{MeasureSettings, QualityReport},
        worker::What,
    },
    experiment::quality::QualityRun,
    model::{Calibrating, ModelSource, Passage},
};

/// The numbers so far are told this often: a person reads no faster, and the medians in them cost a sort.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// A measurement under way.
pub(super) struct Measuring {
    pub run: u64,
    quality: QualityRun,
    cancel: Arc<AtomicBool>,
    told: Instant,
}

impl Measuring {
    pub fn report(&self) -> QualityReport {
        let (all_steps, done_steps) = self.quality.progress();
        QualityReport {
            done_steps,
            all_steps,
            story: self.quality.reading().end,
            stories: self.quality.passages().len(),
            lanes: self.quality.summaries(),
            positions: (0..self.quality.lanes().len()).map(|lane| self.quality.positions(lane)).collect(),
        }
    }
}

impl Engine {
    /// Loads the model if it is not the one at hand, and builds the lanes.
    pub(super) fn measure(
        &mut self,
        run: u64,
        settings: &MeasureSettings,
        cancel: &Arc<AtomicBool>,
    ) -> Result<Result<Active, String>, Closed> {
        let asked = settings.quality;
        let (model, device_note) = match self.load(run, &ModelSource::Story, settings.device, true, cancel) {
            Ok(loaded) => loaded,
            Err(message) => return Ok(Err(message)),
        };
        let mut passages = match Passage::held_out_stories() {
            Ok(stories) => stories,
            Err(error) => return Ok(Err(error.to_string())),
        };
        passages.truncate(asked.stories);
        for story in &mut passages {
            story.truncate(asked.tokens);
        }
        let mut facts = facts(&model, device_note);
        let mut tell = |Calibrating { done, all, .. }| {
            let _ = self.tell(run, What::Calibrating { done, all });
        };
        match QualityRun::with_progress(model, &settings.lanes, passages, asked.settings, &mut tell, cancel) {
            Ok(quality) => {
                facts.model_note = facts.model_note.or_else(|| quality.model().calibrations.note());
                self.tell(run, What::Ready(Box::new(facts)))?;
                let told = Instant::now();
                Ok(Ok(Active::Quality(Box::new(Measuring { run, quality, cancel: cancel.clone(), told }))))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// One forward pass of one lane.
    pub(super) fn step_quality(&mut self) -> Result<(), Closed> {
        let Some(Active::Quality(measuring)) = &mut self.active else { return Ok(()) };
        let end = match measuring.quality.step(&measuring.cancel) {
            Ok(Some(_)) if measuring.told.elapsed() < REPORT_INTERVAL => return Ok(()),
            Ok(Some(_)) => None,
            Ok(None) => Some(What::Finished),
            Err(error) if error.is_cancelled() => Some(What::Cancelled),
            Err(error) => {
                Some(What::Failed(format!("the exact lane failed, and nothing can be measured without it: {error}")))
            }
        };
        measuring.told = Instant::now();
        let (run, report) = (measuring.run, measuring.report());
        self.tell(run, What::Quality(Box::new(report)))?;
        match end {
            Some(end) => {
                self.active = None;
                self.tell(run, end)
            }
            None => Ok(()),
        }
    }
}
