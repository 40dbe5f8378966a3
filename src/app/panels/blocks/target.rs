//! What a person points at in the blocks pane, and what a click keeps.

use crate::cache::{PoolPicture, blocks::NO_BLOCK};

/// A thing that can be pointed at, wherever it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A token of a sequence: a slot, or a word of the text.
    Token { sequence: usize, position: usize },
    /// A physical block.
    Block(u32),
    /// A place in a block table whose block was given back.
    Gap { sequence: usize, place: usize },
}

impl Target {
    /// The physical block that it is or lies in.
    pub fn block(self, picture: &PoolPicture) -> Option<u32> {
        match self {
            Self::Block(block) => Some(block),
            Self::Token { sequence, position } => {
                let blocks = &picture.sequences.get(sequence)?.blocks;
                blocks.get(position / picture.block_len.max(1)).copied().filter(|block| *block != NO_BLOCK)
            }
            Self::Gap { .. } => None,
        }
    }

    /// The slot of a token in its block.
    pub fn slot(self, picture: &PoolPicture) -> Option<usize> {
        match self {
            Self::Token { position, .. } => Some(position % picture.block_len.max(1)),
            Self::Block(_) | Self::Gap { .. } => None,
        }
    }
}

/// What happened in a part of the pane in this frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    pub pointed: Option<Target>,
    pub clicked: bool,
}

impl Touch {
    /// Of two parts that do not overlap.
    pub fn or(self, other: Self) -> Self {
        Self { pointed: self.pointed.or(other.pointed), clicked: self.clicked || other.clicked }
    }
}

/// What is shown in detail and highlighted everywhere: what was pinned, or else what the pointer was on in the last frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    pointed: Option<Target>,
    pinned: Option<Target>,
}

impl Focus {
    pub fn target(&self) -> Option<Target> {
        self.pinned.or(self.pointed)
    }

    pub fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// A click pins what is under it. A click on the pinned, or on nothing, releases.
    pub fn take(&mut self, touch: Touch) {
        self.pointed = touch.pointed;
        if touch.clicked {
            self.pinned = touch.pointed.filter(|pointed| self.pinned != Some(*pointed));
        }
    }

    pub fn release(&mut self) {
        self.pinned = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::SequencePicture;

    #[test]
    fn a_token_is_found_in_its_block_and_slot() {
        let sequence = SequencePicture { len: 9, blocks: vec![5, NO_BLOCK, 2], ..SequencePicture::default() };
        let picture = PoolPicture { block_len: 4, n_blocks: 6, token_bytes: 8, sequences: vec![sequence] };
        let token = |position| Target::Token { sequence: 0, position };
        assert_eq!((token(3).block(&picture), token(3).slot(&picture)), (Some(5), Some(3)));
        assert_eq!((token(6).block(&picture), token(8).block(&picture)), (None, Some(2)));
        assert_eq!(
            (token(99).block(&picture), Target::Token { sequence: 4, position: 0 }.block(&picture)),
            (None, None)
        );
        assert_eq!((Target::Block(1).block(&picture), Target::Block(1).slot(&picture)), (Some(1), None));
    }

    #[test]
    fn a_click_keeps_and_another_releases() {
        let (a, b) = (Target::Block(1), Target::Block(2));
        let touch = |pointed, clicked| Touch { pointed, clicked };
        let mut focus = Focus::default();
        focus.take(touch(Some(a), false));
        assert_eq!((focus.target(), focus.is_pinned()), (Some(a), false));
        focus.take(touch(Some(a), true));
        focus.take(touch(Some(b), false));
        assert_eq!(focus.target(), Some(a), "the pointer goes on, the detail stays");
        focus.take(touch(Some(b), true));
        assert_eq!(focus.target(), Some(b));
        focus.take(touch(Some(b), true));
        assert!(!focus.is_pinned(), "again on the same");
        focus.take(touch(Some(a), true));
        focus.take(touch(None, true));
        assert_eq!(focus.target(), None, "on nothing");
    }
}
