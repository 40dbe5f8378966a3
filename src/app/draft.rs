//! A lane put together from menus, one for each question of the grammar: the text it stands for, and why it cannot be.

use std::mem::discriminant;

use crate::cache::{
    CacheSpec, Format, Lane, Layout, Retention,
    spec::{DEFAULT_BLOCK_LEN, DEFAULT_KIVI_RESIDUAL, SpecError, TOKEN_GROUP},
};

/// An answer of a menu: its word in the grammar, what it begins with, and what it is, in plain words.
pub struct Choice<T> {
    pub word: &'static str,
    pub value: T,
    pub help: &'static str,
}

/// Where rows live; `None` is no cache.
pub const LAYOUTS: [Choice<Option<Layout>>; 4] = [
    Choice { word: "none", value: None, help: "No cache: every token runs the model over everything before it" },
    Choice {
        word: "concat",
        value: Some(Layout::Concat),
        help: "A new buffer for every token, into which everything is copied",
    },
    Choice {
        word: "contiguous",
        value: Some(Layout::Contiguous),
        help: "One buffer, reserved for the whole context and written in place",
    },
    Choice {
        word: "paged",
        value: Some(Layout::Paged { block_len: DEFAULT_BLOCK_LEN }),
        help: "Blocks from a pool, found through a block table",
    },
];

/// How a row is stored.
pub const FORMATS: [Choice<Format>; 10] = [
    Choice { word: "f32", value: Format::F32, help: "Exact: 32 bits a number" },
    Choice { word: "f16", value: Format::F16, help: "16 bits a number: half the memory, 11 bits of precision" },
    Choice { word: "bf16", value: Format::Bf16, help: "16 bits with the range of f32 and 8 bits of precision" },
    Choice { word: "f8", value: Format::F8, help: "8 bits: a float with 4 bits of precision and no scale (E4M3)" },
    Choice { word: "int8", value: Format::Int8, help: "8-bit codes with a scale for each token and head" },
    Choice { word: "q8_0", value: Format::Q8_0, help: "8-bit codes with a scale for 32 numbers of a row (llama.cpp)" },
    Choice { word: "q4_0", value: Format::Q4_0, help: "4-bit codes with a scale for 32 numbers of a row (llama.cpp)" },
    Choice { word: "int4", value: Format::Int4, help: "4-bit codes with a minimum and a step for 32 numbers of a row" },
    Choice {
        word: "kivi",
        value: Format::Kivi { bits: 2, residual: DEFAULT_KIVI_RESIDUAL },
        help: "Keys quantized by channel, 32 tokens together, values by token; the newest tokens stay exact until their \
               group is full and old enough (KIVI)",
    },
    Choice {
        word: "kvq",
        value: Format::Kvq { bits: 3 },
        help: "Levels found on a text beforehand, and the numbers farthest out stored apart (KVQuant)",
    },
];

/// Which tokens stay.
pub const RETENTIONS: [Choice<Retention>; 4] = [
    Choice { word: "all", value: Retention::All, help: "Every token stays" },
    Choice {
        word: "window",
        value: Retention::Window { sinks: 4, recent: 60 },
        help: "The first tokens (attention sinks) and the newest stay, the middle is forgotten (StreamingLLM)",
    },
    Choice {
        word: "h2o",
        value: Retention::H2o { heavy: 32, recent: 32 },
        help: "The tokens that got the most attention so far (heavy hitters) and the newest stay (H2O)",
    },
    Choice {
        word: "h2o-mean",
        value: Retention::H2oMean { heavy: 32, recent: 32 },
        help: "The same by attention for each query that could see the token, so that young tokens stand a chance",
    },
];

/// What the menus say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneDraft {
    /// False: no cache, and the rest is kept for later.
    pub has_cache: bool,
    pub spec: CacheSpec,
}

impl Default for LaneDraft {
    fn default() -> Self {
        Self { has_cache: true, spec: CacheSpec::exact(Layout::Paged { block_len: DEFAULT_BLOCK_LEN }) }
    }
}

impl LaneDraft {
    /// Shows a lane as it is.
    pub fn take(&mut self, lane: Lane) {
        self.has_cache = matches!(lane, Lane::Cache(_));
        if let Lane::Cache(spec) = lane {
            self.spec = spec;
        }
    }

    #[must_use]
    pub fn has_layout(&self, layout: Option<Layout>) -> bool {
        match layout {
            None => !self.has_cache,
            Some(layout) => self.has_cache && discriminant(&layout) == discriminant(&self.spec.layout),
        }
    }

