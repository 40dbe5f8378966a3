//! A step over planes on a GPU: everything that it writes, seals and reads is known before it begins, and goes there in one copy for all layers.
//!
//! A child of the step.

use candle_core::Tensor;

use crate::{
    cache::{
        CacheError, KvAccess, KvStore, Probe, Span,
        blocks::RowRun,
        live::Positions,
        memory::{DeviceMemory, GroupRows, Memory, Target},
    },
    gpu::{self, Asking, Lists, Queries, Rows, TensorRows, Uploaded, floats},
    kernels::{HeadShape, cuda::EXACT},
};

use super::Step;

/// What is done in each layer, round by round; and how much attention each token got, in those of the layers that are done.
pub(super) struct DeviceStep {
    lists: Uploaded,
    rounds: Vec<Round>,
    /// For each span the attention that each token got in this step, in f32 and one span behind the other; where a policy asks for it.
    scores: Option<gpu::Memory>,
    /// Whether what came back was looked at.
    is_settled: bool,
}

/// Parts of spans that are written and attended to together.
struct Round {
    seals: Vec<GroupRows>,
    appends: Vec<(Target, Rows, Rows)>,
    attends: Vec<Attend>,
}

/// Queries that attend in one launch.
struct Attend {
    target: Target,
    /// Of the step.
    first_token: usize,
    queries: Queries,
    /// Of one span: which, and which of its positions are asked.
    span: Option<(usize, Positions)>,
}

impl DeviceStep {
    /// # Errors
    /// The tables', the driver's.
    pub fn new(
        store: &KvStore,
        memory: &DeviceMemory,
        spans: &[Span],
        parts: &[Vec<Positions>],
    ) -> Result<Self, CacheError> {
        let mut lists = Lists::default();
        let n_rounds = parts.iter().map(Vec::len).max().unwrap_or(0);
        // What a part sees is the beginning of what the last one does, unless rows move from a ring to the pool on the way.
        let whole = if store.residual.is_some() { vec![None; spans.len()] } else { whole(store, spans, &mut lists)? };
        let rounds = (0..n_rounds).map(|round| Round::new(store, memory, (spans, parts, &whole), round, &mut lists));
        let rounds = rounds.collect::<Result<Vec<_>, CacheError>>()?;
        let scores = if store.spec.retention.needs_scores() {
            let n_tokens = spans.iter().map(|span| n_seen(store, *span)).sum::<Result<usize, CacheError>>()?;
            Some(memory.gpu().zeroed(4 * n_tokens)?)
        } else {
            None
        };
        Ok(Self { lists: Uploaded::new(memory.gpu(), &lists)?, rounds, scores, is_settled: false })
    }
}

/// All that each span sees, as a list.
fn whole(store: &KvStore, spans: &[Span], lists: &mut Lists) -> Result<Vec<Option<Rows>>, CacheError> {
    let of = |span: &Span| {
        let all = Positions { start: span.past, end: span.past + span.new };
        let (rows, _) = store.visible(*span, all)?;
        Ok(Some(lists.rows(numbers(&rows, |row| row))))
    };
    spans.iter().map(of).collect()
}

/// Tokens that the last of a span's new ones sees.
fn n_seen(store: &KvStore, span: Span) -> Result<usize, CacheError> {
    Ok(store.tables.live(span.seq)?.count() + span.new)
}

fn numbers(runs: &[RowRun], number: impl Fn(usize) -> usize) -> impl Iterator<Item = u32> {
    let rows = runs.iter().flat_map(|run| run.row..run.row + run.len);
    rows.map(move |row| u32::try_from(number(row)).unwrap_or(u32::MAX))
}

