// Task 1: a row in 8 bits.

fn codes_are_the_nearest() -> Result<()> {
    // The scale is exactly 1.
    let row = [127.0, 1.4, 1.6, -1.4, -1.6, 0.0, -127.0];
    let Int8 { scale, codes } = subject::quantize(&row);
    let what = format!("quantize of {row:?}");
    let hint = match scale {
        scale if (scale - 127.0 / 128.0).abs() < 1e-4 => {
            ". That is 127 / 128: codes go to 127, so the largest number would be 128 of these"
        }
        scale if (scale - 254.0 / 255.0).abs() < 1e-4 => {
            ". That spreads 255 steps over the range; with codes from -127 to 127 there are 254"
        }
        scale if (scale - 127.0).abs() < 1e-4 => ". That is the largest number; 127 of the scales are to make it",
        _ => "",
    };
    ensure!((scale - 1.0).abs() < 1e-6, "{what}: the scale should be 127 / 127 = 1 and is {scale}{hint}");
    let expected = vec![127, 1, 2, -1, -2, 0, -127];
    let hint = match codes.as_slice() {
        [_, 1, 1, -1, -1, ..] => ". `as i8` cuts off what is behind the point: round first",
        [_, 1, 1, -2, -2, ..] => ". That rounds down, and not to the nearest",
        [_, 2, 2, ..] => ". That rounds up, and not to the nearest",
        _ => "",
    };
    ensure!(codes == expected, "{what}: expected the codes {expected:?}, got {codes:?}{hint}");
    Ok(())
}

fn the_scale_is_of_the_largest_absolute() -> Result<()> {
    let row = [2.0, -8.0, 1.0];
    let Int8 { scale, codes } = subject::quantize(&row);
    let hint = if (scale - 2.0 / 127.0).abs() < 1e-5 {
        ". That is of 2, the largest number, and -8 would need the code -508, which no i8 holds: take absolute values"
    } else if (scale - 10.0 / 254.0).abs() < 1e-5 {
        ". That spreads codes from the smallest to the largest number; here 0 is to be the code 0, so both sides reach equally far"
    } else {
        ""
    };
    ensure!(
        (scale - 8.0 / 127.0).abs() < 1e-6,
        "quantize of {row:?}: expected the scale 8 / 127 = {}, got {scale}{hint}",
        8.0 / 127.0
    );
    equal("quantize of [2, -8, 1]: codes", &vec![32, -127, 16], &codes)
}

fn small_rows_keep_their_digits() -> Result<()> {
    for size in [1e-9, 1e-3, 1e-30, 1e9] {
        let row = [size, -size / 2.0, size / 4.0];
        let Int8 { scale, codes } = subject::quantize(&row);
        ensure!(
            codes.iter().any(|code| *code != 0),
            "quantize of {row:?}: all codes are 0, and the scale is {scale}. Some lower limit of the scale, against dividing by 0, is larger than \
             these numbers; ask for exactly 0 instead"
        );
        equal(&format!("quantize of {row:?}: codes"), &vec![127, -64, 32], &codes)?;
    }
    let Int8 { scale, codes } = subject::quantize(&[0.0, -0.0, 0.0]);
    ensure!(scale == 0.0, "quantize of zeros: expected the scale 0, got {scale}");
    equal("quantize of zeros: codes", &vec![0, 0, 0], &codes)
}