    #[must_use]
    pub fn has_format(&self, format: Format) -> bool {
        discriminant(&format) == discriminant(&self.spec.format)
    }

    #[must_use]
    pub fn has_retention(&self, retention: Retention) -> bool {
        discriminant(&retention) == discriminant(&self.spec.retention)
    }

    pub fn choose_layout(&mut self, layout: Option<Layout>) {
        self.has_cache = layout.is_some();
        self.spec.layout = layout.unwrap_or(self.spec.layout);
        self.propose_block_len();
    }

    pub fn choose_format(&mut self, format: Format) {
        self.spec.format = format;
        self.propose_block_len();
    }

    /// Formats that quantize tokens together want blocks of whole groups.
    fn propose_block_len(&mut self) {
        if let (Layout::Paged { block_len }, Format::Kivi { .. }) = (&mut self.spec.layout, self.spec.format)
            && *block_len % TOKEN_GROUP != 0
        {
            *block_len = TOKEN_GROUP;
        }
    }

    /// The lane that the menus describe.
    ///
    /// # Errors
    /// What the grammar says against it.
    pub fn lane(&self) -> Result<Lane, SpecError> {
        let lane = if self.has_cache { Lane::Cache(self.spec) } else { Lane::None };
        lane.to_string().parse()
    }
}

/// Lanes with one more at their end.
#[must_use]
pub fn with_lane(lanes: &str, lane: Lane) -> String {
    match lanes.trim().trim_end_matches(',').trim_end() {
        "" => lane.to_string(),
        lanes => format!("{lanes},{lane}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_menu_is_the_grammars() {
        for Choice { word, value, .. } in LAYOUTS {
            let lane = value.map_or(Lane::None, |layout| Lane::Cache(CacheSpec::exact(layout)));
            assert_eq!(lane.to_string().split(':').next(), Some(word));
        }
        let words = |text: String| text.split(':').next().map(str::to_owned);
        assert!(FORMATS.iter().all(|format| words(format.value.to_string()).as_deref() == Some(format.word)));
        assert!(RETENTIONS.iter().all(|choice| words(choice.value.to_string()).as_deref() == Some(choice.word)));
    }

    #[test]
    fn every_combination_is_the_lane_it_says_or_refused_with_a_reason() {
        let (mut lanes, mut refused) = (vec![], vec![]);
        for (layout, format) in LAYOUTS.iter().flat_map(|layout| FORMATS.iter().map(move |format| (layout, format))) {
            for (retention, rotate) in RETENTIONS.iter().flat_map(|retention| [(retention, false), (retention, true)]) {
                let mut draft = LaneDraft::default();
                draft.choose_layout(layout.value);
                draft.choose_format(format.value);
                draft.spec.rotate = rotate;
                draft.spec.retention = retention.value;
                match draft.lane() {
                    Ok(Lane::None) => assert_eq!(layout.word, "none"),
                    Ok(lane) => {
                        assert_eq!(lane, Lane::Cache(draft.spec));
                        lanes.push(lane);
                    }
                    Err(error) => refused.push((layout.word, format.word, error.to_string())),
                }
            }
        }
        assert_eq!(lanes.len(), 3 * 10 * 8 - 8, "all but concat with kivi");
        assert!(refused.iter().all(|(layout, format, error)| {
            (*layout, *format) == ("concat", "kivi") && error.contains("`concat` never seals one")
        }));
    }

    #[test]
    fn kivi_proposes_blocks_of_whole_groups_and_takes_no_others() {
        let mut draft = LaneDraft::default();
        draft.choose_format(FORMATS[8].value);
        assert_eq!(draft.lane().expect("a lane").to_string(), "paged:32+kivi:2/32");
        draft.spec.layout = Layout::Paged { block_len: 64 };
        draft.choose_format(FORMATS[8].value);
        assert_eq!(draft.spec.layout, Layout::Paged { block_len: 64 }, "a multiple stays");
        draft.spec.layout = Layout::Paged { block_len: 16 };
        assert!(draft.lane().is_err_and(|error| error.to_string().contains("must be a multiple of 32, not 16")));
    }

    #[test]
    fn a_lane_is_added_behind_the_others() {
        let lane = LaneDraft::default().lane().expect("a lane");
        assert_eq!(with_lane("", lane), "paged:16");
        assert_eq!(with_lane("none, ", lane), "none,paged:16");
        assert_eq!(with_lane("none,concat", lane), "none,concat,paged:16");
    }
}
