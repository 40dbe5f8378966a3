//! What several test binaries need. Each uses a part of it.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

pub mod codecs;
pub mod command;
#[cfg(feature = "hub")]
pub mod hub_lab;
#[cfg(feature = "hub")]
pub mod hub_server;
pub mod lanes;
pub mod published;
pub mod small;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{KvStore, SeqId, StoreConfig, Uncached},
    model::{Calibrations, Gpt2, LoadedModel, Logits, ModelSource},
};

pub static NEVER: AtomicBool = AtomicBool::new(false);

pub const GOLDENS: [&str; 3] = ["gpt2-2l-2h-16d", "gpt2-2l-2h-128d", "gpt2-3l-4h-64d"];

pub fn golden_folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

pub fn golden_model(name: &str) -> Arc<LoadedModel> {
    let source = ModelSource::Folder(golden_folder(name));
    Arc::new(load(&source))
}

/// A model that keeps nothing of its own on this machine.
pub fn load(source: &ModelSource) -> LoadedModel {
    let model = source.load(&Device::Cpu, &mut |_| {}, &NEVER).expect("a model");
    LoadedModel { calibrations: Calibrations::kept_in(None), ..model }
}

pub fn reference(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden_folder(name).join("reference.safetensors"), &Device::Cpu).expect("reference")
}

pub fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec1::<i64>().expect("ids").into_iter().map(|id| u32::try_from(id).expect("an id")).collect()
}

pub fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("f32 tensor")
}

pub fn max_abs(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |max, (a, b)| max.max((a - b).abs()))
}

/// How far logits of the same tokens may lie apart when matrix products of another height add in another
/// order: `max(1e-4, 1e-5 * largest |logit|)`.
pub fn reordered_tolerance(logits: &[f32]) -> f32 {
    (1e-5 * max_abs(logits)).max(1e-4)
}

pub fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("logits");
    u32::try_from(best.0).expect("an id")
}

/// One committed forward pass over several sequences; the last logits of each.
pub fn forward(model: &Gpt2, store: &mut KvStore, batch: &[(SeqId, &[u32])]) -> Vec<Vec<f32>> {
    let requests: Vec<_> = batch.iter().map(|(seq, tokens)| (*seq, tokens.len())).collect();
    let tokens: Vec<u32> = batch.iter().flat_map(|(_, tokens)| tokens.iter().copied()).collect();
    let mut step = store.reserve(&requests).expect("room");
    let logits = model.forward(&tokens, &mut step, None, Logits::Last, &NEVER).expect("forward");
    step.commit(true).expect("a step");
    logits.to_vec2().expect("logits")
}

/// The last logits of a sequence that is run without a cache.
pub fn uncached(model: &Gpt2, tokens: &[u32]) -> Vec<f32> {
    let mut kv = Uncached::new(model.config().heads(), tokens.len());
    floats(&model.forward(tokens, &mut kv, None, Logits::Last, &NEVER).expect("forward"))
}

pub fn store(spec: &str, model: &Gpt2, max_sequences: usize) -> KvStore {
    let config = StoreConfig { max_sequences, memory_limit_bytes: None };
    KvStore::new(spec.parse().expect(spec), model.config().kv_shape(), config).expect(spec)
}

/// The same of a model whose levels are found first, if the format needs them.
pub fn calibrated_store(spec: &str, model: &LoadedModel, max_sequences: usize) -> KvStore {
    let (parsed, config) = (spec.parse().expect(spec), StoreConfig { max_sequences, memory_limit_bytes: None });
    let calibrated = model.calibrated(parsed, &mut |_| {}, &NEVER).expect(spec);
    let calibration = calibrated.as_ref().map(|calibrated| &calibrated.calibration);
    KvStore::with_calibration(parsed, model.model.config().kv_shape(), config, calibration).expect(spec)
}
