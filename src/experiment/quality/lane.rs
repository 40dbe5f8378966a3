//! One lane of a quality run: a store with a sequence per passage.

use std::sync::atomic::AtomicBool;

use crate::{
    cache::{CacheSpec, KvStore, SeqId, StoreConfig},
    engine::EngineError,
    measure::quality::Prediction,
    model::{Gpt2, LoadedModel, Logits},
};

use super::tally::Tally;

pub(super) struct LaneRun {
    store: KvStore,
    /// Of the passages that are read together, in their order.
    sequences: Vec<SeqId>,
    pub tally: Tally,
    /// The newest token that each passage's generation picked.
    pub picked: Vec<u32>,
    /// The generated token at which each passage left the exact lane's text.
    pub parted: Vec<Option<usize>>,
    pub failed: Option<String>,
}

impl LaneRun {
    /// Levels that the lane needs are found now, unless somebody asked for them before ([`LoadedModel::calibrated`]).
    pub fn new(model: &LoadedModel, spec: CacheSpec, config: StoreConfig) -> Result<Self, EngineError> {
        let calibrated = model.calibrated(spec, &mut |_| {}, &AtomicBool::new(false))?;
        let calibration = calibrated.as_ref().map(|calibrated| &calibrated.calibration);
        let store = KvStore::on(model.model.device(), spec, model.model.config().kv_shape(), config, calibration)?;
        let (picked, parted) = (vec![], vec![]);
        Ok(Self { store, sequences: vec![], tally: Tally::default(), picked, parted, failed: None })
    }

    /// A sequence for each of `n` passages; those that are open stay.
    pub fn open(&mut self, n: usize) -> Result<(), EngineError> {
        while self.sequences.len() < n {
            self.sequences.push(self.store.open()?);
        }
        Ok(())
    }

    /// Ends all sequences.
    pub fn close(&mut self) -> Result<(), EngineError> {
        while let Some(seq) = self.sequences.pop() {
            self.store.close(seq)?;
        }
        Ok(())
    }

    /// Counts what the store holds now, for all the tokens that went through it.
    pub fn weigh(&mut self) -> Result<(), EngineError> {
        let mut tokens = 0;
        for seq in &self.sequences {
            tokens += self.store.len(*seq)?;
        }
        self.tally.weigh(&self.store.footprint(), tokens);
        Ok(())
    }

    /// One forward pass over `(index of a passage, its new tokens)`, and what is predicted after each.
    ///
    /// The pass is the end of a prompt for retention: the prompt is read in one, and every later token is.
    pub fn predict(
        &mut self,
        model: &Gpt2,
        batch: &[(usize, &[u32])],
        cancel: &AtomicBool,
    ) -> Result<Vec<Prediction>, EngineError> {
        let requests: Vec<_> = batch.iter().map(|(index, new)| (self.sequences[*index], new.len())).collect();
        let tokens: Vec<u32> = batch.iter().flat_map(|(_, new)| new.iter().copied()).collect();
        let mut step = self.store.reserve(&requests)?;
        let logits = model.forward(&tokens, &mut step, None, Logits::Last, cancel)?;
        let rows: Vec<Vec<f32>> = logits.to_vec2()?; // [passages, V]
        let predictions = rows.iter().map(|row| Prediction::of(row)).collect::<Option<_>>();
        let predictions = predictions.ok_or(EngineError::NotANumber)?;
        step.commit(true)?;
        Ok(predictions)
    }
}
