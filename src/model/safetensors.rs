//! A safetensors file, checked before it is trusted and read one tensor at a time.
//!
//! The header is validated against the length of the file, and each tensor against the shape the
//! configuration asks for, before memory for any tensor is taken. Reading is streamed: no more than one
//! tensor's bytes exist beside the tensor itself.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, tensor::Metadata};
use sha2::{Digest, Sha256};

use super::{ModelError, config::Config};

/// Real headers of GPT-2 files have some 20 KB; the format's own limit is 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// What the weights are read from.
pub trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// An open, validated file.
pub struct SafetensorsFile<R> {
    reader: R,
    metadata: Metadata,
    data_start: u64,
    /// Name without a leading `transformer.` -> name in the file.
    names: HashMap<String, String>,
}

impl SafetensorsFile<io::BufReader<File>> {
    /// # Errors
    /// [`ModelError::BadFile`] that names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let bad = |reason: String| ModelError::BadFile { path: path.into(), reason };
        // Looked at before it is opened: opening a pipe would wait for its other end.
        let there = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?;
        if !there.is_file() {
            let what = if there.is_dir() { "a folder" } else { "no regular file" };
            return Err(bad(format!("is {what}; a .safetensors file is expected here")));
        }
        let file = File::open(path).map_err(|e| bad(e.to_string()))?;
        Self::new(io::BufReader::new(file)).map_err(|e| bad(e.to_string()))
    }

    /// The same file behind a pointer, as [`super::weights::Weights`] holds it.
    #[must_use]
    pub fn boxed(self) -> SafetensorsFile<Box<dyn Source + Send>> {
        let Self { reader, metadata, data_start, names } = self;
        SafetensorsFile { reader: Box::new(reader), metadata, data_start, names }
    }
}

impl<R: Source> SafetensorsFile<R> {
    /// # Errors
    /// [`ModelError::BadWeights`] for anything that is not a whole safetensors file.
    pub fn new(mut reader: R) -> Result<Self, ModelError> {
        let bad = |reason: String| ModelError::BadWeights(reason);
        let read = |e: io::Error| bad(format!("cannot be read: {e}"));
        let file_len = reader.seek(SeekFrom::End(0)).map_err(read)?;
        reader.seek(SeekFrom::Start(0)).map_err(read)?;
        let mut header_len = [0; 8];
        reader
            .read_exact(&mut header_len)
            .map_err(|_| bad(format!("not a safetensors file: it has only {file_len} bytes")))?;
        let header_len = u64::from_le_bytes(header_len);
        if header_len > MAX_HEADER_BYTES || header_len > file_len - 8 {
            return Err(bad(format!(
                "not a safetensors file, or a truncated one: its header claims {header_len} bytes and the file has \
                 {file_len}"
            )));
        }
        let mut header = vec![0; usize::try_from(header_len).unwrap_or(0)];
        reader.read_exact(&mut header).map_err(read)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|e| bad(format!("the safetensors header is damaged: {e}")))?;
        let data_start = 8 + header_len;
        let needed = data_start.saturating_add(metadata.data_len() as u64);
        if needed != file_len {
            return Err(bad(format!(
                "the file is truncated or damaged: its tensors need {needed} bytes and it has {file_len}"
            )));
        }
        let mut names = HashMap::new();
        for name in metadata.tensors().into_keys() {
            let short = name.strip_prefix("transformer.").unwrap_or(&name).to_owned();
            if let Some(other) = names.insert(short.clone(), name) {
                return Err(bad(format!("tensor `{short}` is there twice, once as `{other}`")));
            }
        }
        Ok(Self { reader, metadata, data_start, names })
    }

    /// Checks that every tensor of `config` is here in the right shape and a type that can be read.
    ///
    /// # Errors
    /// [`ModelError::BadWeights`] with the first tensor that is missing or different.
    pub fn check(&self, config: &Config) -> Result<(), ModelError> {
        for (name, shape) in config.tensors() {
            let Some(info) = self.names.get(&name).and_then(|n| self.metadata.info(n)) else {
                return Err(ModelError::BadWeights(format!(
                    "tensor `{name}` is missing (the file has {} tensors)",
                    self.names.len()
                )));
            };
            if info.shape != shape {
                return Err(ModelError::BadWeights(format!(
                    "tensor `{name}` has shape {:?}, and the configuration asks for {shape:?}",
                    info.shape
                )));
            }
            if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return Err(ModelError::BadWeights(format!(
                    "tensor `{name}` is {:?}; F32, F16 and BF16 can be read",
                    info.dtype
                )));
            }
        }
        Ok(())
    }

    /// One tensor as f32. [`Self::check`] has made sure that it exists.
    ///
    /// # Errors
    /// [`ModelError::BadWeights`] if it does not, or cannot be read.
    pub fn tensor(&mut self, name: &str, device: &Device) -> Result<Tensor, ModelError> {
        let bad = |reason: String| ModelError::BadWeights(format!("tensor `{name}`: {reason}"));
        let info = self.names.get(name).and_then(|n| self.metadata.info(n)).ok_or_else(|| bad("missing".into()))?;
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.reader
            .seek(SeekFrom::Start(self.data_start + start as u64))
            .and_then(|_| self.reader.read_exact(&mut bytes))
            .map_err(|e| bad(format!("cannot be read: {e}")))?;
        let dtype = match info.dtype {
            Dtype::F32 => candle_core::DType::F32,
            Dtype::F16 => candle_core::DType::F16,
            Dtype::BF16 => candle_core::DType::BF16,
            other => return Err(bad(format!("is {other:?}"))),
        };
        let tensor = Tensor::from_raw_buffer(&bytes, dtype, &info.shape, device)?;
        Ok(tensor.to_dtype(candle_core::DType::F32)?)
    }

    /// SHA-256 of the whole file, in hexadecimal: the identity of a model in a trace.
    ///
    /// # Errors
    /// [`ModelError::BadWeights`] if the file cannot be read.
    pub fn sha256(&mut self) -> Result<String, ModelError> {
        let read = |e: io::Error| ModelError::BadWeights(format!("cannot be read: {e}"));
        self.reader.seek(SeekFrom::Start(0)).map_err(read)?;
        let mut hasher = Sha256::new();
        io::copy(&mut self.reader, &mut hasher).map_err(read)?;
        Ok(hex(&hasher.finalize()))
    }
}