impl Round {
    fn new(
        store: &KvStore,
        memory: &DeviceMemory,
        (spans, parts, whole): (&[Span], &[Vec<Positions>], &[Option<Rows>]),
        round: usize,
        lists: &mut Lists,
    ) -> Result<Self, CacheError> {
        let by_span = store.spec.retention.needs_scores();
        let grows = store.spec.layout == crate::cache::Layout::Concat;
        let (mut seals, mut appends, mut attends) = (vec![], vec![], vec![]);
        // Tokens of several sequences, for one launch.
        let (mut from, mut to) = (vec![], vec![]);
        let mut asked: Vec<(usize, Rows, usize)> = vec![];
        let mut first = 0;
        for (index, span) in spans.iter().enumerate() {
            let part = parts[index].get(round).copied();
            let first_token = first;
            first += span.new;
            let Some(part) = part else { continue };
            let slot = store.tables.slot(span.seq)?;
            let before = round.checked_sub(1).map_or(span.past, |before| parts[index][before].start);
            let due = store.due(span.seq, before, part.start);
            seals.extend(due.iter().map(|group| memory.group(lists, slot, group)));

            let first_token = first_token + part.start - span.past;
            let tokens = (first_token..first_token + part.len()).map(|token| u32::try_from(token).unwrap_or(u32::MAX));
            let mut rows = vec![];
            for position in part.start..part.end {
                let row = match store.residual {
                    Some(residual) => Some(memory.ring_row(slot, residual.row(position))),
                    None => store.tables.row(span.seq, position)?,
                };
                rows.push(row.and_then(|row| u32::try_from(row).ok()).ok_or(CacheError::TooLarge)?);
            }
            let seen = if let Some(rows) = whole[index] {
                rows
            } else {
                let (sealed, ring) = store.visible(*span, part)?;
                let exact = numbers(&ring, |row| memory.ring_row(slot, row)).map(|row| row | EXACT);
                lists.rows(numbers(&sealed, |row| row).chain(exact))
            };
            // Of the whole list, tokens of later parts come behind.
            let n_after = if whole[index].is_some() { span.past + span.new - part.end } else { 0 };
            let n_before = seen.len() - n_after - part.len();
            let queries = (0..part.len()).map(|query| (first_token + query, seen, n_before + query + 1));
            if grows {
                appends.push((Target::Grown(slot), lists.rows(tokens), lists.rows(rows)));
            } else {
                from.extend(tokens);
                to.extend(rows);
            }
            if grows || by_span || part.len() > 1 {
                let target = if grows { Target::Grown(slot) } else { Target::Pool };
                let queries = lists.queries(queries.map(|(_, seen, n)| (seen, n)));
                attends.push(Attend { target, first_token, queries, span: Some((index, part)) });
            } else {
                asked.extend(queries);
            }
        }
        if !from.is_empty() {
            let target = if store.residual.is_some() { Target::Rings } else { Target::Pool };
            appends.push((target, lists.rows(from), lists.rows(to)));
        }
        // Those that lie together, as all do that decode a token each.
        for together in asked.chunk_by(|(a, ..), (b, ..)| a + 1 == *b) {
            let queries = lists.queries(together.iter().map(|(_, seen, n)| (*seen, *n)));
            let first_token = together[0].0;
            attends.push(Attend { target: Target::Pool, first_token, queries, span: None });
        }
        Ok(Self { seals, appends, attends })
    }
}

