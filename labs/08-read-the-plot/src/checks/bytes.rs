// Task 4: bytes.

fn a_counter_becomes_differences() -> Result<()> {
    let counter = [100, 300, 300, 900];
    let got = subject::copied_by_each(&counter);
    let hint = match got.as_slice() {
        got if got == counter => {
            ". That is the counter itself, which never falls: what each token added to it is asked"
        }
        [200, 0, 600] => ". The first token copied too: before it the counter was 0",
        _ => "",
    };
    ensure!(
        got == [100, 200, 0, 600],
        "copied_by_each of the counter {counter:?}: expected [100, 200, 0, 600], got {got:?}{hint}"
    );
    equal("copied_by_each of nothing", &Vec::<u64>::new(), &subject::copied_by_each(&[]))
}

fn chats_are_compared_at_their_starts() -> Result<()> {
    // Three chats: the second is longer than the others, and none leaves anything behind.
    let reserved = [10, 20, 30, 10, 20, 30, 40, 50, 10, 20];
    let got = subject::left_behind(&reserved, &[0, 3, 8]);
    let hint = match got.as_slice() {
        [20, 0] => ". A chat that gets longer takes more. That is no leak: compare where chats begin",
        [_, _, _] => ". The first chat has none before it",
        _ => "",
    };
    ensure!(
        got == [0, 0],
        "left_behind of {reserved:?}, where chats begin at [0, 3, 8]: expected [0, 0], got {got:?}{hint}"
    );
    let reserved = [10, 20, 30, 40, 50, 60, 70, 75];
    let got = subject::left_behind(&reserved, &[0, 3, 6]);
    ensure!(
        got == [30, 30],
        "left_behind of {reserved:?}, where chats begin at [0, 3, 6]: expected [30, 30], got {got:?}. They begin with 10, 40 and 70"
    );
    equal(
        "left_behind where a chat begins with less than the one before",
        &vec![0],
        &subject::left_behind(&[50, 20], &[0, 1]),
    )?;
    equal("left_behind of one chat", &Vec::<u64>::new(), &subject::left_behind(&[1, 2, 3], &[0]))
}
