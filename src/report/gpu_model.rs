//! What a decoded token has to move on a GPU, and how long the memories of known GPUs need for that: a model, no measurement.
//!
//! It counts what each kernel of the cache must read and write, and every weight once. It knows nothing of launches, of which GPT-2 small needs more
//! time than of its bytes on a large GPU, nor of the GPU's caches and of what a kernel computes.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::{
    cache::{CacheError, CacheSpec, KvShape, KvStore, StoreConfig},
    engine::record::weight_bytes,
    model::{Config, WeightType},
};

/// Names, and the bytes per second of their memory by NVIDIA's data sheets.
pub const KNOWN_GPUS: [(&str, f64); 5] =
    [("L4", 300e9), ("RTX 4090", 1008e9), ("A100 80GB SXM", 2039e9), ("H100 SXM", 3350e9), ("H200", 4800e9)];

/// Formats that have kernels, on blocks that suit all of them.
const FORMATS: [&str; 11] = ["f32", "f16", "bf16", "f8", "int8", "q8_0", "q4_0", "int4", "kivi:8", "kivi:4", "kivi:2"];

/// Cached tokens.
const CONTEXTS: [usize; 4] = [128, 1024, 8192, 32_768];

/// What the kernels of one format move in a decoded token, over all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBytes {
    /// `append` reads a key and a value in f32 and writes them as the format has them.
    pub append: u64,
    /// `walk` reads every cached token and 4 bytes to find it, in each layer, and the query; it writes a result.
    pub walk: u64,
}

impl TokenBytes {
    /// # Errors
    /// Those of a store of this format.
    pub fn of(format: &str, shape: KvShape, n_cached: usize) -> Result<Self, CacheError> {
        let spec = if format == "f32" { "paged:32".into() } else { format!("paged:32+{format}") };
        let spec: CacheSpec = spec.parse()?;
        let bytes = |max_seq_len| KvStore::pool_bytes(spec, KvShape { max_seq_len, ..shape }, StoreConfig::default());
        // Blocks are whole, so that a token is a 32nd of what one more of them takes; what stays exact is as much for both.
        let token_bytes = (bytes(1 << 17)? - bytes((1 << 17) - 32)?) / 32;
        let exact = (2 * shape.n_layer * shape.heads.n_kv_head * shape.heads.head_dim * 4) as u64;
        // The newest 32; now and then up to 31 more.
        let n_exact = if format.starts_with("kivi") { n_cached.min(32) as u64 } else { 0 };
        let queries = (2 * shape.n_layer * shape.heads.n_head * shape.heads.head_dim * 4) as u64;
        let lists = (4 * shape.n_layer * n_cached) as u64;
        let written = if n_exact > 0 { exact } else { token_bytes };
        let cached = (n_cached as u64 - n_exact) * token_bytes + n_exact * exact;
        Ok(Self { append: exact + written, walk: cached + lists + queries })
    }
}

/// The tables of a model of this shape, as Markdown. `gpus` are the known ones, or one whose bandwidth was measured.
///
/// # Errors
/// Those of a store.
pub fn tables(config: &Config, weights: WeightType, gpus: &[(&str, f64)]) -> Result<String, CacheError> {
    let (shape, weight) = (config.kv_shape(), weight_bytes(config, weights));
    let mut kernels = Table::new();
    kernels.load_preset(ASCII_MARKDOWN).set_header(
        ["format".to_owned(), "append".into()].into_iter().chain(CONTEXTS.map(|n| format!("walk over {n}"))),
    );
    let mut floors = Table::new();
    floors
        .load_preset(ASCII_MARKDOWN)
        .set_header(["GPU".to_owned(), "format".into()].into_iter().chain(CONTEXTS.map(|n| format!("behind {n}, µs"))));
    for format in FORMATS {
        let all = CONTEXTS.map(|n| TokenBytes::of(format, shape, n));
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        let append = all.first().map_or(0, |bytes| bytes.append);
        kernels
            .add_row([format.to_owned(), append.to_string()].into_iter().chain(all.iter().map(|b| b.walk.to_string())));
    }
    for (name, bytes_per_sec) in gpus {
        for format in ["f32", "bf16", "int8", "kivi:4"] {
            let floor = |n: usize| -> Result<String, CacheError> {
                let TokenBytes { append, walk } = TokenBytes::of(format, shape, n)?;
                #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
                let secs = (weight + append + walk) as f64 / bytes_per_sec;
                Ok(format!("{:.0}", secs * 1e6))
            };
            let floors_of = CONTEXTS.map(floor).into_iter().collect::<Result<Vec<_>, _>>()?;
            floors.add_row([(*name).to_owned(), format.to_owned()].into_iter().chain(floors_of));
        }
    }
    for table in [&mut kernels, &mut floors] {
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    Ok(format!(
        "A model, computed from shapes.\n\n\
         Bytes that the cache's kernels move in a decoded token, over all layers:\n\n{kernels}\n\n\
         The time that this and {weight} bytes of weights ({weights}) need at a bandwidth: that of a GPU's data sheet, or one that was measured \
         where the name says so. What stays in the GPU's own caches is counted as read, and launches are not in it:\n\n{floors}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_of_gpt2_reads_what_its_formula_says_and_a_list() {
        let gpt2 = Config::shape("gpt2", None).expect("known");
        let bytes = |format| TokenBytes::of(format, gpt2.kv_shape(), 1000).expect("a format");
        // 12 layers of 768 keys and values; a number of 4 bytes for each token and layer; 12 queries and results of 768.
        let (lists, queries) = (12 * 4 * 1000, 2 * 12 * 768 * 4);
        assert_eq!(bytes("f32"), TokenBytes { append: 2 * 73_728, walk: 73_728 * 1000 + lists + queries });
        assert_eq!(bytes("bf16").walk, 36_864 * 1000 + lists + queries);
        // A byte a value, and a scale of 4 bytes for each of 12 heads.
        assert_eq!(bytes("int8").walk, 2 * 12 * (768 + 48) * 1000 + lists + queries);
        assert!(bytes("kivi:2").walk < bytes("q4_0").walk);
        let all = tables(&gpt2, WeightType::F32, &KNOWN_GPUS).expect("tables");
        assert!(all.contains("H100 SXM") && all.starts_with("A model"));
    }
}
