//! Each trace in numbers, by the learner's functions.

use std::io::Write;

use anyhow::{Result, bail};
use labkit::{Caught, caught};

use crate::{
    exercise, facts,
    facts::{mb, ms},
    given::{TRACES, recorded},
    solution,
};

/// What is run of a module.
#[derive(Clone, Copy)]
struct Reader {
    rise: fn(&[f64]) -> f64,
    warm_up: fn(&[f64]) -> usize,
    per_token: fn(&[f64]) -> f64,
    fixed_share: fn(&[usize], &[f64]) -> f64,
    copied_by_each: fn(&[u64]) -> Vec<u64>,
    left_behind: fn(&[u64], &[usize]) -> Vec<u64>,
    slow_together: fn(&[f64], &[f64]) -> Option<std::ops::Range<usize>>,
}

macro_rules! reader {
    ($module:ident) => {
        Reader {
            rise: $module::rise,
            warm_up: $module::warm_up,
            per_token: $module::per_token,
            fixed_share: $module::fixed_share,
            copied_by_each: $module::copied_by_each,
            left_behind: $module::left_behind,
            slow_together: $module::slow_together,
        }
    };
}

/// A table with a column a trace.
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    let reader = match variant {
        "exercise" => reader!(exercise),
        "solution" => reader!(solution),
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    match caught(|| table(reader)) {
        Ok(text) => out.write_all(text.as_bytes())?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}

fn table(reader: Reader) -> Result<String> {
    let mut columns = vec![];
    for (trace, _) in TRACES {
        let recorded = recorded(trace)?;
        let (kvlab, mine) = (&recorded.kvlab, &recorded.mine);
        let secs = &mine.secs[1..];
        // A line through some text and no warm-up.
        let warm = (reader.warm_up)(secs);
        let share = match mine.starts.len() {
            1 => format!(
                "{:.0} %",
                (reader.fixed_share)(&mine.length[1 + warm..], &facts::extra(&recorded)[warm..]) * 100.0
            ),
            _ => "-".into(),
        };
        let copied = (reader.copied_by_each)(&mine.copied);
        let left = (reader.left_behind)(&mine.reserved, &mine.starts);
        let together = (reader.slow_together)(&kvlab.secs[1..], secs);
        let megabytes = |bytes: u64| mb(bytes).trim_end_matches(" MB").to_owned();
        let millis = |secs: f64| ms(secs).trim_end_matches(" ms").to_owned();
        let n = copied.len();
        columns.push([
            trace.to_string(),
            mine.starts.len().to_string(),
            format!("{}-{}", mine.length.iter().min().unwrap_or(&0), mine.length.iter().max().unwrap_or(&0)),
            millis((reader.per_token)(&kvlab.secs[1..])),
            millis((reader.per_token)(secs)),
            millis(secs.iter().sum::<f64>() / f64::from(u32::try_from(secs.len())?)),
            format!("{:+.2}", (reader.rise)(secs) * 1e6),
            warm.to_string(),
            share,
            format!("{} {}", megabytes(copied[2.min(n - 1)]), megabytes(copied[n - 1])),
            format!("{} {}", megabytes(mine.reserved[0]), megabytes(mine.reserved[n - 1])),
            megabytes(mine.used.iter().copied().max().unwrap_or(0)),
            if left.is_empty() { "-".into() } else { megabytes(left.iter().sum()) },
            together.map_or("-".into(), |tokens| format!("{}-{}", tokens.start + 1, tokens.end)),
        ]);
    }
    let titles = [
        "trace",
        "chats",
        "tokens in the cache",
        "contiguous: ms a token",
        "mine: ms a token",
        "  its mean instead",
        "  rise, us a token",
        "  warm-up, tokens",
        "  of its extra, fixed",
        "  copied by token 2, last: MB",
        "  reserved first, last: MB",
        "  used at most: MB",
        "  left behind by chats: MB",
        "both slow, tokens",
    ];
    let mut text = String::new();
    for (row, title) in titles.iter().enumerate() {
        text += &format!("{title:<29}");
        for column in &columns {
            text += &format!("{:>11}", column[row]);
        }
        text.push('\n');
    }
    Ok(text)
}
