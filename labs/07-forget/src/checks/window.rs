// Task 1: a window, with and without sinks.

fn sinks_and_the_newest_stay() -> Result<()> {
    for (sinks, recent) in [(0, 3), (2, 3), (4, 8), (1, 1), (3, 0)] {
        for n_slots in sinks + recent..30 {
            let got = subject::window(n_slots, sinks, recent);
            let expected: Vec<usize> = (0..sinks).chain(n_slots - recent..n_slots).collect();
            let newest = n_slots - recent;
            let hint = match &got {
                got if *got == expected => continue,
                got if *got == (0..sinks + recent).collect::<Vec<_>>() => ". Those are the oldest; the newest stay",
                got if *got == (sinks..newest).collect::<Vec<_>>() => ". Those are the ones that go",
                got if got.iter().filter(|slot| **slot >= newest).count() + sinks == recent => {
                    ". `recent` newest ones stay besides the sinks: the budget is the sum of the two"
                }
                got if got.len() == expected.len() + 1 => ". That is one more than the budget",
                got if got.len() + 1 == expected.len() => ". That is one less than the budget",
                _ => "",
            };
            bail!(
                "window(n_slots: {n_slots}, sinks: {sinks}, recent: {recent}): expected {expected:?}, got {got:?}{hint}"
            );
        }
    }
    Ok(())
}

fn a_short_text_stays_whole() -> Result<()> {
    for (sinks, recent) in [(4, 8), (0, 5), (6, 0), (2, 2)] {
        for n_slots in 0..=sinks + recent {
            let got = subject::window(n_slots, sinks, recent);
            let expected: Vec<usize> = (0..n_slots).filter(|slot| sinks + recent >= n_slots || *slot < sinks).collect();
            let hint =
                if got.len() > n_slots { ". A slot stays once, though it is a sink and among the newest" } else { "" };
            ensure!(
                got == expected,
                "window(n_slots: {n_slots}, sinks: {sinks}, recent: {recent}): there is room for all {n_slots}; expected \
                 {expected:?}, got {got:?}{hint}"
            );
        }
    }
    Ok(())
}
