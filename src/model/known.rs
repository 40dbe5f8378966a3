//! What a plan has to know of a model, for models that need not be there: layers and heads, by name or by number.

use std::{path::Path, str::FromStr};

use crate::{cache::KvShape, kernels::HeadShape};

use super::{Config, ModelError, ModelSource, config::SHAPES};

/// The shape of a model's cache, with nothing loaded and nothing downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownModel {
    pub name: String,
    pub n_layer: usize,
    pub heads: HeadShape,
    /// Where its positions end, if a name said it.
    pub n_positions: Option<usize>,
}

/// Llama 2 (Touvron et al. 2023, arXiv 2307.09288): `(name, n_layer, n_head, n_kv_head)`. 7B and 13B have a key head
/// for every query head, 70B has grouped queries.
const LLAMA_2: [(&str, usize, usize, usize); 3] = [("7b", 32, 32, 32), ("13b", 40, 40, 40), ("70b", 80, 64, 8)];
const LLAMA_2_HEAD_DIM: usize = 128;
const LLAMA_2_POSITIONS: usize = 4096;

/// Larger than any model today; keeps the bytes of a token inside `u64`.
const MAX_LAYERS: usize = 1 << 12;
const MAX_HEADS: usize = 1 << 16;

impl KnownModel {
    /// The shape of a store for `context` tokens.
    #[must_use]
    pub fn kv_shape(&self, context: usize) -> KvShape {
        KvShape { n_layer: self.n_layer, heads: self.heads, max_seq_len: context }
    }

    fn from_config(name: &str, config: &Config) -> Self {
        let n_positions = Some(config.n_positions);
        Self { name: name.into(), n_layer: config.n_layer, heads: config.heads(), n_positions }
    }

    fn llama_2(name: &str) -> Option<Self> {
        let (_, n_layer, n_head, n_kv_head) = LLAMA_2.into_iter().find(|(known, ..)| *known == name)?;
        let heads = HeadShape { n_head, n_kv_head, head_dim: LLAMA_2_HEAD_DIM };
        Some(Self { name: name.into(), n_layer, heads, n_positions: Some(LLAMA_2_POSITIONS) })
    }

    /// `layers,heads,kv_heads,head_dim`
    fn by_number(text: &str) -> Result<Self, ModelError> {
        let bad = |reason: String| Err(ModelError::BadConfig(format!("`{text}`: {reason}")));
        let numbers: Option<Vec<usize>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        let Some(&[n_layer, n_head, n_kv_head, head_dim]) = numbers.as_deref() else {
            return bad("four whole numbers are expected, layers,heads,kv_heads,head_dim, as in 32,32,8,128".into());
        };
        for (what, value, most) in [
            ("layers", n_layer, MAX_LAYERS),
            ("heads", n_head, MAX_HEADS),
            ("kv_heads", n_kv_head, MAX_HEADS),
            ("head_dim", head_dim, MAX_HEADS),
        ] {
            if value == 0 || value > most {
                return bad(format!("{what} is {value}; it must be between 1 and {most}"));
            }
        }
        let heads = HeadShape { n_head, n_kv_head, head_dim };
        let name = format!("{n_layer},{n_head},{n_kv_head},{head_dim}");
        Ok(Self { name, n_layer, heads, n_positions: None })
    }
}

impl FromStr for KnownModel {
    type Err = ModelError;

    /// Names in any case; also `shape:NAME[,ctx=N]` and a folder with `config.json`, as elsewhere.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        let name = text.to_ascii_lowercase();
        if let Some(config) = Config::shape(&name, None) {
            return Ok(Self::from_config(&name, &config));
        }
        if let Some(known) = Self::llama_2(&name) {
            return Ok(known);
        }
        if name == "story" {
            return Ok(Self::from_config(&name, &ModelSource::Story.config()?));
        }
        if name.starts_with("shape:") || Path::new(text).is_dir() {
            return Ok(Self::from_config(text, &text.parse::<ModelSource>()?.config()?));
        }
        if name.contains(',') {
            return Self::by_number(text);
        }
        let names = SHAPES.map(|(known, ..)| known).into_iter().chain(LLAMA_2.map(|(known, ..)| known));
        Err(ModelError::UnknownModel {
            name: text.into(),
            hint: format!(
                "a plan knows story, {}, shape:NAME[,ctx=N], a folder with config.json, and \
                 layers,heads,kv_heads,head_dim as in 32,32,8,128",
                names.collect::<Vec<_>>().join(", ")
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Format;

    fn known(text: &str) -> KnownModel {
        text.parse().expect(text)
    }

    #[test]
    fn published_shapes_have_their_published_figures() {
        let token_kib = |name| known(name).kv_shape(1).formula_bytes_per_token(Format::F32) / 1024;
        // GPT-2: 72 KiB in f32. Llama 2: 7B and 13B 0.5 and 0.78 MiB in f16, twice that in f32; 70B has an eighth of
        // its query heads.
        for (name, kib) in [("gpt2", 72), ("gpt2-xl", 600), ("7b", 1024), ("13b", 1600), ("70b", 640)] {
            assert_eq!(token_kib(name), kib, "{name}");
        }
        assert_eq!((known("7B").n_positions, known("GPT2-XL").n_positions), (Some(4096), Some(1024)));
        assert_eq!(known("70B").heads, HeadShape { n_head: 64, n_kv_head: 8, head_dim: 128 });
        assert_eq!(known("story").n_layer, 5);
    }

    #[test]
    fn numbers_make_a_model() {
        let same = KnownModel { name: "80,64,8,128".into(), n_positions: None, ..known("70b") };
        assert_eq!(known(" 80, 64,8,128 "), same);
        assert_eq!(known("shape:gpt2,ctx=8192").n_positions, Some(8192));
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for (text, says) in [
            ("gpt5", "a plan knows story"),
            ("", "a plan knows story"),
            ("shape:gpt5", "shapes are"),
            ("32,32,8", "four whole numbers"),
            ("32,32,8,-128", "four whole numbers"),
            ("32,32,8,128,1", "four whole numbers"),
            ("0,32,8,128", "layers is 0"),
            ("32,0,8,128", "heads is 0"),
            ("32,32,8,99999999", "head_dim is 99999999"),
        ] {
            let message = text.parse::<KnownModel>().err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
