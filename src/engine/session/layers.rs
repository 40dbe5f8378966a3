//! A token layer by layer: how long each takes, and what the model would say if it ended there.

use std::{sync::atomic::AtomicBool, time::Instant};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::Session;
use crate::{
    cache::{KvAccess, Uncached},
    engine::EngineError,
    measure::quality::Prediction,
    model::{Gpt2, ModelError},
};

/// One layer of a forward pass, as its last token leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerStep {
    pub layer: usize,
    /// What the layer took, its attention over the cache included.
    pub secs: f64,
    /// Euclidean length of the hidden state that leaves it.
    pub norm: f64,
    /// The likeliest next token if the model ended here ([`Gpt2::head`]), and its probability.
    pub guess: u32,
    pub probability: f64,
}

impl Session {
    /// Runs the first `n_layers` layers of the next step, the prompt's or the newest token's, and forgets them: the step itself is
    /// still to be made. A step can so be followed from layer to layer, and cancelled at any.
    ///
    /// # Errors
    /// Those of [`Session::prefill`] and [`Session::decode`], and [`EngineError::NotANumber`]; nothing changes either way.
    pub fn layers(
        &mut self,
        prompt: &[u32],
        n_layers: usize,
        cancel: &AtomicBool,
    ) -> Result<Vec<LayerStep>, EngineError> {
        if self.guest.is_some() {
            return Err(EngineError::Guest);
        }
        let model = self.model.clone();
        let model = &model.model;
        let tokens = match (self.tokens.last(), &self.cache) {
            (None, _) => prompt.to_vec(),
            (Some(newest), Some(_)) => vec![*newest],
            (Some(_), None) => self.tokens.clone(),
        };
        if tokens.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        match &mut self.cache {
            None => follow(model, &tokens, &mut Uncached::new(model.config().heads(), tokens.len()), n_layers, cancel),
            Some((store, seq)) => {
                let mut step = store.reserve(&[(*seq, tokens.len())])?;
                let layers = follow(model, &tokens, &mut step, n_layers, cancel);
                step.forget();
                layers
            }
        }
    }
}

fn follow(
    model: &Gpt2,
    tokens: &[u32],
    kv: &mut dyn KvAccess,
    n_layers: usize,
    cancel: &AtomicBool,
) -> Result<Vec<LayerStep>, EngineError> {
    let mut layers = vec![];
    let mut started = Instant::now();
    let mut seen = |layer: usize, x: &Tensor| -> Result<(), ModelError> {
        model.device().synchronize()?;
        let secs = started.elapsed().as_secs_f64();
        let last = x.narrow(0, tokens.len() - 1, 1)?; // [T, E] -> [1, E], a view
        let state = last.flatten_all()?.to_vec1::<f32>()?;
        let norm = state.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let logits = model.head(&last.contiguous()?)?.get(0)?.to_vec1::<f32>()?; // [1, V] -> [V]
        // A state that is no number shows in the step itself, which says so.
        let prediction = Prediction::of(&logits);
        let (guess, probability) = prediction.map_or((0, 0.0), |p| (p.best(), p.best_probability()));
        layers.push(LayerStep { layer, secs, norm, guess: u32::try_from(guess).unwrap_or(u32::MAX), probability });
        // Looking is no part of the next layer's time.
        started = Instant::now();
        Ok(())
    };
    model.layers(tokens, kv, None, n_layers, &mut seen, cancel)?;
    Ok(layers)
}
