//! A lane goes on in another cache.

use std::sync::atomic::AtomicBool;

use super::{Experiment, ExperimentError, LaneEvent, with_forks};
use crate::{
    cache::{KvStore, Lane},
    engine::{EngineError, LayerStep, Session, SessionConfig},
    measure::machine::available_memory_bytes,
    model::Calibrating,
};

impl Experiment {
    /// Gives a lane another cache, between two rounds: its tokens so far are run again as a prompt ([`Session::take_over`]), and it goes on
    /// with them. Its forks end. `calibrating` is told of a search for levels, as in [`Experiment::with_progress`].
    ///
    /// # Errors
    /// [`ExperimentError::CannotSwitch`] with the reason; the lane is as it was then. [`EngineError::is_cancelled`].
    pub fn switch(
        &mut self,
        index: usize,
        lane: Lane,
        calibrating: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<(), ExperimentError> {
        let named = self.lanes.get(index).map_or_else(|| index.to_string(), |run| run.session.lane().to_string());
        let refuse = |reason: String| ExperimentError::CannotSwitch { lane: named.clone(), reason };
        match self.lanes.get(index) {
            None => return Err(refuse("there is no such lane".into())),
            Some(run) if run.end.is_some() => return Err(refuse("it has ended".into())),
            Some(_) if !self.at_round_start() => {
                return Err(refuse("pause first, so that all lanes have the same number of tokens".into()));
            }
            Some(_) => {}
        }
        let explain = |error: EngineError| if error.is_cancelled() { error.into() } else { refuse(error.to_string()) };
        if let (Some(needed), Some(free)) = (self.switch_bytes(lane).map_err(explain)?, available_memory_bytes())
            && needed > free
        {
            return Err(refuse(format!(
                "`{lane}` reserves {} MiB, and {} MiB of memory are free",
                needed >> 20,
                free >> 20
            )));
        }
        let mut session = self.session_for(lane, calibrating, cancel).map_err(explain)?;
        let taken = session.take_over(&mut self.lanes[index].session, cancel).map_err(explain)?;
        let open_forks = self.lanes[index].insight.forks.iter().enumerate();
        let open_forks: Vec<usize> = open_forks.filter(|(_, fork)| !fork.has_ended).map(|(fork, _)| fork).collect();
        for fork in open_forks {
            self.end_fork(index, fork, "its lane was given another cache".into())?;
        }
        let run = &mut self.lanes[index];
        run.session = session;
        run.insight = run.insight.after_switch(taken.tokens_in);
        let step = run.session.generated().len();
        let name = self.free_name(index, lane);
        self.names[index].clone_from(&name);
        self.queue.push_back(LaneEvent::Switched {
            lane: index,
            step,
            name,
            tokens_in: taken.tokens_in,
            secs: taken.secs,
        });
        self.tell_blocks(index)?;
        Ok(())
    }

    fn switch_bytes(&self, lane: Lane) -> Result<Option<u64>, EngineError> {
        let Lane::Cache(spec) = lane else { return Ok(None) };
        let shape = self.model.model.config().kv_shape();
        Ok(Some(KvStore::pool_bytes(spec, shape, self.session_config.store)?))
    }

    fn session_for(
        &self,
        lane: Lane,
        calibrating: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<Session, EngineError> {
        let shape = self.model.model.config().kv_shape();
        let mut store = self.session_config.store;
        if let Lane::Cache(spec) = lane {
            self.model.calibrated(spec, calibrating, cancel)?;
            store = with_forks(lane, shape, store)?;
        }
        Session::new(self.model.clone(), lane, SessionConfig { store, ..self.session_config })
    }

    /// The first layers of the step that a lane is to make next, without making it ([`Session::layers`]), and the text of what each would say.
    /// Nothing for a lane that has ended.
    ///
    /// # Errors
    /// Those of a forward pass.
    pub fn layers(
        &mut self,
        index: usize,
        n_layers: usize,
        cancel: &AtomicBool,
    ) -> Result<Vec<(LayerStep, String)>, EngineError> {
        if self.lanes.get(index).is_none_or(|run| run.end.is_some()) || self.feed(index).is_err() {
            return Ok(vec![]);
        }
        let layers = self.lanes[index].session.layers(&self.workload.prompt_ids, n_layers, cancel)?;
        let text = |layer: &LayerStep| self.model.pieces(&[layer.guess]).pop().unwrap_or_default();
        Ok(layers.into_iter().map(|layer| (layer, text(&layer))).collect())
    }
}
