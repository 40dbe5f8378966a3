//! What a person fills in before a run, as typed; [`Form::check`] turns it into settings.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    cache::{Lane, spec::parse_lanes},
    engine::Sampling,
    experiment::DEFAULT_TOKENS,
    measure::device::DeviceChoice,
    report::units::parse_size,
};

use super::{board, draft::LaneDraft, worker::RunSettings};

/// The fields of the controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    pub model: String,
    pub prompt: String,
    pub lanes: String,
    /// The lane that the menus show; `None`: a new one.
    #[serde(skip)]
    pub chosen: Option<usize>,
    /// What the menus say.
    #[serde(skip)]
    pub draft: LaneDraft,
    pub tokens: usize,
    pub temperature: f64,
    pub top_k: Optional<usize>,
    pub top_p: Optional<f64>,
    pub seed: u64,
    pub prefill_chunk: Optional<usize>,
    pub stop_at_eos: bool,
    /// Every lane is fed the first lane's tokens.
    pub forced: bool,
    /// Tokens of every lane in a second, at most.
    pub speed: Optional<f64>,
    /// Empty: no limit.
    pub cache_memory: String,
    #[serde(skip)]
    pub device: DeviceChoice,
    /// Download nothing; not a field of the controls.
    #[serde(skip)]
    pub offline: bool,
}

impl Default for Form {
    fn default() -> Self {
        super::Options::default().form()
    }
}

/// A number with a switch: switched off it is ignored, and remembered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optional<T> {
    pub is_on: bool,
    pub value: T,
}

impl<T: Copy> Optional<T> {
    /// A number that is ignored until it is switched on.
    #[must_use]
    pub fn off(value: T) -> Self {
        Self { is_on: false, value }
    }

    /// The number, if it is switched on.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        self.is_on.then_some(self.value)
    }
}

/// What is wrong with which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormErrors {
    pub model: Option<String>,
    pub prompt: Option<String>,
    pub lanes: Option<String>,
    pub sampling: Option<String>,
    pub cache_memory: Option<String>,
}

impl fmt::Display for FormErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [&self.model, &self.prompt, &self.lanes, &self.sampling, &self.cache_memory];
        let all: Vec<&str> = all.into_iter().flatten().map(String::as_str).collect();
        f.write_str(&all.join("; "))
    }
}

/// Lanes that make a point, and what else a run needs for it.
pub struct Preset {
    pub name: &'static str,
    pub lanes: &'static str,
    pub point: &'static str,
    /// `None`: whatever is filled in.
    pub model: Option<&'static str>,
    pub tokens: Option<usize>,
    /// Every lane reads the first one's tokens.
    pub forced: bool,
}

impl Preset {
    const fn new(name: &'static str, lanes: &'static str, point: &'static str) -> Self {
        Self { name, lanes, point, model: None, tokens: None, forced: false }
    }
}

/// What a person can begin with.
pub const PRESETS: [Preset; 9] = [
    Preset::new(
        "Overview",
        "none,contiguous,paged:16,paged:16+int8",
        "No cache against three caches: what a cache saves, and what it costs",
    ),
    Preset::new("With and without", "none,contiguous", "The same tokens with and without a cache: why there is one"),
    Preset::new("Layouts", "none,concat,contiguous,paged:16", "Where the rows live: who reserves ahead, who copies"),
    Preset::new(
        "Block sizes",
        "paged:1,paged:16,paged:64,paged:256",
        "Small blocks waste nothing, large ones need a shorter table",
    ),
    Preset::new(
        "Contiguous, paged, quantized",
        "contiguous,paged:16,contiguous+int8,paged:16+int8",
        "Exact rows against 8-bit codes with a scale, in one buffer and in blocks",
    ),
    Preset {
        forced: true,
        ..Preset::new(
            "What quantizing costs",
            "contiguous,paged:16+int8,paged:16+q4_0,paged:32+kivi:2",
            "Ever fewer bits a number: what they save, and how far each prediction moves. All lanes read the same tokens",
        )
    },
    Preset::new(
        "Forgetting",
        "contiguous,paged:16+window:4/60,paged:16+h2o:32/32",
        "64 tokens stay: the first and the newest (a window with sinks), or those that got the most attention (heavy hitters)",
    ),
    Preset {
        tokens: Some(800),
        ..Preset::new(
            "Long story",
            "none,contiguous,paged:16,paged:16+int8",
            "Nearly the whole context of the story model: how the lanes part as it grows",
        )
    },
    Preset {
        model: Some("shape:gpt2,ctx=4096"),
        tokens: Some(2_000),
        ..Preset::new(
            "Long context",
            "contiguous,paged:16,contiguous+int8,concat",
            "GPT-2 small's shape with random weights and a context of 4,096: what a long text costs. Its words mean nothing",
        )
    },
];

