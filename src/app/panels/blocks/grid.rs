//! Equal cells in rows that fill the width.

use egui::{Pos2, Rect, Vec2, vec2};

/// A cell is at least this large; where all of them together are higher than the room, they are scrolled.
const SMALLEST_CELL: f32 = 3.0;

/// Where cells lie.
pub struct Grid {
    pub cell: f32,
    gap: f32,
    columns: usize,
    n: usize,
    pub size: Vec2,
}

impl Grid {
    /// The largest cells, `most` at most, with which `n` of them fit the room there is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "coordinates on the screen"
    )]
    pub fn new(width: f32, height: f32, n: usize, most: f32) -> Self {
        let (width, height) = (width.max(1.0), height.max(1.0));
        let mut cell = most;
        loop {
            let gap = gap(cell);
            let columns = (((width + gap) / (cell + gap)) as usize).max(1);
            let rows = n.div_ceil(columns);
            let size = vec2(columns as f32 * (cell + gap) - gap, rows as f32 * (cell + gap));
            if size.y <= height || cell <= SMALLEST_CELL {
                return Self { cell, gap, columns, n, size };
            }
            cell -= 1.0;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "coordinates on the screen")]
    pub fn cell(&self, area: Rect, index: usize) -> Rect {
        let (column, row) = ((index % self.columns) as f32, (index / self.columns) as f32);
        Rect::from_min_size(area.min + vec2(column, row) * (self.cell + self.gap), Vec2::splat(self.cell))
    }

    /// The cell under a point.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "coordinates on the screen")]
    pub fn index_at(&self, area: Rect, at: Pos2) -> Option<usize> {
        let place = (at - area.min) / (self.cell + self.gap);
        if place.min_elem() < 0.0 {
            return None;
        }
        let (column, row) = (place.x as usize, place.y as usize);
        let index = row.saturating_mul(self.columns).saturating_add(column);
        (column < self.columns && index < self.n && self.cell(area, index).contains(at)).then_some(index)
    }
}

fn gap(cell: f32) -> f32 {
    match cell {
        cell if cell > 12.0 => 3.0,
        cell if cell > 6.0 => 2.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    #[test]
    fn thousands_of_blocks_fit_a_pane() {
        let grid = Grid::new(460.0, 320.0, 5_000, 44.0);
        assert!(grid.size.y <= 320.0 && grid.size.x <= 460.0 && grid.cell >= SMALLEST_CELL, "{:?}", grid.size);
        let few = Grid::new(460.0, 320.0, 6, 44.0);
        assert_eq!((few.cell, few.columns), (44.0, 9));
        assert!(Grid::new(0.0, 0.0, 1_000_000, 44.0).cell >= SMALLEST_CELL, "too many: they are scrolled");
    }

    #[test]
    fn a_point_finds_its_cell_and_no_gap() {
        let (grid, area) = (Grid::new(100.0, 100.0, 5, 30.0), Rect::from_min_size(pos2(7.0, 9.0), vec2(100.0, 100.0)));
        for index in 0..5 {
            assert_eq!(grid.index_at(area, grid.cell(area, index).center()), Some(index));
        }
        assert_eq!(grid.index_at(area, grid.cell(area, 0).right_center() + vec2(1.5, 0.0)), None, "between two");
        assert_eq!(grid.index_at(area, grid.cell(area, 5).center()), None, "behind the last");
        assert_eq!(grid.index_at(area, pos2(0.0, 0.0)), None);
    }
}
