//! The labs as the window knows them: what was read, what is chosen, what is being done and what was said last. Free of egui. What takes
//! time is done by threads ([`job`], `watch`), which tell of it in events.

pub mod job;
pub mod page;
pub mod quiz;
pub mod shelf;
mod told;
mod watch;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::course::hints::LEVELS;

pub use job::{Check, Job, Kind, Setup};
use quiz::Quiz;
use shelf::Shelf;
use told::why;
pub use told::{Done, Event, Said, Stage, Tone, What};
use watch::Watch;

const CANCELLED: &str = "Cancelled. What was compiled is kept, and the next check goes on from there.\n";

/// Asks for a frame.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// What the right side shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// A lab, or why there are none.
    Lab(u8),
    Quiz,
}

/// Everything about the labs.
pub struct Labs {
    setup: Setup,
    wake: Wake,
    told: Receiver<Event>,
    events: Sender<Event>,
    next_id: u64,
    /// The thread that reads.
    reads: Option<u64>,
    shelf: Option<Result<Box<Shelf>, String>>,
    chosen: Chosen,
    job: Option<Job>,
    watch: Option<Watch>,
    /// The watched exercise was saved while something else was done.
    checks_again: bool,
    said: BTreeMap<u8, Said>,
    /// The hints that were asked for, of each task of a lab.
    levels: BTreeMap<(u8, usize), usize>,
    /// The lab of which it is asked whether it is to be put back.
    asks_reset: Option<u8>,
    pub quiz: Quiz,
}

impl fmt::Debug for Labs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labs").field("chosen", &self.chosen).field("job", &self.job).finish_non_exhaustive()
    }
}

impl Labs {
    /// Nothing is read until [`Labs::read`] is called; `wake` asks for a frame.
    #[must_use]
    pub fn new(setup: Setup, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (events, told) = mpsc::channel();
        Self {
            setup,
            wake: Arc::new(wake),
            told,
            events,
            next_id: 1,
            reads: None,
            shelf: None,
            chosen: Chosen::Lab(1),
            job: None,
            watch: None,
            checks_again: false,
            said: BTreeMap::new(),
            levels: BTreeMap::new(),
            asks_reset: None,
            quiz: Quiz::default(),
        }
    }

    /// What was read last; `None`: nothing yet.
    #[must_use]
    pub fn shelf(&self) -> Option<Result<&Shelf, &str>> {
        self.shelf.as_ref().map(|shelf| shelf.as_deref().map_err(String::as_str))
    }

    /// What is chosen.
    #[must_use]
    pub fn chosen(&self) -> Chosen {
        self.chosen
    }

    pub fn choose(&mut self, chosen: Chosen) {
        (self.chosen, self.asks_reset) = (chosen, None);
    }

    /// What is being done.
    #[must_use]
    pub fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    #[must_use]
    pub fn watched(&self) -> Option<u8> {
        self.watch.as_ref().map(|watch| watch.lab)
    }

    /// What was said of a lab last.
    #[must_use]
    pub fn said(&self, lab: u8) -> Option<&Said> {
        self.said.get(&lab)
    }

    /// True while it is asked whether a lab is to be put back.
    #[must_use]
    pub fn asks_reset(&self, lab: u8) -> bool {
        self.asks_reset == Some(lab)
    }

    pub fn ask_reset(&mut self, lab: Option<u8>) {
        self.asks_reset = lab;
    }

    /// How far somebody is with a lab, in two or three words.
    #[must_use]
    pub fn words(&self, lab: u8) -> String {
        let Some(Ok(shelf)) = self.shelf() else { return String::new() };
        match (self.said(lab), shelf.page(lab)) {
            (Some(said), _) if said.is_broken => "does not compile".into(),
            (_, Some(page)) => shelf.words(page),
            (_, None) => String::new(),
        }
    }

    /// The task that hints are for, and how many of them were asked for.
    #[must_use]
    pub fn hints(&self, lab: u8) -> Option<(usize, usize)> {
        let shelf = self.shelf()?.ok()?;
        let task = shelf.task(shelf.page(lab)?)?;
        Some((task, self.levels.get(&(lab, task)).copied().unwrap_or(0)))
    }

    /// One hint more.
    pub fn hint(&mut self, lab: u8) {
        if let Some((task, level)) = self.hints(lab) {
            self.levels.insert((lab, task), (level + 1).min(LEVELS));
        }
    }

