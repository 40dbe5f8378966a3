//! Whom each token looks at: the attention weights of a lane, read in passes of their own.
//!
//! Asking a step for its weights would slow it down, and the window shows how fast it is. So a token whose weights are wanted
//! runs twice: once with a probe, forgotten again ([`crate::cache::Step::forget`]), and then as always.

use std::sync::{Arc, atomic::AtomicBool};

use serde::{Deserialize, Serialize};

use super::Session;
use crate::{
    cache::{KvAccess, Probe, Uncached},
    engine::EngineError,
    model::{AttentionProbe, Config, Gpt2},
};

/// Weights of one pass in f32 take at most this; more layers are watched in further passes.
const PROBE_BYTES: usize = 256 << 20;

/// Attention weights of consecutive tokens in all heads of all layers, a byte each.
///
/// Nearly all weights are small, so the byte holds the root: see [`Attention::code`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    pub n_layer: usize,
    pub n_head: usize,
    /// Position of the token that the first row belongs to.
    pub first: usize,
    /// The token at position `p` has a row `[n_layer, n_head, p + 1]`, flattened: it sees itself and everything before. On disk
    /// a row is a text of hexadecimal digits.
    #[serde(with = "hex_rows")]
    pub rows: Vec<Arc<[u8]>>,
}

impl Attention {
    /// A weight from 0 to 1 as a byte: 255 times its square root, rounded. Reading it back is off by 0.4 % at most, and by
    /// less than 0.02 % where weights are below 0.2 %.
    #[must_use]
    pub fn code(weight: f32) -> u8 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
        let code = (weight.sqrt() * 255.0).round().clamp(0.0, 255.0) as u8;
        code
    }

    /// What [`Attention::code`] rounded.
    #[must_use]
    pub fn weight(code: u8) -> f32 {
        let root = f32::from(code) / 255.0;
        root * root
    }

    /// Bytes of the rows of all positions up to `n_tokens`.
    #[must_use]
    pub fn bytes(config: &Config, n_tokens: usize) -> u64 {
        let (heads, n) = ((config.n_layer * config.n_head) as u64, n_tokens as u64);
        heads.saturating_mul(n.saturating_mul(n + 1) / 2)
    }
}

impl Session {
    /// The attention of every token of `tokens` in this lane, which holds none yet.
    ///
    /// # Errors
    /// Those of [`Session::prefill`]; nothing changes either way.
    pub fn attention_of(&mut self, tokens: &[u32], cancel: &AtomicBool) -> Result<Attention, EngineError> {
        if !self.tokens.is_empty() {
            return Err(EngineError::AlreadyStarted);
        }
        self.watch(tokens, 0, cancel)
    }

    /// The attention of the newest token, which [`Session::decode`] is to run next.
    ///
    /// # Errors
    /// Those of [`Session::decode`]; nothing changes either way.
    pub fn attention_of_next(&mut self, cancel: &AtomicBool) -> Result<Attention, EngineError> {
        let Some(newest) = self.tokens.len().checked_sub(1) else { return Err(EngineError::NotStarted) };
        let from = if self.cache.is_some() { newest } else { 0 };
        let tokens = self.tokens[from..].to_vec();
        self.watch(&tokens, newest, cancel)
    }

    /// Runs `new` once per group of layers and keeps the rows of the positions from `first` on.
    fn watch(&mut self, new: &[u32], first: usize, cancel: &AtomicBool) -> Result<Attention, EngineError> {
        if self.guest.is_some() {
            return Err(EngineError::Guest);
        }
        let model = self.model.clone();
        let model = &model.model;
        let config = model.config();
        let (n_layer, n_head) = (config.n_layer, config.n_head);
        let past = match &self.cache {
            Some((store, seq)) => store.len(*seq)?,
            None => 0,
        };
        let n_tokens = past + new.len();
        let bytes_per_layer =
            n_head.saturating_mul(new.len()).saturating_mul(n_tokens).saturating_mul(size_of::<f32>());
        let group = (PROBE_BYTES / bytes_per_layer.max(1)).clamp(1, n_layer);
        let mut rows: Vec<Vec<u8>> =
            (first..n_tokens).map(|position| Vec::with_capacity(n_layer * n_head * (position + 1))).collect();
        for layers in (0..n_layer).collect::<Vec<_>>().chunks(group) {
            let mut probe = AttentionProbe { layers: layers.iter().map(|layer| (*layer, Probe::default())).collect() };
            match &mut self.cache {
                Some((store, seq)) => {
                    let mut step = store.reserve(&[(*seq, new.len())])?;
                    pass(model, new, &mut step, &mut probe, cancel)?;
                    step.forget();
                }
                None => pass(model, new, &mut Uncached::new(config.heads(), new.len()), &mut probe, cancel)?,
            }
            for (_, layer) in &probe.layers {
                let weights = layer.spans.first().map(Vec::as_slice).unwrap_or_default(); // [H, T, past + T]
                for (row, position) in rows.iter_mut().zip(first..) {
                    let query = position - past;
                    for head in 0..n_head {
                        let start = (head * new.len() + query) * n_tokens;
                        let seen = weights.get(start..=start + position).unwrap_or_default();
                        row.extend(seen.iter().map(|weight| Attention::code(*weight)));
                    }
                }
            }
        }
        Ok(Attention { n_layer, n_head, first, rows: rows.into_iter().map(Arc::from).collect() })
    }
}

fn pass(
    model: &Gpt2,
    new: &[u32],
    kv: &mut dyn KvAccess,
    probe: &mut AttentionProbe,
    cancel: &AtomicBool,
) -> Result<(), EngineError> {
    model.hidden(new, kv, Some(probe), cancel)?;
    Ok(())
}

/// Rows as hexadecimal text: a long list of small numbers would take ten times the memory to read back.
mod hex_rows {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub fn serialize<S: Serializer>(rows: &[Arc<[u8]>], serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
        let text = |row: &Arc<[u8]>| row.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        rows.iter().map(text).collect::<Vec<String>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<[u8]>>, D::Error> {
        let rows = Vec::<String>::deserialize(deserializer)?;
        rows.iter().map(|row| decode(row).ok_or_else(|| D::Error::custom("a row of attention is damaged"))).collect()
    }

    fn decode(row: &str) -> Option<Arc<[u8]>> {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let pairs = row.as_bytes().chunks(2);
        pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_off_by_what_is_said() {
        for i in 0..=10_000_u16 {
            let weight = f32::from(i) / 10_000.0;
            let error = (Attention::weight(Attention::code(weight)) - weight).abs();
            assert!(error <= 0.004, "{weight}: {error}");
            assert!(weight > 0.002 || error < 2e-4, "{weight}: {error}");
        }
        assert_eq!([Attention::code(0.0), Attention::code(1.0), Attention::code(2.0)], [0, 255, 255]);
    }

    #[test]
    fn rows_read_back_from_text() {
        let rows = vec![Arc::from([0, 255, 16]), Arc::from([7])];
        let attention = Attention { n_layer: 1, n_head: 1, first: 0, rows };
        let text = serde_json::to_string(&attention).expect("text");
        assert!(text.contains(r#"["00ff10","07"]"#), "{text}");
        assert_eq!(serde_json::from_str::<Attention>(&text).expect("the same"), attention);
        for damaged in [text.replace("ff", "fg"), text.replace("ff", "f")] {
            assert!(serde_json::from_str::<Attention>(&damaged).is_err(), "{damaged}");
        }
    }
}
