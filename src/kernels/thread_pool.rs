//! Threads for kernels: work that takes microseconds is shared without a system call.
//!
//! A decoded token of GPT-2 small is some seventy pieces of work of 20 to 500 microseconds, one after the other. Waking a sleeping thread takes
//! as long as the small ones, so a worker that has nothing to do looks again for 100 microseconds before it sleeps: between two layers it is awake, and
//! when no token is computed it costs nothing. The caller takes part, and never waits for a worker that was slow to wake: what is left to do
//! is claimed piece by piece, so a core that somebody else keeps busy (the window draws) only takes fewer pieces.
//!
//! Results must not depend on who computes a piece; then they are the same for any number of threads.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

/// How long a worker looks for work before it sleeps: longer than a token spends between two pieces of parallel work, shorter than anyone
/// notices.
const SPIN: Duration = Duration::from_micros(100);

/// Looks between two glances at the clock.
const LOOKS: usize = 64;

/// More threads than any machine has cores.
const MOST: usize = 1024;

type Work = dyn Fn(usize) + Sync;
type Panic = Box<dyn Any + Send>;

/// A piece of work as workers see it. The pointer is only valid while the job is open.
struct Job {
    work: Cell<Option<*const Work>>,
    n_pieces: AtomicUsize,
    next_piece: AtomicUsize,
    /// Workers that may take part.
    helpers: AtomicUsize,
    /// Counts jobs; what a worker waits for.
    epoch: AtomicU64,
    /// The epoch whose pieces may be claimed; 0 when there is none.
    open: AtomicU64,
    /// Workers between looking whether a job is open and being done with it.
    inside: AtomicUsize,
    panic: Mutex<Option<Panic>>,
    stop: AtomicBool,
}

