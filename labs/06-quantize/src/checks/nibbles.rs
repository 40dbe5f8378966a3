// Task 4: 4 bits, two numbers in a byte.

/// The code of number `i`, by the contract.
fn code(bytes: &[u8], i: usize) -> u8 {
    if i.is_multiple_of(2) { bytes[i / 2] & 15 } else { bytes[i / 2] >> 4 }
}

fn the_even_number_is_the_low_nibble() -> Result<()> {
    // 0 to 15 and 15 to 0: the scale is 1, the smallest 0, and a number is its own code.
    let codes: Vec<u8> = (0..16).chain((0..16).rev()).collect();
    let numbers: Vec<f32> = codes.iter().map(|code| f32::from(*code)).collect();
    let Nibbles { scale, min, bytes } = subject::pack(&numbers);
    let what = "pack of 0, 1, 2, .. 15, 15, 14, .. 0";
    ensure!(
        (scale - 1.0).abs() < 1e-6 && min == 0.0,
        "{what}: expected the scale 1 and the smallest 0, got {scale} and {min}{}",
        if (scale - 15.0 / 16.0).abs() < 1e-3 { ". 16 codes have 15 steps between them" } else { "" }
    );
    let expected: [u8; 16] = std::array::from_fn(|i| codes[2 * i] | codes[2 * i + 1] << 4);
    let hint = if bytes == expected.map(|byte| byte.rotate_left(4)) {
        ". The two in each byte have changed places: number 2 * i goes into the low four bits"
    } else if bytes == std::array::from_fn(|i| codes[i] | codes[i + 16] << 4) {
        ". That puts number i beside number i + 16, as llama.cpp does; here neighbours share a byte"
    } else {
        ""
    };
    ensure!(bytes == expected, "{what}: expected the bytes {expected:02x?}, got {bytes:02x?}{hint}");
    Ok(())
}

fn codes_reach_from_min_to_max() -> Result<()> {
    let mut numbers = vec![-0.5; GROUP];
    (numbers[3], numbers[10], numbers[11]) = (-2.0, 1.0, -0.85);
    let Nibbles { scale, min, bytes } = subject::pack(&numbers);
    let what = "pack of 32 numbers, -2 the smallest (number 3), 1 the largest (10), -0.85 (11), the others -0.5";
    close(&format!("{what}: scale and min"), &[0.2, -2.0], &[scale, min], &[2], 1e-6)?;
    let got = [3, 10, 11].map(|i| code(&bytes, i));
    let hint = if got == [0, 15, 5] { ". (-0.85 + 2) / 0.2 is 5.75: round to the nearest" } else { "" };
    ensure!(got == [0, 15, 6], "{what}: expected the codes [0, 15, 6] for numbers 3, 10 and 11, got {got:?}{hint}");
    let same = subject::pack(&[7.5; GROUP]);
    equal("pack of 32 times 7.5", &Nibbles { scale: 0.0, min: 7.5, bytes: [0; 16] }, &same)
}

fn a_nibble_is_so_many_scales_above_min() -> Result<()> {
    let bytes = std::array::from_fn(|i| if i == 0 { 0xF1 } else { 0x20 });
    let got = subject::unpack(&Nibbles { scale: 0.5, min: -3.0, bytes });
    let expected: Vec<f32> = [-2.5, 4.5].into_iter().chain([-3.0, -2.0].into_iter().cycle().take(30)).collect();
    let what = "unpack of the bytes f1, 20, 20, .. with the scale 0.5 and the smallest -3";
    if let Err(error) = close(what, &expected, &got, &[GROUP], 1e-6) {
        let hint = match got.as_slice() {
            [a, ..] if (a - 0.5).abs() < 1e-6 => ". `min` is to be added",
            [a, ..] if *a > 4.5 => ". That is a code of more than 15: its neighbour's bits are still in it",
            [a, ..] if (a - 4.5).abs() < 1e-6 => ". The low four bits come first",
            _ => "",
        };
        bail!("{error}{hint}");
    }
    Ok(())
}

fn four_bits_are_within_half_a_step() -> Result<()> {
    for seed in 0..200 {
        let mut noise = Noise::new(seed);
        let size = [1e-6, 0.1, 1.0, 300.0][noise.below(4)];
        let offset = noise.floats(1, 3.0 * size)[0];
        let numbers: Vec<f32> = noise.floats(GROUP, size).iter().map(|x| x + offset).collect();
        let read = subject::unpack(&subject::pack(&numbers));
        equal(&format!("numbers that unpack gives (seed {seed})"), &GROUP, &read.len())?;
        let (min, max) = numbers.iter().fold((f32::MAX, f32::MIN), |(min, max), x| (min.min(*x), max.max(*x)));
        let bound = (max - min) / 30.0 + ROUNDING * largest(&numbers);
        for (i, (x, read)) in numbers.iter().zip(&read).enumerate() {
            let error = (x - read).abs();
            ensure!(
                error <= bound,
                "32 numbers from {min} to {max} (seed {seed}): number {i} is {x} and comes back as {read}, {error} away; half a step is {bound}"
            );
        }
    }
    Ok(())
}
