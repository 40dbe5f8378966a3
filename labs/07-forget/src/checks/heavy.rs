// Task 5: heavy hitters.

/// By its definition: of those that are not among the newest, the ones with fewer than `heavy` better ones.
fn heavy_by_definition(scores: &[f64], heavy: usize, recent: usize) -> Vec<usize> {
    let old = scores.len().saturating_sub(recent);
    let better = |slot: usize| (0..old).filter(|other| (scores[*other], *other) > (scores[slot], slot)).count();
    (0..scores.len()).filter(|slot| *slot >= old || better(*slot) < heavy).collect()
}

fn sorted(mut slots: Vec<usize>) -> Vec<usize> {
    slots.sort_unstable();
    slots
}

fn the_heaviest_and_the_newest_stay() -> Result<()> {
    let mut noise = Noise::new(5);
    let mut case = |n: usize, most: usize| -> Vec<f64> {
        (0..n).map(|_| f64::from(u16::try_from(noise.below(most)).unwrap_or(0)) / 4.0).collect()
    };
    let mut cases = vec![
        (vec![9.0, 1.0, 5.0, 4.0, 8.0, 7.0], 2, 2),
        (vec![3.0, 2.0, 1.0], 5, 1),
        (vec![1.0, 2.0], 0, 1),
        (vec![], 3, 3),
    ];
    cases.extend((0..80).map(|i| (case(i % 17, 1000), i % 5, i % 4)));
    cases.push((vec![2.0; 6], 2, 2));
    cases.extend((0..40).map(|i| (case(i % 17, 3), i % 5, i % 4)));
    for (scores, heavy, recent) in cases {
        // The order is the next check's.
        let got = sorted(subject::heavy_hitters(&scores, heavy, recent));
        let expected = heavy_by_definition(&scores, heavy, recent);
        let (old, n) = (scores.len().saturating_sub(recent), scores.len());
        let backwards: Vec<f64> = scores.iter().map(|score| -score).collect();
        let hint = match &got {
            got if *got == expected => continue,
            got if got.windows(2).any(|pair| pair[0] == pair[1]) => ". A slot stays once",
            got if *got == heavy_by_definition(&backwards, heavy, recent) => ". Those are the ones that got least",
            got if !(old..n).all(|slot| got.contains(&slot)) => {
                ". The last `recent` slots stay whatever they got: nobody could look at them yet"
            }
            got if got.len() < expected.len() => ". The newest take no place of the heavy ones: rank only the others",
            got if got.iter().zip(&expected).all(|(a, b)| scores[*a].total_cmp(&scores[*b]).is_eq()) => {
                ". Of slots with equal scores the newer stays"
            }
            _ => "",
        };
        bail!(
            "heavy_hitters(scores: {scores:?}, heavy: {heavy}, recent: {recent}): expected the slots {expected:?}, got {got:?}{hint}"
        );
    }
    Ok(())
}

fn slots_stay_in_the_order_of_the_text() -> Result<()> {
    let scores = [5.0, 1.0, 9.0, 7.0, 0.0, 3.0];
    let got = subject::heavy_hitters(&scores, 3, 2);
    equal(
        &format!("heavy_hitters(scores: {scores:?}, heavy: 3, recent: 2), rising, as `compact` needs them"),
        &vec![0, 2, 3, 4, 5],
        &got,
    )
}

fn heavy_hitters_tell_what_kvlabs_tell() -> Result<()> {
    let guest = Guest::new(forget!(subject), Policy::Heavy { heavy: 12, recent: 12 });
    tells_the_same("your 12 heavy hitters and the 12 newest", guest, "contiguous+h2o:12/12")
}
