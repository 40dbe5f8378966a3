// Task 5: two states are one.

fn two_halves_give_the_whole() -> Result<()> {
    let (scores, values) = ([1.0, 2.0, 6.0, 3.0], [1.0, -1.0, 0.5, 2.0]);
    let whole = definition(&scores, &values, 1);
    for (first, second) in [(0..2, 2..4), (2..4, 0..2)] {
        let halves = [first, second].map(|half| definition(&scores[half.clone()], &values[half], 1));
        let [a, b] = &halves;
        let mut got = a.clone();
        subject::merge(&mut got, b);
        let what = format!("merge of {a:?} and {b:?}");
        let Err(error) = same_state(&what, &whole, &got) else { continue };
        let is = |sum: f32, out: f32| (got.sum - sum).abs() < 1e-4 && (got.out[0] - out).abs() < 1e-4;
        let [down, up] = [a, b].map(|half| f32::exp(half.max - whole.max));
        let hint = if is(a.sum + b.sum, a.out[0] + b.out[0]) {
            ". It is what comes out when the two are added as they are: each was summed against its own `max`"
        } else if is(down * a.sum + b.sum, down * a.out[0] + b.out[0])
            || is(a.sum + up * b.sum, a.out[0] + up * b.out[0])
        {
            ". It is what comes out when only one of the two is rescaled. Either may have the smaller `max`"
        } else if is(down * a.sum + up * b.sum, a.out[0] + b.out[0]) {
            ". It is what comes out when the sums are rescaled and the values are not"
        } else {
            ""
        };
        bail!("{error}{hint}");
    }
    Ok(())
}

fn an_empty_state_is_neutral() -> Result<()> {
    let empty = || State { max: f32::NEG_INFINITY, sum: 0.0, out: vec![0.0; 2] };
    let some = || State { max: -3.0, sum: 1.5, out: vec![0.25, -4.0] };
    let cases = [
        ("an empty state, merged into one that has seen something", some(), empty(), some()),
        ("something, merged into an empty state", empty(), some(), some()),
        ("two empty states, merged", empty(), empty(), empty()),
    ];
    for (what, mut state, other, expected) in cases {
        subject::merge(&mut state, &other);
        same_state(what, &expected, &state)?;
    }
    Ok(())
}

fn the_order_of_merging_does_not_matter() -> Result<()> {
    for seed in 0..40 {
        let mut noise = Noise::new(seed);
        let (n, head_dim) = (1 + noise.below(120), 1 + noise.below(6));
        let (scores, values) = (noise.floats(n, 12.0), noise.floats(n * head_dim, 1.0));
        let whole = definition(&scores, &values, head_dim);
        let mut cuts = vec![0, n];
        cuts.extend((0..5).map(|_| noise.below(n + 1)));
        cuts.sort_unstable();
        let mut states: Vec<State> = cuts
            .windows(2)
            .map(|cut| definition(&scores[cut[0]..cut[1]], &values[cut[0] * head_dim..cut[1] * head_dim], head_dim))
            .collect();
        // Any two of them, until there is one: every order and every bracket comes up.
        while states.len() > 1 {
            let other = states.swap_remove(noise.below(states.len()));
            let into = noise.below(states.len());
            subject::merge(&mut states[into], &other);
        }
        let what =
            format!("{n} tokens cut at {cuts:?}, some pieces empty, merged two by two in any order (seed {seed})");
        same_state(&what, &whole, &states[0])?;
    }
    Ok(())
}
