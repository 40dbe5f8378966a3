// Tasks 2 and 3: the running state.

fn an_empty_state_has_seen_nothing() -> Result<()> {
    let state = subject::empty(3);
    ensure!(
        state.max == f32::NEG_INFINITY,
        "empty: `max` should be minus infinity (`f32::NEG_INFINITY`) and is {}. With any number that is finite, scores below it would be \
         weighed against one that nobody had",
        state.max
    );
    equal("empty(3): sum and out", &(0.0, vec![0.0; 3]), &(state.sum, state.out))
}

fn one_tile_is_summed_against_its_largest() -> Result<()> {
    let mut state = subject::empty(2);
    // exp(s - max): 1/2, 1, 1/4.
    let (two, four) = (2.0_f32.ln(), 4.0_f32.ln());
    subject::absorb(&mut state, &[9.0 - two, 9.0, 9.0 - four], &[2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
    ensure!(
        (state.out[0] - 5.0 / 1.75).abs() > 1e-3,
        "absorb of one tile: `out` should be [5, 50] and is {:?}. It is divided by the sum already; other tiles are still to be added, so that \
         waits for `finish`",
        state.out
    );
    let expected = State { max: 9.0, sum: 1.75, out: vec![5.0, 50.0] };
    same_state("absorb of scores with weights 1/2, 1, 1/4 and values [2, 20], [3, 30], [4, 40]", &expected, &state)?;
    let mut state = subject::empty(1);
    subject::absorb(&mut state, &[-500.0], &[7.0]);
    same_state("absorb of one score of -500", &State { max: -500.0, sum: 1.0, out: vec![7.0] }, &state)
}

fn a_larger_score_rescales_what_was_there() -> Result<()> {
    for (first, second) in [(1.0, 3.0), (3.0, 1.0), (1000.0, 1001.0), (-4.0, -4.0)] {
        let mut state = subject::empty(1);
        subject::absorb(&mut state, &[first], &[10.0]);
        subject::absorb(&mut state, &[second], &[30.0]);
        let what = format!("a tile with a score of {first} and the value 10, then one with {second} and 30");
        let max = f32::max(first, second);
        let (old, new) = (f32::exp(first - max), f32::exp(second - max));
        let expected = State { max, sum: old + new, out: vec![10.0 * old + 30.0 * new] };
        let Err(error) = same_state(&what, &expected, &state) else { continue };
        // What it is if the sum so far is multiplied by `a`, the values so far by `b`, and the tile has the weight `c`.
        let as_if = |a: f32, b: f32, c: f32| {
            let is = |expected: f32, got: f32| (expected - got).abs() <= 1e-4 * expected.abs();
            is(a + c, state.sum) && is(10.0 * b + 30.0 * c, state.out[0])
        };
        let hint = if as_if(1.0, 1.0, new) && old < 1.0 {
            ". It is what comes out when nothing that was there is rescaled: it was summed against the old `max`, and needs the factor \
             exp(old max - new max), computed before `max` is changed"
        } else if as_if(old, 1.0, new) {
            ". It is what comes out when `sum` is rescaled and `out` is not"
        } else if as_if(1.0, old, new) {
            ". It is what comes out when `out` is rescaled and `sum` is not"
        } else if as_if(1.0 / old, 1.0 / old, new) {
            ". It is what comes out with the factor exp(new max - old max): the other way round"
        } else if as_if(1.0, 1.0, 1.0) {
            ". It is what comes out when each tile is weighed against its own largest score"
        } else if as_if(0.0, 0.0, new) {
            ". It is what comes out when the first tile is forgotten: is the new `max` written into the state?"
        } else {
            ""
        };
        bail!("{error}{hint}");
    }
    Ok(())
}

fn a_masked_tile_changes_nothing() -> Result<()> {
    let masked = [f32::NEG_INFINITY; 2];
    let (scores, values) = ([0.5, 2.0], [1.0, 2.0]);
    let mut nothing = subject::empty(1);
    subject::absorb(&mut nothing, &masked, &values);
    same_state(
        "a tile of masked scores in an empty state",
        &State { max: f32::NEG_INFINITY, sum: 0.0, out: vec![0.0] },
        &nothing,
    )?;
    subject::absorb(&mut nothing, &[], &[]);
    same_state(
        "a tile of no tokens in an empty state",
        &State { max: f32::NEG_INFINITY, sum: 0.0, out: vec![0.0] },
        &nothing,
    )?;
    let expected = definition(&scores, &values, 1);
    subject::absorb(&mut nothing, &scores, &values);
    same_state("a tile of two scores behind a masked one", &expected, &nothing)?;
    subject::absorb(&mut nothing, &masked, &values);
    subject::absorb(&mut nothing, &[], &[]);
    same_state("a masked tile and one of no tokens behind one of two scores", &expected, &nothing)?;
    let mut half = subject::empty(1);
    subject::absorb(&mut half, &[0.5, f32::NEG_INFINITY, 2.0], &[1.0, 9.0, 2.0]);
    same_state("a tile of three scores, one of them masked", &expected, &half)
}

fn any_cut_gives_the_same_state() -> Result<()> {
    for seed in 0..60 {
        let mut noise = Noise::new(seed);
        let (n, head_dim) = (1 + noise.below(200), 1 + noise.below(9));
        let scores = noise.floats(n, 12.0);
        let values = noise.floats(n * head_dim, 1.0);
        let mut state = subject::empty(head_dim);
        let (mut at, mut cuts) = (0, vec![]);
        while at < n {
            let len = noise.below(40).min(n - at);
            subject::absorb(&mut state, &scores[at..at + len], &values[at * head_dim..(at + len) * head_dim]);
            at += len;
            cuts.push(len);
            let expected = definition(&scores[..at], &values[..at * head_dim], head_dim);
            same_state(&format!("scores from -12 to 12 in tiles of {cuts:?} (seed {seed})"), &expected, &state)?;
        }
    }
    Ok(())
}

fn the_sum_divides_the_values() -> Result<()> {
    let got = subject::finish(State { max: 700.0, sum: 4.0, out: vec![2.0, -6.0] });
    ensure!(
        got != [2.0, -6.0],
        "finish of `sum` 4 and `out` [2, -6]: expected [0.5, -1.5], got [2, -6]: that is the weighted sum, and not the mean"
    );
    close("finish of `sum` 4 and `out` [2, -6]", &[0.5, -1.5], &got, &[2], 1e-7)
}

fn nothing_seen_gives_zeros() -> Result<()> {
    let got = subject::finish(subject::empty(2));
    ensure!(
        got == [0.0, 0.0],
        "finish of an empty state: expected [0, 0], got {got:?}. 0 / 0 is NaN, and one NaN makes all that is computed from it NaN"
    );
    Ok(())
}
