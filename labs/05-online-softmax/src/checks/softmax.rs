// Task 1: one row.

fn softmax(scores: &[f32]) -> Vec<f32> {
    let mut weights = scores.to_vec();
    subject::softmax(&mut weights);
    weights
}

fn weights_match_the_definition() -> Result<()> {
    // exp(ln 1), exp(ln 2), exp(ln 5): shares of 8.
    let scores = [0.0, std::f32::consts::LN_2, 5.0_f32.ln()];
    let got = softmax(&scores);
    let sum: f32 = got.iter().sum();
    let what = "softmax of [0, ln 2, ln 5]";
    ensure!(
        got.iter().all(|weight| weight.is_finite()) && (sum - 1.0).abs() < 1e-3,
        "{what}: expected [0.125, 0.25, 0.625], got {got:?}, whose sum is {sum} and not 1: is each weight divided by the sum of all?"
    );
    close(what, &[0.125, 0.25, 0.625], &got, &[3], 1e-6)?;
    close("softmax of one score of 3", &[1.0], &softmax(&[3.0]), &[1], 0.0)
}

fn scores_of_a_thousand_stay_finite() -> Result<()> {
    for at in [1000.0_f32, -1000.0, 89.0] {
        let got = softmax(&[at, at + std::f32::consts::LN_2, at, f32::NEG_INFINITY]);
        ensure!(
            got.iter().all(|weight| weight.is_finite()),
            "softmax of scores around {at}: expected [0.25, 0.5, 0.25, 0], got {got:?}. exp(89) is more than f32 can hold and exp(-1000) is \
             0, for all of them. Only differences count: subtract the largest score first"
        );
        close(
            &format!("softmax of scores around {at}, the last minus infinity"),
            &[0.25, 0.5, 0.25, 0.0],
            &got,
            &[4],
            1e-4,
        )?;
    }
    Ok(())
}

fn any_row_sums_to_one() -> Result<()> {
    for seed in 0..60 {
        let mut noise = Noise::new(seed);
        let n = 1 + noise.below(300);
        let scores = noise.floats(n, 30.0);
        let got = softmax(&scores);
        let ones = vec![1.0; n];
        let all = definition(&scores, &ones, 1);
        let expected: Vec<f32> = scores.iter().map(|score| (score - all.max).exp() / all.sum).collect();
        close(&format!("softmax of {n} scores from -30 to 30 (seed {seed})"), &expected, &got, &[n], 1e-5)?;
        let sum: f64 = got.iter().map(|weight| f64::from(*weight)).sum();
        ensure!(
            (sum - 1.0).abs() < 1e-5,
            "softmax of {n} scores (seed {seed}): the weights' sum should be 1 and is {sum}"
        );
    }
    Ok(())
}
