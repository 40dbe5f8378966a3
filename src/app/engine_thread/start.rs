//! How a run begins on the engine's thread: a model is loaded, its machine measured, and a cache built for every lane.

use std::sync::{Arc, atomic::AtomicBool};

use super::{Closed, Engine};
use crate::{
    app::worker::{Facts, RunSettings, What, device_for_people},
    experiment::{
        Experiment, Workload,
        trace::{Header, ModelShape, floor_of},
    },
    measure::{
        device::{DeviceChoice, name_of},
        machine::Machine,
    },
    model::{Calibrating, HubConfig, LoadedModel, ModelSource, Progress},
};

impl Engine {
    /// Loads the model if it is not the one at hand, and builds the lanes.
    pub(super) fn start(
        &mut self,
        run: u64,
        settings: &RunSettings,
        cancel: &AtomicBool,
    ) -> Result<Result<Experiment, String>, Closed> {
        let (model, device_note) = match self.load(run, &settings.model, settings.device, settings.offline, cancel) {
            Ok(loaded) => loaded,
            Err(message) => return Ok(Err(message)),
        };
        let Some(tokenizer) = &model.tokenizer else {
            let message = "this model has no tokenizer, so the window cannot read a prompt for it";
            return Ok(Err(message.into()));
        };
        let prompt_ids = match tokenizer.encode(&settings.prompt) {
            Ok(ids) => ids,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let workload = Workload {
            prompt_ids,
            max_new_tokens: settings.tokens,
            sampling: settings.sampling,
            prefill_chunk: settings.prefill_chunk,
            stop_at_eos: settings.stop_at_eos,
            memory_limit_bytes: settings.memory_limit_bytes,
            rehearse: true,
            forced: settings.forced,
            compares: true,
        };
        let mut calibrating = |Calibrating { done, all, .. }| {
            let _ = self.tell(run, What::Calibrating { done, all });
        };
        match Experiment::with_progress(model.clone(), &settings.lanes, workload, &mut calibrating, cancel) {
            Ok(mut experiment) => {
                let header = Header::of(&experiment, Some(settings.prompt.clone()), floor_of(&model));
                let mut facts = Facts { device_note, model_note: model.note.clone(), ..Facts::of_trace(&header) };
                facts.model_note = facts.model_note.or_else(|| experiment.model().calibrations.note());
                let watched = experiment.watch(settings.watched.iter().copied(), cancel);
                self.tell(run, What::Ready(Box::new(facts)))?;
                self.tell(run, What::Header(Box::new(header)))?;
                watched.or_else(|error| self.tell(run, What::Refused(error.to_string())))?;
                Ok(Ok(experiment))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    pub(super) fn load(
        &mut self,
        run: u64,
        source: &ModelSource,
        device_choice: DeviceChoice,
        offline: bool,
        cancel: &AtomicBool,
    ) -> Result<(Arc<LoadedModel>, Option<String>), String> {
        if let Some((device, note, model)) = &self.loaded
            && *device == device_choice
            && model.asked == *source
        {
            return Ok((model.clone(), note.clone()));
        }
        self.loaded = None; // Two models at a time might not fit.
        let (device, note) = device_choice.open().map_err(|e| e.to_string())?;
        let mut progress = |progress| {
            let what = match progress {
                Progress::Downloading { file, done_bytes, all_bytes } => {
                    What::Downloading { file, done_bytes, all_bytes }
                }
                Progress::Loading { done, all } => What::Loading { done, all },
            };
            // A closed window is noticed too: it sets the flag.
            let _ = self.tell(run, what);
        };
        let mut hub = HubConfig::from_env();
        hub.offline |= offline;
        let model = source.load_with(&hub, &device, &mut progress, cancel).map_err(|e| e.to_string())?;
        let model = Arc::new(model);
        self.loaded = Some((device_choice, note.clone(), model.clone()));
        Ok((model, note))
    }
}

/// What runs where, of a measurement that has no trace.
pub(super) fn facts(model: &LoadedModel, device_note: Option<String>) -> Facts {
    let machine = Machine::detect();
    Facts {
        model: model.source.to_string(),
        hash: model.hash.clone(),
        shape: Some(ModelShape::of(model)),
        device: device_for_people(&name_of(model.model.device())),
        device_note,
        model_note: model.note.clone(),
        cpu: machine.cpu,
        threads: machine.threads,
        ..Facts::default()
    }
}
