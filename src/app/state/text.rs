//! A lane's text in pieces: where it says what the first lane says, and where it does not.

use super::LaneState;

/// A piece of a lane's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub text: &'a str,
    /// The token, counted from 0, where it is one that differs from the first lane's.
    pub differs: Option<usize>,
}

impl LaneState {
    /// The text in order. A token that differs stands alone, and one that ends inside a character shows with the token that completes it.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = vec![];
        let mut done = 0;
        for &token in &self.differing {
            let start = token.checked_sub(1).and_then(|before| self.text_ends.get(before)).copied().unwrap_or(0);
            let ends = self.text_ends.get(token..).unwrap_or_default();
            let end = ends.iter().copied().find(|end| *end > start).unwrap_or(self.text.len());
            if start < done {
                continue;
            }
            let text = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
            pieces.push(Piece { text: text(done, start), differs: None });
            pieces.push(Piece { text: text(start, end), differs: Some(token) });
            done = end;
        }
        pieces.push(Piece { text: self.text.get(done..).unwrap_or_default(), differs: None });
        pieces.retain(|piece| !piece.text.is_empty() || piece.differs.is_some());
        pieces
    }
}
