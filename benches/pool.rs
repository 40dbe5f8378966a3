//! The integers of a cache, timed: block pool, block tables, policies and grammar, with no byte of keys or values behind them.
//!
//! Names are `cpu/OPERATION`, operations those of `integers/mod.rs`; throughput counts what the name says: blocks taken, tokens
//! reserved, sequences forked or truncated, tables read, policies asked, lists of lanes parsed. How many instructions the same
//! operations take, which no other program on the machine changes, `scripts/instruction-counts.sh` counts.
//!
//! ```text
//! cargo bench --bench pool                     all of it: two minutes
//! cargo bench --bench pool -- tables/          some of it
//! ```

mod integers;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use integers::OPERATIONS;

fn pool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cpu");
    for operation in &OPERATIONS {
        group.throughput(Throughput::Elements(operation.times));
        group.bench_function(operation.name, |bench| {
            bench.iter_batched_ref(operation.prepare, |run| run(), BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, pool);
criterion_main!(benches);
