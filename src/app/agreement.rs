//! Agreement with the first lane in as many cells as there are pixels, so that no token that differs is lost. Free of egui.

use std::ops::Range;

use super::state::Compared;

/// What a cell of a strip says of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// None of them was compared.
    Unknown,
    /// The likeliest token is the first lane's, in each.
    Agrees,
    /// In one of them at least it is another.
    Differs,
}

/// The tokens of `shown` in `n_cells` cells of equal width; fewer where there are fewer tokens.
#[must_use]
pub fn cells(compared: &[Compared], shown: &Range<usize>, n_cells: usize) -> Vec<Cell> {
    let n_tokens = shown.len();
    // Tokens that together are less than a pixel have one cell all the same.
    let n_cells = n_cells.max(1).min(n_tokens);
    let mut cells = vec![Cell::Unknown; n_cells];
    for token in compared.iter().filter(|token| shown.contains(&token.step)) {
        let cell = &mut cells[(token.step - shown.start) * n_cells / n_tokens];
        match (*cell, token.agrees) {
            (_, false) => *cell = Cell::Differs,
            (Cell::Unknown, true) => *cell = Cell::Agrees,
            _ => {}
        }
    }
    cells
}

/// Neighbouring cells that say the same, as one.
#[must_use]
pub fn runs(cells: &[Cell]) -> Vec<(Range<usize>, Cell)> {
    let mut start = 0;
    let run = |same: &[Cell]| {
        let run = (start..start + same.len(), same[0]);
        start += same.len();
        run
    };
    cells.chunk_by(|a, b| a == b).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(differing: &[usize], n: usize) -> Vec<Compared> {
        (0..n).map(|step| Compared { step, kl_nats: 0.1, agrees: !differing.contains(&step) }).collect()
    }

    #[test]
    fn every_token_has_a_cell_where_there_is_room() {
        let cells = cells(&compared(&[2], 4), &(0..6), 100);
        assert_eq!(
            runs(&cells),
            [(0..2, Cell::Agrees), (2..3, Cell::Differs), (3..4, Cell::Agrees), (4..6, Cell::Unknown)]
        );
    }

    #[test]
    fn no_token_that_differs_is_lost() {
        let many = compared(&[0, 777, 1_999], 2_000);
        let cells = cells(&many, &(0..2_000), 100);
        let differing: Vec<usize> = (0..cells.len()).filter(|i| cells[*i] == Cell::Differs).collect();
        assert_eq!((cells.len(), differing), (100, vec![0, 38, 99]));
        assert_eq!(runs(&cells).len(), 5);
    }

    #[test]
    fn nothing_has_no_cells() {
        assert!(cells(&[], &(3..3), 10).is_empty() && runs(&[]).is_empty());
        assert_eq!(cells(&compared(&[], 1), &(0..1), 0), [Cell::Agrees], "less than a pixel");
        assert_eq!(cells(&compared(&[], 9), &(20..22), 10), [Cell::Unknown; 2], "another part of the run");
    }
}
