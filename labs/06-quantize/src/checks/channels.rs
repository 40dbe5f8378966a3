// Task 3: a scale for each channel of some tokens.

fn each_channel_has_its_scale() -> Result<()> {
    // Two tokens, three channels, whose largest are 127, 1.27 and 0.
    let rows = [127.0, -0.5, 0.0, 3.0, 1.27, 0.0];
    let Channels { scales, codes } = subject::quantize_channels(&rows, 3);
    let what = "quantize_channels of the rows [127, -0.5, 0], [3, 1.27, 0]";
    let hint = match scales.as_slice() {
        [_, _] => {
            ". That is one for each row, and one for each channel was expected: the number in the same place of every row"
        }
        [a, b, c] if *c > 0.0 && close("", &[*a, *a], &[*b, *c], &[2], 0.0).is_ok() => ". That is one scale for all",
        [a, b, c] if (a - 1.0).abs() < 1e-5 && (b - 3.0 / 127.0).abs() < 1e-5 && (c - 0.01).abs() < 1e-5 => {
            ". A channel's numbers lie `n_channels` apart and not behind each other"
        }
        _ => "",
    };
    ensure!(scales.len() == 3, "{what}: expected 3 scales, got {}{hint}", scales.len());
    if let Err(error) = close(&format!("{what}: scales"), &[1.0, 0.01, 0.0], &scales, &[3], 1e-6) {
        bail!("{error}{hint}");
    }
    let expected = vec![127, -50, 0, 3, 127, 0];
    let hint = if codes == [127, 3, -50, 127, 0, 0] {
        ". These stand channel by channel; they stay in the order of the rows"
    } else {
        ""
    };
    ensure!(codes == expected, "{what}: expected the codes {expected:?}, got {codes:?}{hint}");
    let read = subject::dequantize_channels(&Channels { scales: vec![1.0, 0.01, 0.0], codes: expected });
    let expected = [127.0, -0.5, 0.0, 3.0, 1.27, 0.0];
    close("dequantize_channels of these: rows", &expected, &read, &[2, 3], 1e-5)
}

fn an_outlier_hurts_its_own_channel_only() -> Result<()> {
    for seed in 0..30 {
        let mut noise = Noise::new(seed);
        let (n_tokens, n_channels) = (GROUP, 2 + noise.below(31));
        let outlier = noise.below(n_channels);
        let mut rows = noise.floats(n_tokens * n_channels, 1.0);
        rows.iter_mut().skip(outlier).step_by(n_channels).for_each(|x| *x += 40.0);
        let group = subject::quantize_channels(&rows, n_channels);
        let read = subject::dequantize_channels(&group);
        let what = format!(
            "{n_tokens} tokens of {n_channels} channels, channel {outlier} about 40 and the others below 1 (seed {seed})"
        );
        equal(&format!("{what}: numbers read back"), &rows.len(), &read.len())?;
        for channel in 0..n_channels {
            let of = |rows: &[f32]| -> Vec<f32> { rows.iter().skip(channel).step_by(n_channels).copied().collect() };
            let (exact, read) = (of(&rows), of(&read));
            let bound = largest(&exact) * (0.5 / 127.0 + ROUNDING);
            let error = exact.iter().zip(&read).map(|(x, read)| (x - read).abs()).fold(0.0, f32::max);
            ensure!(
                error <= bound,
                "{what}: channel {channel} comes back {error} off; half a step of its own scale is {bound}"
            );
        }
        // By token every row's scale is that of the outlier.
        let by_token: Vec<f32> =
            rows.chunks(n_channels).flat_map(|row| subject::dequantize(&subject::quantize(row))).collect();
        let others = |rows: &[f32]| -> Vec<f32> {
            rows.iter().enumerate().filter(|(i, _)| i % n_channels != outlier).map(|(_, x)| *x).collect()
        };
        let [by_channel, by_token] = [&read, &by_token].map(|read| mean_error(&others(&rows), &others(read)));
        ensure!(
            by_channel * 10.0 < by_token,
            "{what}: the other channels are {by_channel} off on average by channel and {by_token} by token; expected less than a tenth"
        );
    }
    Ok(())
}
