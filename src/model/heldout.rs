//! The 32 stories that the story model was not trained on, and passages of any other text: what quality is measured on.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{ModelError, safetensors::hex};

/// Written by `assets/story-gpt2/recipe/evaluate.py`: a story a line.
const STORIES: &str = include_str!("../../assets/story-gpt2/heldout.jsonl");

/// Tokens to read, and the places where one of them recalls something said before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Passage {
    pub ids: Vec<u32>,
    #[serde(default)]
    pub recall: Vec<RecallMark>,
}

/// A value that the story told before: having read `ids[..position]`, the model should say `token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RecallMark {
    /// Index of the recalled token, the first of its word.
    pub position: usize,
    /// Tokens since the value was last mentioned.
    pub distance: usize,
    pub token: u32,
}

impl Passage {
    /// The embedded stories of 1,024 tokens each, with their marks.
    ///
    /// # Errors
    /// [`ModelError::BadData`] of a damaged binary.
    pub fn held_out_stories() -> Result<Vec<Self>, ModelError> {
        let story = |(line, json)| {
            let passage: Self = serde_json::from_str(json)
                .map_err(|e| ModelError::BadData(format!("held-out stories, line {}: {e}", line + 1)))?;
            Ok(passage)
        };
        STORIES.lines().enumerate().map(story).collect()
    }

    /// `ids` in pieces of `len` tokens, the last maybe shorter; without marks.
    #[must_use]
    pub fn cut(ids: &[u32], len: usize) -> Vec<Self> {
        ids.chunks(len.max(1)).map(|ids| Self { ids: ids.to_vec(), recall: vec![] }).collect()
    }

    /// SHA-256 of the ids of all `passages`, each id as four bytes, the lowest first, and a length of eight before each
    /// passage: whoever has the same hash reads the same.
    #[must_use]
    pub fn hash(passages: &[Self]) -> String {
        let mut hasher = Sha256::new();
        for passage in passages {
            hasher.update((passage.ids.len() as u64).to_le_bytes());
            passage.ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
        }
        hex(&hasher.finalize())
    }

    /// Only the first `len` tokens, and the marks among them.
    pub fn truncate(&mut self, len: usize) {
        self.ids.truncate(len);
        self.recall.retain(|mark| mark.position < len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSource;

    #[test]
    fn the_stories_are_whole_and_their_marks_are_where_they_say() {
        let config = ModelSource::Story.config().expect("config");
        let mut stories = Passage::held_out_stories().expect("embedded");
        assert_eq!(stories.len(), 32);
        for story in &stories {
            assert_eq!(story.ids.len(), config.n_positions);
            assert!(story.ids.iter().all(|id| (*id as usize) < config.vocab_size));
            for mark in &story.recall {
                assert!(mark.distance > 0 && mark.distance <= mark.position);
                assert_eq!(story.ids[mark.position], mark.token);
            }
        }
        let marks = stories.iter().map(|story| story.recall.len()).sum::<usize>();
        assert_eq!(marks, 850 + 1207 + 271 + 141 + 3, "as the model card counts them, and 3 beyond 900 tokens");
        stories[1].truncate(200);
        assert!(stories[1].ids.len() == 200 && stories[1].recall.len() == 3);
    }

    #[test]
    fn a_text_is_cut_without_loss() {
        let ids: Vec<u32> = (0..10).collect();
        let pieces = Passage::cut(&ids, 4);
        assert_eq!(pieces.iter().map(|piece| piece.ids.len()).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(pieces.into_iter().flat_map(|piece| piece.ids).collect::<Vec<_>>(), ids);
        assert!(Passage::cut(&[], 4).is_empty());
        assert_eq!(Passage::hash(&Passage::cut(&ids, 4)), Passage::hash(&Passage::cut(&ids, 4)));
        assert_ne!(Passage::hash(&Passage::cut(&ids, 4)), Passage::hash(&Passage::cut(&ids, 5)));
    }
}
