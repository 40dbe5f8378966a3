// Task 6: what the traces show.

fn trace_is_answered(trace: char) -> Result<()> {
    let answers: Vec<_> = subject::answers().into_iter().filter(|answer| answer.trace == trace).collect();
    let [answer] = answers.as_slice() else {
        bail!(
            "`answers` has {} answers for trace {trace}, and one is expected. Look at it: kvlab app --trace \
             labs/08-read-the-plot/traces/{trace}.jsonl",
            answers.len()
        );
    };
    match graded::grade(*answer, &Facts::of(trace)?) {
        None => Ok(()),
        Some(why) => bail!("trace {trace}: {why}"),
    }
}

fn trace_a() -> Result<()> {
    trace_is_answered('a')
}

fn trace_b() -> Result<()> {
    trace_is_answered('b')
}

fn trace_c() -> Result<()> {
    trace_is_answered('c')
}

fn trace_d() -> Result<()> {
    trace_is_answered('d')
}

fn trace_e() -> Result<()> {
    trace_is_answered('e')
}

fn trace_f() -> Result<()> {
    trace_is_answered('f')
}

fn trace_g() -> Result<()> {
    trace_is_answered('g')
}
