//! The shape of a GPT-2, read from `config.json` or known by name.

use serde::Deserialize;

use crate::{cache::KvShape, kernels::HeadShape};

use super::ModelError;

/// A GPT-2 configuration with Hugging Face's field names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    pub vocab_size: usize,
    pub n_positions: usize,
    pub n_embd: usize,
    pub n_layer: usize,
    pub n_head: usize,
    #[serde(default = "default_epsilon")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "default_activation")]
    pub activation_function: String,
    #[serde(default)]
    pub n_inner: Option<usize>,
    #[serde(default)]
    pub eos_token_id: Option<u32>,
    #[serde(default)]
    pub model_type: Option<String>,
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
    #[serde(default = "yes")]
    pub scale_attn_weights: bool,
    #[serde(default)]
    pub scale_attn_by_inverse_layer_idx: bool,
}

fn default_epsilon() -> f64 {
    1e-5
}
fn default_activation() -> String {
    "gelu_new".into()
}
fn yes() -> bool {
    true
}

/// The shapes of the GPT-2 family, by name: `(name, n_layer, n_head, n_embd)`.
pub const SHAPES: [(&str, usize, usize, usize); 5] = [
    ("distilgpt2", 6, 12, 768),
    ("gpt2", 12, 12, 768),
    ("gpt2-medium", 24, 16, 1024),
    ("gpt2-large", 36, 20, 1280),
    ("gpt2-xl", 48, 25, 1600),
];

/// Larger numbers than any model that fits a computer today; they keep all products below inside `u64`.
const MAX_DIMENSION: usize = 1 << 22;
const MAX_LAYERS: usize = 1 << 12;

