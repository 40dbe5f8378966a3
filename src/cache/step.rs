//! A forward pass over a store: write, attend, commit, or leave no trace.

mod append;
mod device;
mod host;
mod inspect;

use candle_core::Tensor;

pub(super) use device::check_shape;
pub(super) use host::attend_whole;
pub use inspect::VisibleRows;

use super::{
    CacheError, KvAccess, KvStore, Layout, Probe, Span,
    blocks::{Reservation, RowRun},
    live::{LiveTokens, Positions},
    memory::{Memory, SavedRing},
};

/// Queries of one walk where weights are summed into scores: a longer prompt would hold all of its weights at once.
const SCORED_QUERIES: usize = 64;

/// A reserved forward pass. Dropped without [`Step::commit`], it undoes its reservation.
pub struct Step<'a> {
    store: &'a mut KvStore,
    reservation: Reservation,
    committed: bool,
    copied_bytes_before: u64,
    /// For each span, in which its queries are worked off; see [`Step::parts`].
    parts: Vec<Vec<Positions>>,
    /// For each span, the attention that each token got in this step; only where a policy asks for it.
    scores: Vec<Vec<f64>>,
    /// For each span, the ring as it was; only where the step may overwrite tokens of earlier steps.
    rings: Vec<Option<SavedRing>>,
    /// Lists of rows on the device, where the store is on one.
    device: Option<device::DeviceStep>,
}

impl<'a> Step<'a> {
    pub(super) fn new(store: &'a mut KvStore, reservation: Reservation) -> Result<Self, CacheError> {
        let copied_bytes_before = store.copied_bytes;
        let spans = &reservation.spans;
        let parts: Vec<_> = spans.iter().map(|span| parts(store, span)).collect();
        let scored = store.spec.retention.needs_scores();
        let scores = spans.iter().map(|span| vec![0.0; if scored { span.past + span.new } else { 0 }]).collect();
        let rings = spans.iter().map(|_| None).collect();
        // From here on, whatever fails: dropped, it undoes the reservation.
        let mut step =
            Self { store, reservation, committed: false, copied_bytes_before, parts, scores, rings, device: None };
        for (index, span) in step.reservation.spans.iter().enumerate() {
            // A group that is sealed in the middle of a step makes room in the ring for the step's own tokens.
            if step.store.residual.is_some() && span.past > 0 && step.parts[index].len() > 1 {
                step.rings[index] = Some(step.store.memory.save_ring(step.store.tables.slot(span.seq)?)?);
                step.store.copied_bytes += step.store.ring_rows() as u64 * step.store.exact_token_bytes();
            }
        }
        if let Memory::Device(memory) = &mut step.store.memory {
            memory.begin_step()?;
        }
        if let Memory::Device(memory) = &step.store.memory {
            step.device = Some(device::DeviceStep::new(step.store, memory, &step.reservation.spans, &step.parts)?);
        }
        Ok(step)
    }

    /// The new tokens are now part of their sequences, and groups of tokens that are old enough are sealed. Nothing is evicted before
    /// the `end_of_prompt`, so that a prompt attends to all of itself, in chunks or not; every decoded token is the end of one. It is said
    /// for all sequences of the step.
    ///
    /// # Errors
    /// On a device only: [`CacheError::NotFinite`], which leaves no trace of the step, and [`CacheError::Candle`] if the device fails; if it does so
    /// while a buffer of `concat` loses what is evicted, the tokens are part of their sequence all the same.
    pub fn commit(mut self, end_of_prompt: bool) -> Result<(), CacheError> {
        self.settle()?;
        for (index, span) in self.reservation.spans.iter().enumerate() {
            let last = self.parts[index].last().map_or(span.past, |part| part.start);
            let due = self.store.due(span.seq, last, span.past + span.new);
            // Taken back, a step leaves rows behind that are written anew when their group is due again.
            self.store.seal(span.seq, 0..self.store.shape.n_layer, &due)?;
        }
        self.committed = true;
        self.store.tables.commit(&self.reservation);
        for (index, span) in self.reservation.spans.iter().enumerate() {
            let slot = self.store.tables.slot(span.seq)?;
            if let Some(total) = self.store.scores.get_mut(slot) {
                total.resize(span.past + span.new, 0.0);
                for (total, new) in total.iter_mut().zip(&self.scores[index]) {
                    *total += new;
                }
            }
        }
        if end_of_prompt {
            self.reservation.spans.iter().try_for_each(|span| self.store.evict(span.seq))?;
        }
        Ok(())
    }

