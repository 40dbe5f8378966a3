//! Looks at stored numbers: one is under way at a time, and whoever drags a slider gets the last place.

use super::App;
use crate::{app::worker::BUSY, engine::Ask};

/// What the engine was asked, and what it is asked next.
#[derive(Debug, Default)]
pub(super) struct Looks {
    is_under_way: bool,
    next: Option<(usize, Ask)>,
}

impl Looks {
    /// Looks there next; whatever waited before waits no more.
    pub fn want(&mut self, lane: usize, ask: Ask) {
        self.next = Some((lane, ask));
    }

    pub fn answered(&mut self) {
        self.is_under_way = false;
    }

    /// What to ask now.
    fn take(&mut self) -> Option<(usize, Ask)> {
        if self.is_under_way { None } else { self.next.take() }
    }
}

impl App {
    /// Asks the engine for what is wanted, unless it still looks elsewhere.
    pub(super) fn look(&mut self) {
        let Some((lane, ask)) = self.looks.take() else { return };
        match self.worker.inspect(lane, ask) {
            Ok(()) => self.looks.is_under_way = true,
            // The next frame tries again.
            Err(message) if message == BUSY => self.looks.next = Some((lane, ask)),
            Err(message) => self.run.fail(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_wishes_the_last_is_asked_when_the_first_is_answered() {
        let ask = |position| Ask { layer: 0, head: 0, position };
        let mut looks = Looks::default();
        looks.want(0, ask(1));
        assert_eq!(looks.take(), Some((0, ask(1))));
        looks.is_under_way = true;
        (2..9).for_each(|position| looks.want(0, ask(position)));
        assert_eq!(looks.take(), None);
        looks.answered();
        assert_eq!((looks.take(), looks.take()), (Some((0, ask(8))), None));
    }
}
