//! A calibration on the disk: a safetensors file that is taken for what it says only if all of it is right.
//!
//! ```text
//! keys.levels    [n_layer, 2^bits]
//! keys.ranges    [n_layer, n_kv_head * head_dim, 2]     centre and half range of each channel
//! values.levels  [n_layer, 2^bits]
//! ```
//!
//! Its metadata names the model, the levels, the shape, the ids that were run and the version of this program's way to find levels, and
//! has a hash of the numbers. A file with anything else in it (cut, damaged, foreign, of another version) is as good as none.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use crate::{
    cache::{Calibration, KvShape},
    kernels::codec::Levels,
    model::safetensors::hex,
};

use super::LevelsOf;

/// To be raised whenever levels are found in another way, or stored in another.
const VERSION: &str = "1";
/// The header with its metadata; real ones have 700.
const MOST_HEADER_BYTES: usize = 4096;
const SHA256: &str = "sha256";
const HASH_DIGITS: usize = 64;

/// What a calibration belongs to.
pub struct Identity {
    model: String,
    shape: KvShape,
    levels: LevelsOf,
    metadata: HashMap<String, String>,
}

impl Identity {
    /// `hash` is the model's, `ids` what was run.
    pub fn new(hash: &str, shape: KvShape, levels: LevelsOf, ids: &[u32]) -> Self {
        // A shape's hash is its name; a file name is made of digits only.
        let is_digest = hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let model = if is_digest { hash.to_ascii_lowercase() } else { hex(&Sha256::digest(hash)) };
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let KvShape { n_layer, heads, .. } = shape;
        let facts = [
            ("kvlab_kvq", VERSION.to_owned()),
            ("model", hash.to_owned()),
            ("levels", levels.to_string()),
            ("shape", format!("{n_layer} layers, {} heads, {}", heads.n_kv_head, heads.head_dim)),
            // Pieces are as long as the context.
            ("context", shape.max_seq_len.to_string()),
            ("tokens", ids.len().to_string()),
            ("ids_sha256", hex(&Sha256::digest(bytes))),
        ];
        let metadata = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { model, shape, levels, metadata }
    }

    pub fn file_name(&self) -> String {
        let LevelsOf { bits, rotated } = self.levels;
        format!("{}-kvq{bits}{}.safetensors", self.model, if rotated { "-rot" } else { "" })
    }

    fn tensors(&self) -> [(&'static str, Vec<usize>); 3] {
        let (n_layer, n_levels) = (self.shape.n_layer, 1 << self.levels.bits);
        let width = self.shape.heads.n_kv_head * self.shape.heads.head_dim;
        [
            ("keys.levels", vec![n_layer, n_levels]),
            ("keys.ranges", vec![n_layer, width, 2]),
            ("values.levels", vec![n_layer, n_levels]),
        ]
    }

    /// With the hash of the numbers.
    fn metadata(&self, planes: &[&[u8]]) -> HashMap<String, String> {
        let mut sha256 = Sha256::new();
        for plane in planes {
            sha256.update(plane);
        }
        let hash = (SHA256.to_owned(), hex(&sha256.finalize()));
        self.metadata.clone().into_iter().chain([hash]).collect()
    }
}

/// What the file holds, if it is whole and belongs to `identity`.
pub fn read(path: &Path, identity: &Identity) -> Option<Calibration> {
    let tensors = identity.tensors();
    let n_values: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let most_bytes = n_values * size_of::<f32>() + MOST_HEADER_BYTES;
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = vec![];
    File::open(path).ok()?.take(most_bytes as u64 + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() > most_bytes {
        return None;
    }
    let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
    let file = SafeTensors::deserialize(&bytes).ok()?;
    let plane = |(name, shape): &(&str, Vec<usize>)| {
        let view = file.tensor(name).ok()?;
        (view.dtype() == Dtype::F32 && view.shape() == shape.as_slice()).then(|| view.data())
    };
    let [keys, ranges, values] = &tensors;
    let (keys, ranges, values) = (plane(keys)?, plane(ranges)?, plane(values)?);
    if header.metadata().as_ref() != Some(&identity.metadata(&[keys, ranges, values])) {
        return None;
    }
    let n_layer = identity.shape.n_layer;
    let [keys, ranges, values] = [keys, ranges, values].map(|plane| layers(plane, n_layer));
    let layers = keys.into_iter().zip(ranges).zip(values).map(|((keys, ranges), values)| {
        let channels = ranges.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        (Levels { levels: keys, channels }, Levels { levels: values, channels: vec![] })
    });
    let layers: Vec<(Levels, Levels)> = layers.collect();
    layers.iter().all(|(keys, values)| is_sound(keys) && is_sound(values)).then(|| Calibration::new(layers))
}

/// The numbers of each layer.
fn layers(plane: &[u8], n_layer: usize) -> Vec<Vec<f32>> {
    let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    plane.chunks_exact(plane.len() / n_layer).map(|layer| layer.chunks_exact(4).map(number).collect()).collect()
}

/// The hash says that nothing was damaged; this, that a codec can work with it.
fn is_sound(levels: &Levels) -> bool {
    levels.levels.iter().all(|level| level.abs() <= 1.0)
        && levels.levels.is_sorted()
        && levels.channels.iter().all(|(centre, half)| centre.is_finite() && half.is_finite() && *half >= 0.0)
}

/// Writes the file whole, over whatever was there: beside it first, then renamed.
///
/// # Errors
/// What the system says; what was there is there still.
pub fn write(path: &Path, identity: &Identity, calibration: &Calibration) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let bytes = |numbers: &mut dyn Iterator<Item = f32>| numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let planes = [
        bytes(&mut calibration.layers().flat_map(|(keys, _)| keys.levels.iter().copied())),
        bytes(
            &mut calibration.layers().flat_map(|(keys, _)| keys.channels.iter().flat_map(|range| [range.0, range.1])),
        ),
        bytes(&mut calibration.layers().flat_map(|(_, values)| values.levels.iter().copied())),
    ];
    let metadata = identity.metadata(&planes.each_ref().map(Vec::as_slice));
    let views = identity.tensors().into_iter().zip(&planes);
    let views = views.map(|((name, shape), plane)| Ok((name, TensorView::new(Dtype::F32, shape, plane)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>().map_err(io::Error::other)?;
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