impl Config {
    /// # Errors
    /// [`ModelError::BadConfig`] for what is no GPT-2 configuration or one that cannot be run.
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        let config: Self =
            serde_json::from_slice(json).map_err(|e| ModelError::BadConfig(format!("not a GPT-2 config.json: {e}")))?;
        config.check()?;
        Ok(config)
    }

    /// A member of the GPT-2 family, with another context length if given.
    #[must_use]
    pub fn shape(name: &str, n_positions: Option<usize>) -> Option<Self> {
        let (_, n_layer, n_head, n_embd) = SHAPES.into_iter().find(|(known, ..)| *known == name)?;
        Some(Self {
            vocab_size: 50_257,
            n_positions: n_positions.unwrap_or(1024),
            n_embd,
            n_layer,
            n_head,
            layer_norm_epsilon: default_epsilon(),
            activation_function: default_activation(),
            n_inner: None,
            eos_token_id: Some(50_256),
            model_type: Some("gpt2".into()),
            tie_word_embeddings: true,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
        })
    }

    /// # Errors
    /// [`ModelError::BadConfig`] with the first field that makes no sense.
    pub fn check(&self) -> Result<(), ModelError> {
        let bad = |reason: String| Err(ModelError::BadConfig(reason));
        let sizes = [
            ("vocab_size", self.vocab_size, MAX_DIMENSION),
            ("n_positions", self.n_positions, MAX_DIMENSION),
            ("n_embd", self.n_embd, MAX_DIMENSION),
            ("n_layer", self.n_layer, MAX_LAYERS),
            ("n_head", self.n_head, MAX_DIMENSION),
            ("n_inner", self.inner(), 8 * MAX_DIMENSION),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return bad(format!("{name} is {value}; it must be between 1 and {most}"));
            }
        }
        if !self.n_embd.is_multiple_of(self.n_head) {
            return bad(format!("n_head {} does not divide n_embd {}", self.n_head, self.n_embd));
        }
        if !self.head_dim().is_multiple_of(8) {
            return bad(format!("head_dim {} is no multiple of 8", self.head_dim()));
        }
        if let Some(kind) = self.model_type.as_deref().filter(|kind| *kind != "gpt2") {
            return bad(format!("model_type is `{kind}`; kvlab runs `gpt2`"));
        }
        if !matches!(self.activation_function.as_str(), "gelu_new" | "gelu_pytorch_tanh") {
            return bad(format!("activation_function `{}` is not GPT-2's gelu_new", self.activation_function));
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon < 1.0) {
            return bad(format!("layer_norm_epsilon is {}", self.layer_norm_epsilon));
        }
        if !self.tie_word_embeddings || !self.scale_attn_weights || self.scale_attn_by_inverse_layer_idx {
            return bad("an untied head or another attention scale is not GPT-2 as published".into());
        }
        Ok(())
    }

    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// Width of the MLP's hidden layer.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.n_inner.unwrap_or(4 * self.n_embd)
    }

    #[must_use]
    pub fn heads(&self) -> HeadShape {
        HeadShape { n_head: self.n_head, n_kv_head: self.n_head, head_dim: self.head_dim() }
    }

    #[must_use]
    pub fn kv_shape(&self) -> KvShape {
        KvShape { n_layer: self.n_layer, heads: self.heads(), max_seq_len: self.n_positions }
    }

    /// Every tensor of the model with its shape, in the order of a forward pass; names without the
    /// `transformer.` some files put in front.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (e, inner) = (self.n_embd, self.inner());
        let mut all = vec![
            ("wte.weight".to_owned(), vec![self.vocab_size, e]),
            ("wpe.weight".to_owned(), vec![self.n_positions, e]),
        ];
        for layer in 0..self.n_layer {
            let block: [(&str, Vec<usize>); 12] = [
                ("ln_1.weight", vec![e]),
                ("ln_1.bias", vec![e]),
                ("attn.c_attn.weight", vec![e, 3 * e]),
                ("attn.c_attn.bias", vec![3 * e]),
                ("attn.c_proj.weight", vec![e, e]),
                ("attn.c_proj.bias", vec![e]),
                ("ln_2.weight", vec![e]),
                ("ln_2.bias", vec![e]),
                ("mlp.c_fc.weight", vec![e, inner]),
                ("mlp.c_fc.bias", vec![inner]),
                ("mlp.c_proj.weight", vec![inner, e]),
                ("mlp.c_proj.bias", vec![e]),
            ];
            all.extend(block.into_iter().map(|(name, shape)| (format!("h.{layer}.{name}"), shape)));
        }
        all.push(("ln_f.weight".to_owned(), vec![e]));
        all.push(("ln_f.bias".to_owned(), vec![e]));
        all
    }

    /// Weights of the model; the tied head counts once.
    #[must_use]
    pub fn n_params(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().map(|d| *d as u64).product::<u64>()).sum()
    }

    /// Weights that every token multiplies: all but the embeddings, and the tied head.
    #[must_use]
    pub fn n_matmul_params(&self) -> u64 {
        self.n_params() - (self.n_positions * self.n_embd) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_sizes_are_the_published_ones() {
        let params = |name| Config::shape(name, None).map(|c| c.n_params());
        assert_eq!(params("distilgpt2"), Some(81_912_576));
        assert_eq!(params("gpt2"), Some(124_439_808));
        assert_eq!(params("gpt2-medium"), Some(354_823_168));
        assert_eq!(params("gpt2-large"), Some(774_030_080));
        assert_eq!(params("gpt2-xl"), Some(1_557_611_200));
    }

    #[test]
    fn formula_is_the_textbook_one() {
        use crate::cache::Format;
        let gpt2 = Config::shape("gpt2", None).expect("known").kv_shape();
        assert_eq!(gpt2.formula_bytes_per_token(Format::F32), 72 * 1024);
        let xl = Config::shape("gpt2-xl", None).expect("known").kv_shape();
        assert_eq!(xl.formula_bytes_per_token(Format::F32), 600 * 1024);
    }

    #[test]
    fn absurd_configs_are_refused() {
        let with = |field: &str, value: &str| {
            let mut json: serde_json::Value = serde_json::from_str(
                r#"{"vocab_size":64,"n_positions":64,"n_embd":16,"n_layer":2,"n_head":2,"model_type":"gpt2"}"#,
            )
            .expect("json");
            json[field] = serde_json::from_str(value).expect("json");
            Config::from_json(json.to_string().as_bytes()).err().map(|e| e.to_string())
        };
        assert_eq!(with("n_layer", "2"), None);
        for (field, value, says) in [
            ("n_layer", "0", "n_layer is 0"),
            ("n_layer", "-3", "not a GPT-2 config.json"),
            ("vocab_size", "18446744073709551615", "vocab_size is"),
            ("n_positions", "1000000000000", "n_positions is"),
            ("n_head", "3", "does not divide"),
            ("n_head", "4", "no multiple of 8"),
            ("model_type", "\"llama\"", "`llama`"),
            ("activation_function", "\"relu\"", "relu"),
            ("layer_norm_epsilon", "-1", "epsilon"),
            ("tie_word_embeddings", "false", "untied"),
        ] {
            let message = with(field, value).unwrap_or_default();
            assert!(message.contains(says), "{field}={value}: {message}");
        }
    }
}
