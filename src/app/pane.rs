//! The panes of the window, by name.

use serde::{Deserialize, Serialize};

/// What the middle of the window shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pane {
    /// Latency, memory and text of every lane.
    #[default]
    Cost,
    /// Whom the tokens of one lane look at.
    Attention,
    /// Where the tokens of one lane lie.
    Blocks,
    /// How the next token is made, layer by layer.
    Layers,
    /// The stored numbers of one token beside the exact ones.
    Numbers,
    /// What each lane gets wrong, for how many bytes.
    Quality,
    /// How many users fit into a memory.
    Plan,
    /// The course: its pages, its checks, and the quiz.
    Labs,
}

impl Pane {
    pub const ALL: [Self; 8] =
        [Self::Cost, Self::Attention, Self::Blocks, Self::Layers, Self::Numbers, Self::Quality, Self::Plan, Self::Labs];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cost => "Cost",
            Self::Attention => "Attention",
            Self::Blocks => "Blocks",
            Self::Layers => "Layers",
            Self::Numbers => "Numbers",
            Self::Quality => "Quality",
            Self::Plan => "Plan",
            Self::Labs => "Labs",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Cost => "What each token costs in every lane: time, memory, and the text that comes of it",
            Self::Attention => "Whom the tokens of one lane look at, in every head of every layer",
            Self::Blocks => "Where the tokens of one lane lie, what is shared and what is copied",
            Self::Layers => "How the next token is made, one layer after another",
            Self::Numbers => "What is stored of one token, number by number, and how the newest token reads it",
            Self::Quality => "What each lane gets wrong, and for how many bytes: measured on held-out stories",
            Self::Plan => "How many users of a model fit into a memory, with each cache: by arithmetic, nothing runs",
            Self::Labs => "Write it yourself: what to do, checks of your code, hints, and a quiz",
        }
    }
}

impl std::str::FromStr for Pane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |pane: &Self| pane.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.into_iter().map(|pane| pane.name().to_lowercase()).collect();
            format!("unknown pane `{text}`; panes are {}", names.join(", "))
        })
    }
}
