//! Notes: what the window has to say without stopping anybody, newest last.
//!
//! A note leaves when its time is over or when it is dismissed; an error stays until it is dismissed. Only the newest few are shown. The
//! clock of a note runs while the note is shown and nobody points at it. Times are seconds of the caller's clock.

/// Notes that are shown at the same time.
pub const MAX_SHOWN: usize = 4;
/// How long a note is shown that is no error, in seconds.
pub const SHOWN_SECS: f64 = 6.0;
/// More notes than this are not kept: the oldest goes.
const MAX_KEPT: usize = 32;

/// What sort of news it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteKind {
    Info,
    /// Something went as it should.
    Good,
    Warning,
    /// Stays until it is dismissed.
    Error,
}

impl NoteKind {
    /// What stands above the note.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "Note",
            Self::Good => "Done",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

/// A note, told from others that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoteId(u64);

/// One note.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub id: NoteId,
    pub kind: NoteKind,
    pub text: String,
    /// `None`: until it is dismissed.
    left_secs: Option<f64>,
    /// Since when its clock runs; `None` while it does not.
    runs_since: Option<f64>,
}

impl Note {
    /// The note in one line, as a screen reader says it.
    #[must_use]
    pub fn spoken(&self) -> String {
        format!("{}: {}", self.kind.name(), self.text)
    }
}

/// All notes of the window that were not dismissed yet.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    queue: Vec<Note>,
    next_id: u64,
    /// The note that somebody points at.
    pointed: Option<NoteId>,
}

impl Notes {
    /// One more note. One that says the same as an older note replaces it.
    pub fn push(&mut self, kind: NoteKind, text: impl Into<String>) -> NoteId {
        let text = text.into();
        self.queue.retain(|note| (note.kind, &note.text) != (kind, &text));
        if self.queue.len() >= MAX_KEPT {
            let oldest = self.queue.iter().position(|note| note.kind != NoteKind::Error).unwrap_or(0);
            self.queue.remove(oldest);
        }
        let id = NoteId(self.next_id);
        self.next_id += 1;
        let left_secs = (kind != NoteKind::Error).then_some(SHOWN_SECS);
        self.queue.push(Note { id, kind, text, left_secs, runs_since: None });
        id
    }

    /// Takes a note away.
    pub fn dismiss(&mut self, id: NoteId) {
        self.queue.retain(|note| note.id != id);
    }

    /// The notes to show, the newest last.
    #[must_use]
    pub fn shown(&self) -> &[Note] {
        &self.queue[self.n_waiting()..]
    }

    /// Older notes that there is no room for now.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.queue.len().saturating_sub(MAX_SHOWN)
    }

    /// True if there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets the clocks run up to `now_secs`, and notes go whose time is over.
    pub fn tick(&mut self, now_secs: f64) {
        for note in &mut self.queue {
            if let (Some(left), Some(since)) = (&mut note.left_secs, note.runs_since.take()) {
                *left -= (now_secs - since).max(0.0);
            }
        }
        self.queue.retain(|note| note.left_secs.is_none_or(|left| left > 0.0));
        let (n_waiting, pointed) = (self.n_waiting(), self.pointed);
        for note in &mut self.queue[n_waiting..] {
            note.runs_since = (Some(note.id) != pointed).then_some(now_secs);
        }
    }

    /// Stops the clock of the note that somebody points at since `now_secs`, and only of that one.
    pub fn point_at(&mut self, note: Option<NoteId>, now_secs: f64) {
        self.pointed = note;
        self.tick(now_secs);
    }

    /// Seconds until the next note goes by itself, counted from the last [`Notes::tick`]; `None` while none will.
    #[must_use]
    pub fn next_secs(&self) -> Option<f64> {
        let running = self.queue.iter().filter(|note| note.runs_since.is_some());
        running.filter_map(|note| note.left_secs).min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(notes: &Notes) -> Vec<&str> {
        notes.shown().iter().map(|note| note.text.as_str()).collect()
    }

    #[test]
    fn a_note_goes_after_its_time_and_an_error_stays() {
        let mut notes = Notes::default();
        notes.push(NoteKind::Info, "read");
        let error = notes.push(NoteKind::Error, "no room");
        assert_eq!(notes.next_secs(), None, "no clock runs before the note is shown");
        notes.tick(100.0);
        assert_eq!(notes.next_secs(), Some(6.0));
        notes.tick(105.5);
        assert_eq!((texts(&notes), notes.next_secs()), (vec!["read", "no room"], Some(0.5)));
        notes.tick(106.0);
        assert_eq!((texts(&notes), notes.next_secs()), (vec!["no room"], None));
        notes.tick(1e9);
        assert_eq!(texts(&notes), ["no room"]);
        notes.dismiss(error);
        assert!(notes.is_empty());
    }

    #[test]
    fn the_newest_four_are_shown_and_the_others_wait_without_losing_time() {
        let mut notes = Notes::default();
        notes.push(NoteKind::Info, "first");
        notes.tick(0.0);
        notes.tick(2.0);
        for text in ["a", "b", "c", "d"] {
            notes.push(NoteKind::Warning, text);
        }
        assert_eq!((texts(&notes), notes.n_waiting()), (vec!["a", "b", "c", "d"], 1));
        notes.tick(2.0);
        notes.tick(8.0);
        assert_eq!(texts(&notes), ["first"], "the others' time was over");
        assert_eq!(notes.next_secs(), Some(4.0));
    }

    #[test]
    fn pointing_at_a_note_stops_its_clock_only() {
        let mut notes = Notes::default();
        let read = notes.push(NoteKind::Info, "read");
        notes.push(NoteKind::Info, "other");
        notes.tick(0.0);
        notes.tick(1.0);
        notes.point_at(Some(read), 1.0);
        notes.tick(60.0);
        assert_eq!((texts(&notes), notes.next_secs()), (vec!["read"], None));
        notes.point_at(None, 60.0);
        assert_eq!(notes.next_secs(), Some(5.0));
        notes.tick(65.0);
        assert!(notes.is_empty());
    }

    #[test]
    fn the_same_news_is_shown_once_and_anew() {
        let mut notes = Notes::default();
        notes.push(NoteKind::Info, "saved");
        notes.push(NoteKind::Info, "other");
        notes.tick(0.0);
        notes.tick(5.0);
        notes.push(NoteKind::Info, "saved");
        notes.push(NoteKind::Good, "saved");
        assert_eq!(texts(&notes), ["other", "saved", "saved"]);
        notes.tick(5.0);
        notes.tick(7.0);
        assert_eq!(texts(&notes), ["saved", "saved"], "with clocks of their own");
    }

    #[test]
    fn there_is_a_bound_and_errors_are_kept_longest() {
        let mut notes = Notes::default();
        notes.push(NoteKind::Error, "an error");
        for number in 0..1000 {
            notes.push(NoteKind::Info, format!("{number}"));
        }
        assert_eq!((notes.queue.len(), notes.queue[0].text.as_str()), (MAX_KEPT, "an error"));
    }

    #[test]
    fn a_clock_that_goes_backwards_gives_and_takes_nothing() {
        let mut notes = Notes::default();
        notes.push(NoteKind::Good, "done");
        notes.tick(10.0);
        notes.tick(3.0);
        assert_eq!(notes.next_secs(), Some(6.0));
    }
}
