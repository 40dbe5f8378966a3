//! The lanes of the form, one by one: a text with commas between them, which a person may also write.

use crate::{
    cache::{Lane, spec::SpecError},
    experiment::lane_names,
};

/// What a person does with a lane of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Up,
    Down,
    Duplicate,
    Remove,
}

/// The lanes as they are written, valid or not.
#[must_use]
pub fn rows(lanes: &str) -> Vec<String> {
    if lanes.trim().is_empty() {
        return vec![];
    }
    lanes.split(',').map(|row| row.trim().to_owned()).collect()
}

/// A lane, or what is wrong with what is written there.
///
/// # Errors
/// The grammar's.
pub fn parse(row: &str) -> Result<Lane, SpecError> {
    row.trim().parse()
}

/// The list with one lane written anew. A comma in it makes two.
#[must_use]
pub fn with_row(lanes: &str, index: usize, text: &str) -> String {
    let mut rows = rows(lanes);
    if let Some(row) = rows.get_mut(index) {
        text.trim().clone_into(row);
    }
    rows.join(",")
}

/// The list after a lane was moved, doubled or removed. The last lane stays: a run needs one.
#[must_use]
pub fn moved(lanes: &str, index: usize, what: Move) -> String {
    let mut rows = rows(lanes);
    if index >= rows.len() {
        return rows.join(",");
    }
    match what {
        Move::Up if index > 0 => rows.swap(index, index - 1),
        Move::Down if index + 1 < rows.len() => rows.swap(index, index + 1),
        Move::Duplicate => rows.insert(index + 1, rows[index].clone()),
        Move::Remove if rows.len() > 1 => drop(rows.remove(index)),
        Move::Up | Move::Down | Move::Remove => {}
    }
    rows.join(",")
}

/// What a lane of a run would be given if it were switched to what is written in its place; `None` where that is what it is, or nothing valid.
#[must_use]
pub fn switch_to(lanes: &str, index: usize, running: &[String]) -> Option<Lane> {
    let lane = parse(rows(lanes).get(index)?).ok()?;
    let name = running.get(index)?;
    let runs = name.split_once('#').map_or(name.as_str(), |(spec, _)| spec);
    (lane_names(&[lane])[0] != runs).then_some(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_moved_doubled_and_removed() {
        let lanes = "none, paged:16,concat";
        assert_eq!(moved(lanes, 1, Move::Up), "paged:16,none,concat");
        assert_eq!(moved(lanes, 1, Move::Down), "none,concat,paged:16");
        assert_eq!(moved(lanes, 0, Move::Up), "none,paged:16,concat", "the first stays the first");
        assert_eq!(moved(lanes, 2, Move::Down), "none,paged:16,concat");
        assert_eq!(moved(lanes, 2, Move::Duplicate), "none,paged:16,concat,concat");
        assert_eq!(moved(lanes, 0, Move::Remove), "paged:16,concat");
        assert_eq!(moved("none", 0, Move::Remove), "none", "a run needs a lane");
        assert_eq!(moved(lanes, 9, Move::Remove), "none,paged:16,concat");
    }

    #[test]
    fn a_row_can_be_written_anew() {
        assert_eq!(with_row("none,paged:16", 1, " paged:8 "), "none,paged:8");
        assert_eq!(with_row("none", 3, "paged:8"), "none");
        assert!(rows(" ").is_empty() && rows("none,").len() == 2, "an empty lane is an error to be shown");
    }

    #[test]
    fn only_another_lane_is_a_switch() {
        let running = ["none".to_owned(), "paged:16".into(), "paged:16#2".into()];
        assert_eq!(switch_to("none,paged:8,paged", 0, &running), None);
        assert_eq!(switch_to("none,paged:8,paged", 1, &running), "paged:8".parse().ok());
        assert_eq!(switch_to("none,paged:8,paged", 2, &running), None, "paged is paged:16");
        assert_eq!(switch_to("none,paged:0", 1, &running), None);
        assert_eq!(switch_to("none", 1, &running), None);
    }
}
