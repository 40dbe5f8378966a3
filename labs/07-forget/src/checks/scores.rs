// Task 4: what each token received.

fn every_query_counts() -> Result<()> {
    let mut scores = vec![0.0; 3];
    // Three queries of a prompt, each sees itself and what is before it.
    let weights = [1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.5, 0.125, 0.375];
    subject::receive(&mut scores, &weights);
    let hint = match () {
        () if scores == [0.5, 0.125, 0.375] => ". That is the last query alone",
        () if scores == [1.0, 1.0, 1.0] => {
            ". Those are the sums of the rows: what a query gives is always 1. Asked is what a slot gets, down a column"
        }
        () if scores.first().is_some_and(|first| (first - 1.75 / 3.0).abs() < 1e-9) => {
            ". That is the mean of the queries; a sum is asked for"
        }
        () => "",
    };
    ensure!(
        scores == [1.75, 0.875, 0.375],
        "receive of 3 queries with weights [1, 0, 0], [0.25, 0.75, 0], [0.5, 0.125, 0.375] over 3 slots: expected [1.75, 0.875, \
         0.375], got {scores:?}{hint}"
    );
    // One query, more slots than queries.
    let mut scores = vec![0.0; 5];
    subject::receive(&mut scores, &[0.5, 0.25, 0.0, 0.125, 0.125]);
    equal("receive of one query over 5 slots", &vec![0.5, 0.25, 0.0, 0.125, 0.125], &scores)
}

fn scores_go_on_from_pass_to_pass() -> Result<()> {
    let mut scores = vec![2.0, 1.0];
    subject::receive(&mut scores, &[0.5, 0.5]);
    subject::receive(&mut scores, &[0.25, 0.75]);
    let hint =
        if scores == [0.25, 0.75] { ". That is the last call alone; heads, layers and passes add up" } else { "" };
    ensure!(
        scores == [2.75, 2.25],
        "scores [2, 1], and receive is called with [0.5, 0.5] and with [0.25, 0.75]: expected [2.75, 2.25], got {scores:?}{hint}"
    );
    // A weight of f32 that is small beside the sum is not lost in it.
    let mut scores = vec![1e9];
    (0..1000).for_each(|_| subject::receive(&mut scores, &[0.001]));
    ensure!(
        (scores[0] - 1e9 - 1.0).abs() < 1e-3,
        "1,000 weights of 0.001 behind a sum of a thousand million: expected 1000000001, got {}: add in f64",
        scores[0]
    );
    Ok(())
}
