// Tasks 1 to 3: times.

/// `n` tokens of a line.
fn line(n: usize, first: f64, slope: f64) -> Vec<f64> {
    (0..n).map(|token| first + slope * of(token)).collect()
}

fn a_straight_line_rises_by_its_slope() -> Result<()> {
    for (n, first, slope) in [(100, 2.0, 0.5), (101, 5.0, 0.0), (80, 9.0, -0.1), (7, 1.0, 1.0), (180, 0.001, 1e-6)] {
        let got = subject::rise(&line(n, first, slope));
        let quarter = n / 4;
        let hint = match got {
            got if (got - slope * of(n - quarter) / of(n)).abs() < 1e-9 && slope != 0.0 => {
                ". The middles of the first and of the last quarter are n - n / 4 tokens apart, not n"
            }
            got if (got - slope * of(n - quarter)).abs() < 1e-9 && slope != 0.0 => {
                ". That is how much later tokens take longer in all; by how much a token does is asked"
            }
            got if (got + slope).abs() < 1e-9 => ". A line that goes up has a positive rise",
            _ => "",
        };
        about(&format!("rise of {n} tokens, where each takes {slope} more than the one before"), slope, got, hint)?;
    }
    about("rise of 3 tokens, which have no quarter", 0.0, subject::rise(&[1.0, 2.0, 3.0]), "")
}

fn one_slow_token_changes_nothing() -> Result<()> {
    for at in [0, 3, 50, 99] {
        let mut secs = vec![1.0; 100];
        secs[at] = 500.0;
        let hint = ". One token that met something else should not count: take medians, not means";
        about(&format!("rise of 100 tokens of 1 second, where token {at} takes 500"), 0.0, subject::rise(&secs), hint)?;
    }
    Ok(())
}

fn warm_up_ends_with_five_in_a_row() -> Result<()> {
    let with =
        |slow: &[usize]| -> Vec<f64> { (0..60).map(|token| if slow.contains(&token) { 9.0 } else { 1.0 }).collect() };
    for (slow, expected, hint) in [
        (vec![], 0, ". Nothing is slow"),
        (vec![0], 1, ""),
        (vec![0, 1, 2, 3], 4, ". Warm-up may take more than a token"),
        (vec![0, 1, 4], 5, ". Tokens 2 and 3 are fast, and token 4 is not: five in a row come behind it only"),
        (vec![30], 0, ". A slow token in the middle is no warm-up: the first five were fast"),
        (vec![0, 40, 41, 42], 1, ". Slow tokens in the middle are no warm-up"),
    ] {
        let got = subject::warm_up(&with(&slow));
        ensure!(
            got == expected,
            "warm_up of 60 tokens of 1 second, but 9 for the tokens {slow:?}: expected {expected}, got {got}{hint}"
        );
    }
    let got = subject::warm_up(&line(100, 1.0, 0.01));
    ensure!(
        got == 0,
        "warm_up of 100 tokens that rise from 1 to 2 seconds: expected 0, got {got}. None takes twice what the second half does"
    );
    equal(
        "warm_up of two fast tokens behind a slow one, which is all there is",
        &1,
        &subject::warm_up(&[9.0, 1.0, 1.0]),
    )
}

fn a_token_costs_what_it_costs_when_warm() -> Result<()> {
    let secs: Vec<f64> = (0..40).map(|token| if token < 24 { 8.0 } else { 1.0 + of(token % 2) / 10.0 }).collect();
    // 24 of 40 are slow, so that a median over all of them is no help either.
    let got = subject::per_token(&secs);
    let hint = if (got - 8.0).abs() < 1e-9 {
        ". That is the median with the warm-up in it"
    } else {
        ". The median, not the mean, of what comes behind it"
    };
    about("per_token of 24 tokens of 8 seconds and 16 of 1.0 and 1.1 in turns", 1.05, got, hint)
}

fn the_line_is_drawn_to_length_0() -> Result<()> {
    // Time is fixed + slope x length; the text has `prompt` tokens before the first one that is timed.
    for (prompt, fixed, slope) in
        [(0, 0.0, 2.0), (400, 0.0, 2.0), (400, 100.0, 0.0), (100, 50.0, 0.5), (20, 90.0, 0.1), (50, -5.0, 1.0)]
    {
        let length: Vec<usize> = (0..80).map(|token| prompt + token + 1).collect();
        let secs: Vec<f64> = length.iter().map(|length| fixed + slope * of(*length)).collect();
        let got = subject::fixed_share(&length, &secs);
        // The middle of the last quarter, tokens 60 to 79.
        let late = fixed + slope * (of(prompt) + 70.5);
        let early = fixed + slope * (of(prompt) + 10.5);
        let hint = match got {
            got if (got - early / late).abs() < 1e-6 => {
                ". That is early by late. Early tokens have a prompt before them: go back along the line to length 0"
            }
            got if !(0.0..=1.0).contains(&got) => ". A share is never below 0 or above 1",
            _ => "",
        };
        let what =
            format!("fixed_share of 80 tokens behind a prompt of {prompt}, which take {fixed} + {slope} x length");
        about(&what, (fixed / late).clamp(0.0, 1.0), got, hint)?;
    }
    Ok(())
}
