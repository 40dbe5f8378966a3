// Task 3: forgetting.

/// Rows that say which slot they were in: row `i` is `[i, i + 0.25, ..]`.
fn marked(n_slots: usize, row: usize, from: f32) -> Vec<f32> {
    let slot = |slot: usize| f32::from(u16::try_from(slot).unwrap_or(u16::MAX));
    (0..n_slots).flat_map(|i| (0..row).map(move |c| from + slot(i) + slot(c) / 64.0)).collect()
}

/// Some rising slots below `n`.
fn some_of(n: usize, noise: &mut Noise) -> Vec<usize> {
    (0..n).filter(|_| noise.below(3) > 0).collect()
}

fn rows_close_up_in_order() -> Result<()> {
    let mut noise = Noise::new(7);
    let cases = (0..60).map(|i| {
        let n = i % 13;
        (n, some_of(n, &mut noise))
    });
    for (n_slots, keep) in
        [(6, vec![0, 1, 4, 5]), (5, vec![1, 2]), (4, vec![]), (3, vec![0, 1, 2])].into_iter().chain(cases)
    {
        for row in [1, 3] {
            let before = marked(n_slots, row, 0.0);
            let mut rows = before.clone();
            subject::compact(&mut rows, row, &keep);
            let expected: Vec<f32> =
                keep.iter().flat_map(|slot| &before[slot * row..(slot + 1) * row]).copied().collect();
            let came: Vec<Option<usize>> = rows
                .chunks(row)
                .map(|got| (0..n_slots).find(|slot| &before[slot * row..(slot + 1) * row] == got))
                .collect();
            let came: Vec<String> =
                came.into_iter().map(|slot| slot.map_or("?".into(), |slot| slot.to_string())).collect();
            let hint = match () {
                () if rows.len() > expected.len() => ". What is behind the rows that stay is to be cut off",
                () if came.iter().any(|slot| slot == "?") => {
                    ". A ? is a row that is no token's: is `row` numbers the unit?"
                }
                () => ". The order of the text is to stay",
            };
            ensure!(
                rows == expected,
                "compact of {n_slots} rows of {row} numbers, keep {keep:?}: expected the rows of slots {keep:?}, got those of [{}]{hint}",
                came.join(", ")
            );
        }
    }
    Ok(())
}

fn only_rows_that_change_their_slot_are_moved() -> Result<()> {
    for (n_slots, keep, expected) in
        [(6, vec![0, 1, 4, 5], 2), (5, vec![1, 2], 2), (5, vec![0, 1, 2], 0), (4, vec![], 0), (9, vec![0, 3, 4], 2)]
    {
        let got = subject::compact(&mut marked(n_slots, 2, 0.0), 2, &keep);
        let hint = match got {
            got if got == keep.len() => ". That is all that stay; a row that is in its place already is not moved",
            got if got == n_slots - keep.len() => ". That is how many go",
            got if got == expected * 2 => ". That counts numbers; `compact` counts rows",
            _ => "",
        };
        ensure!(
            got == expected,
            "compact of {n_slots} rows, keep {keep:?}: expected {expected} rows to change their slot, got {got}{hint}"
        );
    }
    Ok(())
}

fn every_table_forgets_the_same() -> Result<()> {
    let mut noise = Noise::new(3);
    for n_slots in [6, 1, 9, 20] {
        let keep = if n_slots == 6 { vec![0, 1, 4, 5] } else { some_of(n_slots, &mut noise) };
        // Different numbers, none of them 2 or 4, so that a factor which was left out is known by what came out.
        let (n_layer, row) = (3, 5);
        let mut slots = Slots::new(n_layer, row);
        slots.positions = (0..n_slots).map(|slot| slot * 3 + 1).collect();
        slots.scores = (0..n_slots).map(|_| f64::from(u16::try_from(noise.below(99)).unwrap_or(0))).collect();
        for layer in 0..n_layer {
            let from = f32::from(u16::try_from(layer * 100).unwrap_or(0));
            (slots.keys[layer], slots.values[layer]) =
                (marked(n_slots, row, from), marked(n_slots, row, -1000.0 - from));
        }
        let before = slots.clone();
        let moved = subject::evict(&mut slots, &keep);
        let what = format!("evict, {n_slots} slots in 3 layers, keep {keep:?}");
        let expected: Vec<usize> = keep.iter().map(|slot| before.positions[*slot]).collect();
        let hint = if slots.positions == (0..keep.len()).collect::<Vec<_>>() {
            ". A token stands where it stood in the text, whoever else is forgotten"
        } else {
            ""
        };
        ensure!(
            slots.positions == expected,
            "{what}: positions were {:?}; expected {expected:?}, got {:?}{hint}",
            before.positions,
            slots.positions
        );
        let expected: Vec<f64> = keep.iter().map(|slot| before.scores[*slot]).collect();
        ensure!(
            slots.scores == expected,
            "{what}: scores were {:?}; expected {expected:?}, got {:?}. A score belongs to a token and moves with it",
            before.scores,
            slots.scores
        );
        for (name, before, after) in [("keys", &before.keys, &slots.keys), ("values", &before.values, &slots.values)] {
            for (layer, (before, after)) in before.iter().zip(after).enumerate() {
                let expected: Vec<f32> =
                    keep.iter().flat_map(|slot| &before[slot * row..(slot + 1) * row]).copied().collect();
                ensure!(
                    *after == expected,
                    "{what}: the {name} of layer {layer} should be those of the slots {keep:?}, {} numbers, and `{name}[{layer}]` has {}{}",
                    expected.len(),
                    after.len(),
                    if after == before { ", as before: is every layer compacted?" } else { "" }
                );
            }
        }
        let rows = keep.iter().enumerate().filter(|(to, from)| to != *from).count();
        let expected = rows * 2 * n_layer * row * 4;
        let hint = match moved {
            moved if moved * 2 == expected => ". Keys and values move",
            moved if moved * row == expected => ". `compact` counts rows, and a row has `slots.row` numbers",
            moved if moved * n_layer == expected => ". They move in every layer",
            moved if moved * 4 == expected => ". A number takes 4 bytes",
            _ => "",
        };
        ensure!(
            moved == expected,
            "{what}: {rows} tokens change their slot, with keys and values of {row} numbers in 3 layers; expected {expected} bytes, got {moved}{hint}"
        );
    }
    Ok(())
}

fn a_window_tells_what_kvlabs_tells() -> Result<()> {
    for (sinks, recent) in [(4, 20), (0, 24)] {
        let policy = Policy::Window { sinks, recent };
        let lane = format!("contiguous+window:{sinks}/{recent}");
        let what = format!("your window of {recent} with {sinks} sinks");
        tells_the_same(&what, Guest::new(forget!(subject), policy), &lane)?;
        let what = format!("a whole cache with your mask for {sinks} sinks and {recent} newest");
        tells_the_same(&what, Guest::masked(forget!(subject), policy), &lane)?;
    }
    Ok(())
}
