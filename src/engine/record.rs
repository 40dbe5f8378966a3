//! What one step of one lane cost.

use serde::{Deserialize, Serialize};

use crate::cache::Footprint;
pub use crate::gpu::Counts;
use crate::model::{Config, WeightType};

/// Prefill runs the prompt and yields the first token; every later token is decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Prefill,
    Decode,
}

/// One step: a forward pass (several, for a chunked prefill) and the sampling of one token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// 0 is the prefill.
    pub step: usize,
    pub phase: Phase,
    /// Tokens the forward pass ran over: 1 in cached decode, the whole sequence without a cache.
    pub tokens_in: usize,
    /// Reserving, the forward pass and committing.
    pub forward_secs: f64,
    /// Bringing the logits to the host and picking a token.
    pub sample_secs: f64,
    /// The whole step as its caller sees it.
    pub total_secs: f64,
    pub token_id: u32,
    pub reserved_bytes: u64,
    pub held_bytes: u64,
    pub used_bytes: u64,
    /// Of what is used, what the cache takes beyond the formula: scales and minima of quantized rows, and the newest tokens as long as they
    /// are exact. Not told by traces from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual_bytes: Option<u64>,
    /// Of what is held, rows of tokens that were evicted. Traces from before there was eviction have none.
    #[serde(default)]
    pub dead_bytes: u64,
    /// Since the session began.
    pub copied_bytes: u64,
    pub metadata_bytes: u64,
    /// Tokens the cache holds of the lane after the step, without those it evicted and those of its forks. The bytes above count forks
    /// as well.
    pub cached_tokens: u64,
    /// The textbook formula for that many tokens.
    pub formula_bytes: u64,
    /// Floating-point operations of the step, counted from the shapes.
    pub flops: u64,
    /// What the step asked of a GPU; nothing on the CPU, and in traces from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuStep>,
    /// Bytes the step must read at least: in each of its forward passes every weight that it multiplies once, and
    /// the cache once.
    pub read_bytes: u64,
}

/// A step on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuStep {
    /// What the cache asked for, and the choice of a greedy token; candle asks for more, for the rest of the model and to sample.
    #[serde(flatten)]
    pub counts: Counts,
    /// Memory in use after the step as the driver counts it (`cuMemGetInfo`): the weights, what candle and the pool hold, and other programs too.
    pub driver_used_bytes: u64,
}

impl StepRecord {
    pub(crate) fn set_footprint(&mut self, footprint: Footprint) {
        self.reserved_bytes = footprint.reserved_bytes;
        self.held_bytes = footprint.held_bytes;
        self.used_bytes = footprint.used_bytes;
        self.scale_bytes = Some(footprint.scale_bytes);
        self.residual_bytes = Some(footprint.residual_bytes);
        self.dead_bytes = footprint.dead_bytes;
        self.copied_bytes = footprint.copied_bytes;
        self.metadata_bytes = footprint.metadata_bytes;
    }
}

/// Operations of a forward pass over `new` tokens after `past` cached ones, logits for the last one:
/// 2 per weight and token, and 4 per query, visible key and embedding element (scores and values).
#[must_use]
pub fn forward_flops(config: &Config, past: usize, new: usize) -> u64 {
    let head = (config.vocab_size * config.n_embd) as u64;
    let body = config.n_matmul_params() - head;
    let (past, new) = (past as u64, new as u64);
    let visible = past * new + new * (new + 1) / 2;
    2 * (body * new + head) + 4 * (config.n_layer * config.n_embd) as u64 * visible
}

/// What the forward passes over `new` tokens in chunks read at least: the weights once a chunk (the head once), and
/// what is cached after each chunk.
pub(crate) fn read_bytes(
    (config, weights): (&Config, WeightType),
    past: usize,
    new: usize,
    chunk: usize,
    bytes_per_cached_token: u64,
) -> u64 {
    let head = weights.bytes_of((config.vocab_size * config.n_embd) as u64);
    let ends = (1..=new.div_ceil(chunk)).map(|n| (past + (n * chunk).min(new)) as u64);
    let (n_chunks, cached) = ends.fold((0, 0), |(n, sum), end| (n + 1, sum + end));
    head + n_chunks * (weight_bytes(config, weights) - head) + cached * bytes_per_cached_token
}

/// Bytes of the weights a forward pass reads, of matrices alone.
#[must_use]
pub fn weight_bytes(config: &Config, weights: WeightType) -> u64 {
    weights.bytes_of(config.n_matmul_params())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_token_of_gpt2_reads_494_mb_and_computes_2_flops_per_weight() {
        let gpt2 = Config::shape("gpt2", None).expect("known");
        assert_eq!(weight_bytes(&gpt2, WeightType::F32) / 1_000_000, 494);
        assert_eq!(forward_flops(&gpt2, 0, 1), 2 * gpt2.n_matmul_params() + 4 * 12 * 768);
    }

    #[test]
    fn chunks_read_the_body_again_and_the_head_once() {
        let gpt2 = Config::shape("gpt2", None).expect("known");
        let (all, head) = (weight_bytes(&gpt2, WeightType::F32), (gpt2.vocab_size * gpt2.n_embd * 4) as u64);
        assert_eq!(read_bytes((&gpt2, WeightType::F32), 7, 1, 1, 100), all + 8 * 100);
        assert_eq!(read_bytes((&gpt2, WeightType::F32), 0, 10, 10, 100), all + 10 * 100);
        assert_eq!(read_bytes((&gpt2, WeightType::F32), 0, 10, 4, 100), 3 * (all - head) + head + (4 + 8 + 10) * 100);
    }

    #[test]
    fn flops_do_not_depend_on_chunking_but_for_the_head() {
        let gpt2 = Config::shape("gpt2", None).expect("known");
        let head = 2 * (gpt2.vocab_size * gpt2.n_embd) as u64;
        assert_eq!(forward_flops(&gpt2, 0, 10) + head, forward_flops(&gpt2, 0, 4) + forward_flops(&gpt2, 4, 6));
    }
}