    /// Reads the labs, unless that is being done.
    pub fn read(&mut self) {
        if self.reads.is_some() {
            return;
        }
        let id = self.id();
        let (root, events, wake) = (self.setup.root.clone(), self.events.clone(), self.wake.clone());
        let read = move || {
            let shelf = Shelf::read(root.as_deref()).map(Box::new).map_err(why);
            let _ = events.send(Event { id, what: What::Read(shelf) });
            wake();
        };
        match thread::Builder::new().name("labs".into()).spawn(read) {
            Ok(_) => self.reads = Some(id),
            Err(error) => self.shelf = Some(Err(format!("no thread to read the labs: {error}"))),
        }
    }

    /// Does something with a lab, unless something is being done.
    pub fn begin(&mut self, kind: Kind, lab: u8) {
        let id = self.id();
        let (Some(Ok(shelf)), None) = (&self.shelf, &self.job) else { return };
        let Ok(found) = shelf.course.lab(lab) else { return };
        let to = (self.events.clone(), self.wake.clone());
        match Job::begin((id, kind), (&shelf.course, found), &self.setup.check, to) {
            Ok(job) => self.job = Some(job),
            Err(error) => self.fail(lab, format!("no thread for it: {error}")),
        }
        self.asks_reset = None;
    }

    /// Ends what is being done.
    pub fn cancel(&mut self) {
        self.checks_again = false;
        if let Some(job) = &mut self.job {
            job.cancel();
        }
    }

    /// Checks a lab now and whenever it is saved, or no more.
    pub fn watch(&mut self, lab: u8, is_on: bool) {
        (self.watch, self.checks_again) = (None, false);
        let Some(Ok(shelf)) = self.shelf.as_ref().filter(|_| is_on) else { return };
        let Some(path) = shelf.page(lab).map(|page| page.lab.exercise()) else { return };
        let id = self.id();
        match Watch::begin((id, lab), path, (self.events.clone(), self.wake.clone())) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => return self.fail(lab, format!("no thread for it: {error}")),
        }
        self.check_watched();
    }

    /// Takes in what the threads have told.
    pub fn drain(&mut self) {
        while let Ok(event) = self.told.try_recv() {
            self.apply(event);
        }
    }

    /// Takes an event in. What comes of a thread that was given up changes nothing.
    pub fn apply(&mut self, Event { id, what }: Event) {
        match what {
            What::Read(shelf) if self.reads == Some(id) => {
                self.reads = None;
                // A lab may be gone since the last time.
                if let (Ok(shelf), Chosen::Lab(lab)) = (&shelf, self.chosen)
                    && let (None, Some(first)) = (shelf.page(lab), shelf.pages.first())
                {
                    self.chosen = Chosen::Lab(first.lab.number);
                }
                self.shelf = Some(shelf);
            }
            What::Stage(stage) => {
                // A line that was on its way does not undo a cancel.
                if let Some(job) = self.job.as_mut().filter(|job| job.id == id && job.stage != Stage::Ending) {
                    job.stage = stage;
                }
            }
            What::Done(result, progress) if self.job.as_ref().is_some_and(|job| job.id == id) => {
                let lab = self.job.take().map_or(0, |job| job.lab);
                if let Some(Ok(shelf)) = &mut self.shelf {
                    shelf.progress = progress;
                }
                let said = match result {
                    Ok(Done::Checked(outcome)) => Said::of(lab, &outcome),
                    Ok(Done::Said(text)) => Said::new(Tone::Plain, "done", text),
                    Err(Some(message)) => Said::new(Tone::Bad, "failed", message),
                    Err(None) => Said::new(Tone::Plain, "cancelled", CANCELLED.into()),
                };
                self.said.insert(lab, said);
                if std::mem::take(&mut self.checks_again) {
                    self.check_watched();
                }
            }
            What::Saved if self.watch.as_ref().is_some_and(|watch| watch.id == id) => self.check_watched(),
            What::Read(_) | What::Done(..) | What::Saved => {}
        }
    }

    /// Now, or when what is being done is over.
    fn check_watched(&mut self) {
        match self.watched() {
            Some(_) if self.job.is_some() => self.checks_again = true,
            Some(lab) => self.begin(Kind::Check, lab),
            None => {}
        }
    }

    fn fail(&mut self, lab: u8, text: String) {
        self.said.insert(lab, Said::new(Tone::Bad, "failed", text));
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

#[cfg(test)]
#[path = "labs/tests.rs"]
mod tests;
