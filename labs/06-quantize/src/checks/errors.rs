// Task 2: what comes back, and how far off it can be.

fn a_code_is_so_many_scales() -> Result<()> {
    let got = subject::dequantize(&Int8 { scale: 0.25, codes: vec![4, -127, 0, 127] });
    close("dequantize of the codes [4, -127, 0, 127] with the scale 0.25", &[1.0, -31.75, 0.0, 31.75], &got, &[4], 1e-6)
}

fn the_bound_is_half_a_step() -> Result<()> {
    let row = [1.0, -2.54, 0.5];
    let got = subject::error_bound(&row);
    let hint = match got {
        got if (got - 0.02).abs() < 1e-6 => {
            ". That is a whole step. Between two codes, a number is never farther than half a step from the nearer one"
        }
        got if (got - 1.0 / 254.0).abs() < 1e-6 => ". Of these numbers, -2.54 is the largest in absolute value",
        _ => "",
    };
    ensure!((got - 0.01).abs() < 1e-6, "error_bound of {row:?}: the scale is 0.02, so expected 0.01, got {got}{hint}");
    equal("error_bound of zeros", &0.0, &subject::error_bound(&[0.0; 3]))
}

fn no_error_exceeds_the_bound() -> Result<()> {
    for seed in 0..200 {
        let mut noise = Noise::new(seed);
        let n = 1 + noise.below(64);
        let size = [1e-6, 0.1, 1.0, 300.0][noise.below(4)];
        let row = noise.floats(n, size);
        let bound = subject::error_bound(&row);
        let read = subject::dequantize(&subject::quantize(&row));
        equal(&format!("numbers read back of a row of {n} (seed {seed})"), &n, &read.len())?;
        for (i, (x, read)) in row.iter().zip(&read).enumerate() {
            let error = (x - read).abs();
            ensure!(
                error <= bound + ROUNDING * largest(&row),
                "a row of {n} numbers up to {size} (seed {seed}): number {i} is {x} and comes back as {read}, {error} away; error_bound says {bound}"
            );
        }
    }
    Ok(())
}

fn the_model_tells_the_same_over_8_bits() -> Result<()> {
    tells_the_same("keys and values in 8 bits", Scheme { keys: Format::Int8, values: Format::Int8, residual: 0 })
}
