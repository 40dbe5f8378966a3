// Task 6: what is stored, counted.

fn scales_are_bytes_too() -> Result<()> {
    for (format, expected, without) in
        [(Format::F32, 12_800, 0), (Format::F16, 6_400, 0), (Format::Int8, 3_600, 3_200), (Format::Int4, 2_400, 1_600)]
    {
        let got = subject::bytes(format, 100, HEAD_DIM, 0);
        let hint = match got {
            got if got == without => {
                ": those are the codes. Each row of 8 bits has a scale, each 32 numbers of 4 bits a scale and a minimum"
            }
            got if format == Format::Int4 && got == 2_000 => {
                ": a group has two floats beside its codes, the scale and the minimum"
            }
            _ => "",
        };
        ensure!(got == expected, "bytes({format:?}, 100 tokens of a head of 32): expected {expected}, got {got}{hint}");
    }
    // 4 groups of 32 tokens are sealed, 22 tokens are in f32.
    for (format, expected, without) in [
        (Format::Int8Channels, 4 * (1_024 + 128) + 22 * 128, 4 * 1_024 + 22 * 128),
        (Format::Int4Channels, 4 * (512 + 256) + 22 * 128, 4 * 512 + 22 * 128),
    ] {
        let got = subject::bytes(format, 150, HEAD_DIM, 20);
        let hint = match got {
            got if got == without => ": the groups' scales (and minima) are missing, one for each channel",
            got if got + 22 * 128 == expected => {
                ": the tokens that are not sealed take bytes too, four for each number"
            }
            _ => "",
        };
        ensure!(
            got == expected,
            "bytes({format:?}, 150 tokens of a head of 32, residual 20): 128 tokens are sealed and 22 are not; expected {expected}, got {got}{hint}"
        );
    }
    Ok(())
}

fn bytes_are_those_of_the_buffers() -> Result<()> {
    for format in [Format::F32, Format::F16, Format::Int8, Format::Int8Channels, Format::Int4, Format::Int4Channels] {
        for (head_dim, residual) in [(32, 0), (64, 10), (128, 40)] {
            let mut stored = Stored::new(codec!(subject), format, head_dim, residual);
            let mut noise = Noise::new(6);
            for n_tokens in 1..=120 {
                stored.push(&noise.floats(head_dim, 1.0));
                let (expected, got) = (stored.bytes(), subject::bytes(format, n_tokens, head_dim, residual));
                let hint = if head_dim == HEAD_DIM {
                    ""
                } else {
                    ". It is right for a head of 32. A group has 32 tokens and a Nibbles 32 numbers, whatever `head_dim` is: is one taken for the other?"
                };
                ensure!(
                    expected == got,
                    "{format:?}, {n_tokens} tokens of a head of {head_dim}, residual {residual}: {expected} bytes are stored, and `bytes` says {got}{hint}"
                );
            }
        }
    }
    Ok(())
}