impl Form {
    /// Fills in a preset.
    pub fn choose(&mut self, preset: &Preset) {
        preset.lanes.clone_into(&mut self.lanes);
        self.forced = preset.forced;
        self.chosen = None;
        // What another preset has filled in goes with it; what a person chose stays.
        let of_a_preset = |form: &Self| PRESETS.iter().any(|other| other.model == Some(form.model.as_str()));
        if let Some(model) = preset.model {
            model.clone_into(&mut self.model);
        } else if of_a_preset(self) {
            "story".clone_into(&mut self.model);
        }
        if let Some(tokens) = preset.tokens {
            self.tokens = tokens;
        } else if PRESETS.iter().any(|other| other.tokens == Some(self.tokens)) {
            self.tokens = DEFAULT_TOKENS;
        }
    }

    /// The lane that the menus show, if a person chose one and it is valid.
    #[must_use]
    pub fn chosen_lane(&self) -> Option<(usize, Lane)> {
        let index = self.chosen?;
        let lane = board::parse(board::rows(&self.lanes).get(index)?).ok()?;
        Some((index, lane))
    }

    /// # Errors
    /// Every field that makes no sense.
    pub fn check(&self) -> Result<RunSettings, FormErrors> {
        let mut errors = FormErrors::default();
        let model = keep_error(self.model.trim().parse().map_err(display), &mut errors.model);
        let lanes = keep_error(check_lanes(&self.lanes), &mut errors.lanes);
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k.get(),
            top_p: self.top_p.get(),
            seed: self.seed,
        };
        errors.sampling = sampling.check().err().map(display);
        if self.prompt.is_empty() {
            errors.prompt = Some("the prompt is empty; the model continues it, so write at least a word".into());
        }
        let limit = match self.cache_memory.trim() {
            "" => Some(None),
            text => keep_error(parse_size(text).map(Some), &mut errors.cache_memory),
        };
        match (model, lanes, limit) {
            (Some(model), Some(lanes), Some(memory_limit_bytes)) if errors == FormErrors::default() => {
                Ok(RunSettings {
                    model,
                    device: self.device,
                    offline: self.offline,
                    prompt: self.prompt.clone(),
                    lanes,
                    tokens: self.tokens,
                    sampling,
                    prefill_chunk: self.prefill_chunk.get(),
                    stop_at_eos: self.stop_at_eos,
                    memory_limit_bytes,
                    forced: self.forced,
                    watched: vec![],
                    rounds_per_sec: self.speed.get(),
                })
            }
            _ => Err(errors),
        }
    }
}

fn check_lanes(text: &str) -> Result<Vec<Lane>, String> {
    parse_lanes(text).map_err(display)
}

fn keep_error<T>(result: Result<T, String>, error: &mut Option<String>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(message) => {
            *error = Some(message);
            None
        }
    }
}

fn display(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Options;

    #[test]
    fn the_defaults_can_run() {
        let settings = Options::default().form().check().expect("the window opens ready to run");
        assert_eq!((settings.lanes.len(), settings.tokens, settings.memory_limit_bytes), (4, 200, None));
    }

    #[test]
    fn presets_can_run() {
        for preset in &PRESETS {
            let mut form = Options::default().form();
            form.choose(preset);
            assert!(form.check().is_ok(), "{}", preset.name);
        }
    }

    #[test]
    fn every_bad_field_is_named() {
        let form = Form {
            model: "gpt5".into(),
            prompt: String::new(),
            lanes: "paged:0".into(),
            temperature: -1.0,
            cache_memory: "a lot".into(),
            ..Options::default().form()
        };
        let errors = form.check().expect_err("nothing in it is right");
        let FormErrors { model, prompt, lanes, sampling, cache_memory } = errors;
        assert!(model.is_some() && prompt.is_some() && lanes.is_some() && sampling.is_some() && cache_memory.is_some());
    }
}