    /// Looks at what came back from a device, once: so that rows which are no numbers are told before anybody picks a token from what became of
    /// them. On the CPU the layer says so at once.
    ///
    /// # Errors
    /// [`CacheError::NotFinite`], [`CacheError::Candle`]; the step is to be dropped then.
    pub fn settle(&mut self) -> Result<(), CacheError> {
        self.settle_on_device()
    }

    /// Undoes the step as dropping it does, and takes its copies out of the count as well: for a rehearsal, which no figure
    /// is to show.
    pub fn forget(self) {
        self.store.copied_bytes = self.copied_bytes_before;
    }

    /// Copy-on-write of one layer: the filled rows of blocks that a fork holds too.
    fn copy_shared(&mut self, layer: usize) -> Result<(), CacheError> {
        // A step copies only the last block of a sequence, whose rows end with the sequence.
        self.reservation
            .copies
            .iter()
            .try_for_each(|copy| self.store.copy_blocks(layer..layer + 1, &[*copy], copy.first + copy.rows))
    }

    /// The buffer of one layer becomes one with room for the new tokens of a span; for `concat` only.
    fn grow(&mut self, layer: usize, span: Span) -> Result<(), CacheError> {
        let store = &mut *self.store;
        if store.spec.layout != Layout::Concat {
            return Ok(());
        }
        let old = store.tables.live(span.seq)?.count();
        let n_rows = old + span.new;
        store.copied_bytes += (n_rows * store.rows.bytes()) as u64;
        let slot = store.tables.slot(span.seq)?;
        store.memory.keep(slot, layer..layer + 1, &[RowRun { row: 0, len: old }], n_rows)
    }

    fn n_new(&self) -> usize {
        self.reservation.spans.iter().map(|span| span.new).sum()
    }
}

/// The new tokens of a span in the parts that are written and attended one after the other: all at once, unless groups of tokens are
/// sealed on the way or weights are summed.
fn parts(store: &KvStore, span: &Span) -> Vec<Positions> {
    let all = Positions { start: span.past, end: span.past + span.new };
    let parts = match store.residual {
        Some(residual) => residual.parts(all.start, all.end).collect(),
        None => vec![all],
    };
    let most = if store.spec.retention.needs_scores() { SCORED_QUERIES } else { usize::MAX };
    parts
        .into_iter()
        .flat_map(|part| {
            let starts = (part.start..part.end).step_by(most);
            starts.map(move |start| Positions { start, end: start.saturating_add(most).min(part.end) })
        })
        .collect()
}

impl KvAccess for Step<'_> {
    fn spans(&self) -> &[Span] {
        &self.reservation.spans
    }

    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        match &self.store.memory {
            Memory::Host(_) => self.attend_on_host(layer, q, k, v, probe),
            Memory::Device(_) => self.attend_on_device(layer, q, k, v, probe),
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let store = &mut *self.store;
        store.tables.roll_back(&self.reservation);
        if let Memory::Device(memory) = &mut store.memory {
            memory.drop_step();
        }
        for (span, saved) in self.reservation.spans.iter().zip(&mut self.rings) {
            let Ok(slot) = store.tables.slot(span.seq) else { continue };
            let len = store.tables.live(span.seq).map_or(0, LiveTokens::count);
            // Nobody is left to tell if a device fails here; it will fail the next step as well.
            if store.spec.layout == Layout::Concat {
                // A buffer that already grew goes back to what the sequence holds.
                let _ = store.memory.keep(slot, 0..store.shape.n_layer, &[RowRun { row: 0, len }], len);
            }
            if let Some(saved) = saved.take() {
                let _ = store.memory.restore_ring(slot, saved);
            }
        }
    }
}