#[expect(unsafe_code, reason = "the pointer is shared by the rule that is written at each use")]
// SAFETY: `work` is written by the one caller that made the pool busy, while no worker is inside (`run` waits for that before it returns), and
// read by workers only between entering and leaving, after they saw the job open. The closure behind it is `Sync`.
unsafe impl Sync for Job {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Send for Job {}

struct Worker {
    thread: Thread,
    asleep: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

/// Some threads, the caller's among them.
pub struct ThreadPool {
    job: Arc<Job>,
    workers: Vec<Worker>,
    /// True while a job runs: another caller works alone meanwhile.
    busy: AtomicBool,
}

impl ThreadPool {
    /// `n_threads` with the caller's, at least 1 and at most 1024. Where the system refuses a thread, there are fewer.
    #[must_use]
    pub fn new(n_threads: usize) -> Self {
        let job = Arc::new(Job {
            work: Cell::new(None),
            n_pieces: AtomicUsize::new(0),
            next_piece: AtomicUsize::new(0),
            helpers: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            open: AtomicU64::new(0),
            inside: AtomicUsize::new(0),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let worker = |index: usize| {
            let (job, asleep) = (job.clone(), Arc::new(AtomicBool::new(false)));
            let sleeps = asleep.clone();
            let name = format!("kvlab-kernels-{index}");
            let handle = thread::Builder::new().name(name).spawn(move || job.serve(index, &sleeps)).ok()?;
            Some(Worker { thread: handle.thread().clone(), asleep, handle: Some(handle) })
        };
        let workers = (0..n_threads.min(MOST).saturating_sub(1)).map_while(worker).collect();
        Self { job, workers, busy: AtomicBool::new(false) }
    }

    #[must_use]
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work` once for each number below `n_pieces`, on at most `n_threads` threads, and returns when all have returned.
    ///
    /// # Panics
    /// If `work` does, after all pieces that were begun have ended.
    pub fn run(&self, n_pieces: usize, n_threads: usize, work: &(dyn Fn(usize) + Sync)) {
        let helpers = n_threads.min(n_pieces).saturating_sub(1).min(self.workers.len());
        if helpers == 0 || self.busy.swap(true, SeqCst) {
            (0..n_pieces).for_each(work);
            return;
        }
        let job = &*self.job;
        #[expect(unsafe_code, reason = "a borrow cannot be handed to threads that outlive it in any other way")]
        // SAFETY: only the lifetime changes. Workers use the reference only while the job is open and they are inside, and `closed` below closes it
        // and waits for them, also when a piece panics, before this function returns and the borrow ends.
        let shared = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Work>(work) };
        job.work.set(Some(std::ptr::from_ref(shared)));
        job.n_pieces.store(n_pieces, SeqCst);
        job.next_piece.store(0, SeqCst);
        job.helpers.store(helpers, SeqCst);
        let epoch = job.epoch.load(SeqCst) + 1;
        job.open.store(epoch, SeqCst);
        job.epoch.store(epoch, SeqCst);
        let closed = Closed(self);
        for worker in &self.workers[..helpers] {
            if worker.asleep.swap(false, SeqCst) {
                worker.thread.unpark();
            }
        }
        job.claim(work);
        if let Some(panic) = closed.end() {
            resume_unwind(panic);
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.job.stop.store(true, SeqCst);
        for worker in &self.workers {
            worker.thread.unpark();
        }
        for handle in self.workers.iter_mut().filter_map(|worker| worker.handle.take()) {
            // A worker ends by returning; what a piece panicked with was passed on by `run`.
            drop(handle.join());
        }
    }
}

/// Ends the job, also where the caller's own piece panics.
struct Closed<'a>(&'a ThreadPool);

impl Closed<'_> {
    /// What a worker's piece panicked with.
    fn end(self) -> Option<Panic> {
        let panic = self.0.close();
        std::mem::forget(self);
        panic
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

impl ThreadPool {
    /// Closes the job, waits until no worker is inside, and lets the next caller in.
    fn close(&self) -> Option<Panic> {
        let job = &self.job;
        // A worker that enters after this sees it closed; one that saw it open is counted (both orders are total, so one of the two sees the other).
        job.open.store(0, SeqCst);
        let mut looks = 0_usize;
        while job.inside.load(SeqCst) > 0 {
            looks += 1;
            if looks.is_multiple_of(LOOKS * LOOKS) {
                // Its core may be somebody else's just now.
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
        job.work.set(None);
        let panic = job.panic.lock().ok().and_then(|mut panic| panic.take());
        self.busy.store(false, SeqCst);
        panic
    }
}

impl Job {
    /// Claims pieces until there are none.
    fn claim(&self, work: &(dyn Fn(usize) + Sync)) {
        let n_pieces = self.n_pieces.load(SeqCst);
        loop {
            let piece = self.next_piece.fetch_add(1, SeqCst);
            if piece >= n_pieces {
                return;
            }
            work(piece);
        }
    }

    /// The life of a worker.
    fn serve(&self, index: usize, asleep: &AtomicBool) {
        INSIDE.set(true);
        let (mut seen, mut spin) = (0, SPIN);
        while self.wait(&mut seen, spin, asleep) {
            // Who is not needed for a job is not waiting for the next one either.
            spin = Duration::ZERO;
            if index >= self.helpers.load(SeqCst) {
                continue;
            }
            spin = SPIN;
            self.inside.fetch_add(1, SeqCst);
            if self.open.load(SeqCst) != 0
                && index < self.helpers.load(SeqCst)
                && let Some(work) = self.work.get()
            {
                #[expect(unsafe_code, reason = "the other side of the borrow that `run` hands out")]
                // SAFETY: the job is open and this worker counted, so `run` has not returned and does not before this is over.
                let work = unsafe { &*work };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.claim(work)))
                    && let Ok(mut first) = self.panic.lock()
                {
                    first.get_or_insert(panic);
                }
            }
            self.inside.fetch_sub(1, SeqCst);
        }
    }

    /// Until there is another job than the one `seen`; false when the pool ends.
    fn wait(&self, seen: &mut u64, spin: Duration, asleep: &AtomicBool) -> bool {
        let began = Instant::now();
        let is_new = |seen: &mut u64| {
            let epoch = self.epoch.load(SeqCst);
            let is_new = epoch != *seen;
            *seen = epoch;
            is_new
        };
        loop {
            for _ in 0..LOOKS {
                if is_new(seen) {
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.stop.load(SeqCst) {
                return false;
            }
            if began.elapsed() >= spin {
                asleep.store(true, SeqCst);
                // A job or the end that came before this was said is seen here; one after it wakes us.
                while asleep.load(SeqCst) {
                    if self.stop.load(SeqCst) {
                        return false;
                    }
                    if is_new(seen) {
                        asleep.store(false, SeqCst);
                        return true;
                    }
                    thread::park();
                }
            }
        }
    }
}

thread_local! {
    /// True on workers: what they call works alone.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The number of threads that this thread's kernels use, where somebody said so.
    static COUNT: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| ThreadPool::new(super::threads::count()))
}

/// Calls `work` for each number below `n_pieces` on the process's threads, as many as [`with_threads`] allows.
pub fn for_each(n_pieces: usize, work: impl Fn(usize) + Sync) {
    if n_pieces <= 1 || INSIDE.get() || COUNT.get() <= 1 {
        (0..n_pieces).for_each(work);
        return;
    }
    pool().run(n_pieces, COUNT.get(), &work);
}

/// Threads that [`for_each`] uses here.
#[must_use]
pub fn n_threads() -> usize {
    if INSIDE.get() { 1 } else { COUNT.get().min(pool().n_threads()) }
}

/// What `f` computes in kernels, on at most `n_threads` threads.
pub fn with_threads<T>(n_threads: usize, f: impl FnOnce() -> T) -> T {
    struct Back(usize);
    impl Drop for Back {
        fn drop(&mut self) {
            COUNT.set(self.0);
        }
    }
    let _back = Back(COUNT.replace(n_threads.max(1)));
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_runs_once_whoever_asks() {
        let pool = ThreadPool::new(4);
        thread::scope(|scope| {
            for caller in 0..3 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..200_usize {
                        let counts: Vec<AtomicUsize> = (0..round % 17).map(|_| AtomicUsize::new(0)).collect();
                        pool.run(counts.len(), 1 + (round + caller) % 5, &|piece| {
                            counts[piece].fetch_add(1, SeqCst);
                        });
                        assert!(counts.iter().all(|count| count.load(SeqCst) == 1));
                    }
                });
            }
        });
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        let pool = ThreadPool::new(2);
        for _ in 0..3 {
            thread::sleep(SPIN * 20);
            let threads = Mutex::new(std::collections::HashSet::new());
            // Each piece waits for another thread, so that it ends only if the worker comes.
            pool.run(2, 2, &|_| {
                threads.lock().expect("not poisoned").insert(thread::current().id());
                while threads.lock().expect("not poisoned").len() < 2 {
                    thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = ThreadPool::new(3);
        for bad in 0..8 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(8, 3, &|piece| assert!(piece != bad, "piece {piece}"));
            }));
            assert!(caught.is_err());
            let done = AtomicUsize::new(0);
            pool.run(8, 3, &|_| {
                done.fetch_add(1, SeqCst);
            });
            assert_eq!(done.load(SeqCst), 8);
        }
    }

    #[test]
    fn pieces_inside_of_pieces_run_once_too() {
        for n_threads in [1, 2, 9] {
            let done = AtomicUsize::new(0);
            with_threads(n_threads, || {
                // What runs inside a piece works alone, and does not wait for itself.
                for_each(7, |_| {
                    for_each(3, |_| {
                        done.fetch_add(1, SeqCst);
                    });
                });
            });
            assert_eq!(done.load(SeqCst), 21);
        }
    }
}