impl Step<'_> {
    /// [`KvAccess::attend`]
    pub(super) fn attend_on_device(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mut probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let HeadShape { n_head, head_dim, .. } = self.store.shape.heads;
        let (n_new, rotated) = (self.n_new(), self.store.spec.rotate);
        check_shape("q", q, [n_new, n_head, head_dim])?;
        let gpu = self.gpu()?;
        let q = gpu.rows(q, rotated)?;
        let out = self.device_memory()?.kernels().results(n_new)?;
        if let Some(probe) = probe.as_deref_mut() {
            let weights = |span: &Span| vec![0.0; n_head * span.new * (span.past + span.new)]; // [H, T, past + T]
            probe.spans = self.spans().iter().map(weights).collect();
        }
        let (k, v) = self.new_rows_on_device(layer, k, v)?;
        self.begin_layer(layer)?;
        let n_rounds = self.device.as_ref().map_or(0, |device| device.rounds.len());
        for round in 0..n_rounds {
            self.write_round(layer, round, (&k, &v))?;
            self.attend_round(layer, round, (&q, &out), probe.as_deref_mut())?;
        }
        // Weighted sums of rotated values are rotated sums.
        let out = if rotated { gpu.rotated(&out)? } else { out };
        Ok(out.into_tensor())
    }

    /// [`Step::append`]
    pub(super) fn append_on_device(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(), CacheError> {
        let (k, v) = self.new_rows_on_device(layer, k, v)?;
        self.begin_layer(layer)?;
        let n_rounds = self.device.as_ref().map_or(0, |device| device.rounds.len());
        (0..n_rounds).try_for_each(|round| self.write_round(layer, round, (&k, &v)))
    }

    fn device_memory(&mut self) -> Result<&mut DeviceMemory, CacheError> {
        match &mut self.store.memory {
            Memory::Device(memory) => Ok(memory),
            Memory::Host(_) => Err(CacheError::Shape("a cache on the CPU was asked for GPU memory".into())),
        }
    }

    fn gpu(&mut self) -> Result<gpu::Gpu, CacheError> {
        Ok(self.device_memory()?.gpu().clone())
    }

    fn new_rows_on_device(
        &mut self,
        layer: usize,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<(TensorRows, TensorRows), CacheError> {
        let (heads, rotated, n_layer) = (self.store.shape.heads, self.store.spec.rotate, self.store.shape.n_layer);
        if layer >= n_layer {
            return Err(CacheError::NoLayer { layer, n_layer });
        }
        let expected = [self.n_new(), heads.n_kv_head, heads.head_dim];
        check_shape("k", k, expected)?;
        check_shape("v", v, expected)?;
        let gpu = self.gpu()?;
        Ok((gpu.rows(k, rotated)?, gpu.rows(v, rotated)?))
    }

    /// Copy-on-write, and buffers that grow.
    fn begin_layer(&mut self, layer: usize) -> Result<(), CacheError> {
        self.copy_shared(layer)?;
        for index in 0..self.reservation.spans.len() {
            self.grow(layer, self.reservation.spans[index])?;
        }
        Ok(())
    }

    fn write_round(&mut self, layer: usize, round: usize, new: (&TensorRows, &TensorRows)) -> Result<(), CacheError> {
        let Some(DeviceStep { lists, rounds, .. }) = &self.device else { return Ok(()) };
        let (Round { seals, appends, .. }, Memory::Device(memory)) = (&rounds[round], &mut self.store.memory) else {
            return Ok(());
        };
        memory.seal_groups(layer, lists, seals)?;
        self.store.copied_bytes += (seals.len() * crate::kernels::codec::GROUP * self.store.rows.bytes()) as u64;
        for (target, from, to) in appends {
            memory.append(layer, *target, lists, (*from, *to), new)?;
        }
        Ok(())
    }

    fn attend_round(
        &mut self,
        layer: usize,
        round: usize,
        (q, out): (&TensorRows, &TensorRows),
        mut probe: Option<&mut Probe>,
    ) -> Result<(), CacheError> {
        let Some(DeviceStep { lists, rounds, scores, .. }) = &mut self.device else { return Ok(()) };
        for attend in &rounds[round].attends {
            let Attend { target, first_token, queries, span } = attend;
            let Memory::Device(memory) = &mut self.store.memory else { return Ok(()) };
            let (kernels, view, scratch) = memory.layer(layer, *target);
            let asking = Asking { q, out, first_token: *first_token, lists, queries: *queries };
            if scores.is_none() && probe.is_none() {
                kernels.attend(&view, &asking, None, scratch)?;
                continue;
            }
            let mut weights = kernels.weights(queries.len(), queries.most_visible())?;
            kernels.attend(&view, &asking, Some(&mut weights), scratch)?;
            if let (Some(scores), Some((index, _))) = (scores.as_mut(), span) {
                let before = self.reservation.spans.iter().take(*index).map(|span| n_seen(self.store, *span));
                let first = before.sum::<Result<usize, CacheError>>()?;
                let Memory::Device(memory) = &self.store.memory else { return Ok(()) };
                memory.kernels().add_scores(&weights, scores, first)?;
            }
            if let Some(probe) = probe.as_deref_mut() {
                let weights = weights.download()?;
                let spans = &self.reservation.spans;
                show(self.store, spans, &attend_spans(spans, attend), (&weights, queries.most_visible()), probe)?;
            }
        }
        Ok(())
    }

    /// What came back from the GPU at the end of a step, looked at once: refuses rows that are no numbers, and adds up scores.
    pub(super) fn settle_on_device(&mut self) -> Result<(), CacheError> {
        let Some(device) = self.device.as_mut().filter(|device| !device.is_settled) else { return Ok(()) };
        device.is_settled = true;
        let Memory::Device(memory) = &mut self.store.memory else { return Ok(()) };
        if let Some((tensor, layer, token)) = memory.first_not_finite()? {
            return Err(CacheError::NotFinite { tensor, layer, token });
        }
        let Some(scores) = &device.scores else { return Ok(()) };
        let scores = floats(&scores.download(0..scores.n_bytes())?);
        let mut first = 0;
        for (span, total) in self.reservation.spans.iter().zip(&mut self.scores) {
            let positions = self.store.positions(*span, span.past + span.new)?;
            for (position, score) in positions.iter().zip(&scores[first..]) {
                total[*position] += f64::from(*score);
            }
            first += positions.len();
        }
        Ok(())
    }
}

/// The queries of a launch in order: which span, and which position.
fn attend_spans(spans: &[Span], attend: &Attend) -> Vec<(usize, usize)> {
    if let Some((index, part)) = attend.span {
        return (part.start..part.end).map(|position| (index, position)).collect();
    }
    let all =
        spans.iter().enumerate().flat_map(|(index, span)| (span.past..span.past + span.new).map(move |p| (index, p)));
    all.skip(attend.first_token).take(attend.queries.len()).collect()
}

/// Puts the weights `[query][n_head][stride]` of some positions of spans where a picture wants them.
fn show(
    store: &KvStore,
    spans: &[Span],
    asked: &[(usize, usize)],
    (weights, stride): (&[f32], usize),
    probe: &mut Probe,
) -> Result<(), CacheError> {
    let n_head = store.shape.heads.n_head;
    for ((index, position), weights) in asked.iter().zip(weights.chunks_exact((n_head * stride).max(1))) {
        let span = spans[*index];
        let (n_tokens, query) = (span.past + span.new, position - span.past);
        let seen = store.positions(span, position + 1)?;
        let Some(picture) = probe.spans.get_mut(*index) else { continue };
        for (head, weights) in weights.chunks_exact(stride).enumerate() {
            let row = &mut picture[(head * span.new + query) * n_tokens..][..n_tokens];
            for (position, weight) in seen.iter().zip(weights) {
                row[*position] = *weight;
            }
        }
    }
    Ok(())
}

pub(in crate::cache) fn check_shape(
    name: &'static str,
    tensor: &Tensor,
    expected: [usize; 3],
) -> Result<(), CacheError> {
    if tensor.dims() == expected {
        return Ok(());
    }
    Err(CacheError::TensorShape { tensor: name, actual: tensor.dims().to_vec(), expected: expected.to_vec() })
}