/// A hash as people and servers write it.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    const GOLDEN: &[u8] = include_bytes!("../../tests/goldens/gpt2-2l-2h-16d/model.safetensors");
    const CONFIG: &[u8] = include_bytes!("../../tests/goldens/gpt2-2l-2h-16d/config.json");

    fn load(bytes: &[u8]) -> Result<usize, ModelError> {
        let config = Config::from_json(CONFIG)?;
        let mut file = SafetensorsFile::new(Cursor::new(bytes))?;
        file.check(&config)?;
        for (name, _) in config.tensors() {
            file.tensor(&name, &Device::Cpu)?;
        }
        Ok(config.tensors().len())
    }

    fn with_header(edit: impl FnOnce(String) -> String) -> Vec<u8> {
        let header_len = usize::try_from(u64::from_le_bytes(GOLDEN[..8].try_into().expect("8"))).expect("small");
        let header = edit(String::from_utf8(GOLDEN[8..8 + header_len].to_vec()).expect("utf8"));
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(&GOLDEN[8 + header_len..]);
        bytes
    }

    #[test]
    fn a_whole_file_loads() {
        assert_eq!(load(GOLDEN).expect("golden"), 28);
    }

    #[test]
    fn damage_is_named() {
        let message = |bytes: &[u8]| load(bytes).expect_err("damaged").to_string();
        assert!(message(b"").contains("only 0 bytes"));
        assert!(message(b"{}").contains("only 2 bytes"));
        assert!(message(b"this is a text file, not weights").contains("not a safetensors file"));
        assert!(message(&GOLDEN[..GOLDEN.len() - 1]).contains("truncated"));
        assert!(message(&GOLDEN[..100]).contains("truncated"));
        assert!(message(&[u8::MAX; 64]).contains("header claims 18446744073709551615 bytes"));
        assert!(
            message(&with_header(|h| h.replace("h.1.mlp.c_fc.bias", "h.1.mlp.c_xx.bias")))
                .contains("`h.1.mlp.c_fc.bias` is missing")
        );
        assert!(message(&with_header(|h| h.replace("[16,48]", "[48,16]"))).contains("has shape [48, 16]"));
        assert!(message(&with_header(|h| h.replace("[16,48]", "[16,4800000000]"))).contains("header is damaged"));
        assert!(message(&with_header(|h| h.replace("\"F32\"", "\"I32\""))).contains("F32, F16 and BF16 can be read"));
    }

    #[test]
    fn a_tensor_with_two_names_is_refused() {
        let twice = with_header(|h| h.replace("\"h.1.ln_1.bias\"", "\"transformer.h.1.ln_1.weight\""));
        let message = load(&twice).expect_err("ambiguous").to_string();
        assert!(message.contains("tensor `h.1.ln_1.weight` is there twice"), "{message}");
    }

    proptest! {
        /// Whatever bytes of the header become: an error or a model, never a panic.
        #[test]
        fn a_damaged_header_is_an_error_or_harmless(damage in prop::collection::vec((0_usize..2_600, any::<u8>()), 1..4)) {
            let mut bytes = GOLDEN.to_vec();
            for (at, value) in damage {
                bytes[at] = value;
            }
            let _ = load(&bytes);
        }

        #[test]
        fn a_truncated_file_is_an_error(len in 0..GOLDEN.len()) {
            prop_assert!(load(&GOLDEN[..len]).is_err());
        }

        #[test]
        fn any_header_is_an_error_or_harmless(header in ".{0,200}", body in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(body);
            prop_assert!(load(&bytes).is_err());
        }
    }
}
