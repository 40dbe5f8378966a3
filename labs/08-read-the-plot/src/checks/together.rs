// Task 5: other programs.

fn both_must_be_slow() -> Result<()> {
    let with = |slow: std::ops::Range<usize>| -> Vec<f64> {
        (0..120).map(|token| if slow.contains(&token) { 11.0 } else { 1.0 }).collect()
    };
    let calm = with(0..0);
    equal("slow_together of two lanes that are never slow", &None, &subject::slow_together(&calm, &calm))?;
    for (one, other) in [(with(50..80), calm.clone()), (calm, with(50..80)), (with(10..40), with(70..100))] {
        let got = subject::slow_together(&one, &other);
        ensure!(
            got.is_none(),
            "slow_together of lanes that are never slow at the same tokens: expected None, got {got:?}. What slows one lane is its own"
        );
    }
    // 20 tokens take more than 40 seconds if three or more of them take 11: the first such stretch begins at 33, the last one ends at 97.
    let got = subject::slow_together(&with(50..80), &with(50..80));
    let hint = match &got {
        None => ": they take eleven times what is usual, in both lanes",
        Some(got) if *got == (50..80) => {
            ". Those are the slow tokens alone. Asked is every stretch of 20 that takes more than twice its share, from the beginning of the first to the end \
             of the last"
        }
        _ => "",
    };
    ensure!(
        got == Some(33..97),
        "slow_together of two lanes of 120 tokens of 1 second, both 11 for tokens 50 to 79: expected Some(33..97), got {got:?}{hint}"
    );
    // A hiccup of one token.
    equal(
        "slow_together where token 60 takes 11 seconds and all others 1",
        &None,
        &subject::slow_together(&with(60..61), &with(60..61)),
    )?;
    equal("slow_together of 5 tokens, which are no 20", &None, &subject::slow_together(&[9.0; 5], &[9.0; 5]))?;
    let two = |a: std::ops::Range<usize>, b: std::ops::Range<usize>| -> Vec<f64> {
        with(a).iter().zip(with(b)).map(|(a, b)| a.max(b)).collect()
    };
    let lanes = two(5..15, 60..90);
    equal(
        "slow_together where both are slow for tokens 5 to 14 and for 60 to 89: the longer of the two",
        &Some(43..107),
        &subject::slow_together(&lanes, &lanes),
    )
}

/// On the recorded ones, where numbers are not round.
fn traces_are_read_alike() -> Result<()> {
    for trace in 'a'..='g' {
        let recorded = recorded(trace)?;
        let (kvlab, mine) = (&recorded.kvlab, &recorded.mine);
        let secs = &mine.secs[1..];
        about(&format!("rise of trace {trace}, in us"), solution::rise(secs) * 1e6, subject::rise(secs) * 1e6, "")?;
        equal(&format!("warm_up of trace {trace}"), &solution::warm_up(secs), &subject::warm_up(secs))?;
        let extra = crate::facts::extra(&recorded);
        let [expected, got] =
            [solution::fixed_share, subject::fixed_share].map(|share| share(&mine.length[1..], &extra));
        about(&format!("fixed_share of what `mine` takes longer, trace {trace}"), expected, got, "")?;
        let [expected, got] =
            [solution::left_behind, subject::left_behind].map(|left| left(&mine.reserved, &mine.starts));
        equal(&format!("left_behind of trace {trace}"), &expected, &got)?;
        let [expected, got] =
            [solution::slow_together, subject::slow_together].map(|slow| slow(&kvlab.secs[1..], secs));
        equal(&format!("slow_together of trace {trace}"), &expected, &got)?;
    }
    Ok(())
}
