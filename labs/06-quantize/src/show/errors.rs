//! How far single numbers of the story model's keys and values come back.

use std::io::Write;

use anyhow::{Context, Result};
use kvlab::measure::stats::{mean, median};

use crate::{
    given::{Format, GROUP, HEAD_DIM},
    mine::Guest,
    stored::{Codec, Stored},
};

const FORMATS: [(&str, Format); 5] = [
    ("f16", Format::F16),
    ("8 bits by token", Format::Int8),
    ("8 bits by channel", Format::Int8Channels),
    ("4 bits by token", Format::Int4),
    ("4 bits by channel", Format::Int4Channels),
];

/// The mean and the largest distance, of keys and of values, in each format. `exact` caches hold f32. The newest tokens, which some formats
/// leave alone, are left out for all.
pub fn show(codec: Codec, exact: &[Guest], out: &mut dyn Write) -> Result<()> {
    let heads = || exact.iter().flat_map(|cache| &cache.heads);
    let rows: [Vec<Vec<f32>>; 2] = [0, 1].map(|of| heads().map(|head| whole_groups(head[of].read())).collect());
    let n_tokens: usize = rows[0].iter().map(|rows| rows.len() / HEAD_DIM).sum();
    writeln!(out, "Keys and values of the story model: {n_tokens} rows of {HEAD_DIM} numbers each.")?;
    writeln!(out, "{:<24}{:>12}{:>12}{:>12}", "", "typical |x|", "largest |x|", "outlier")?;
    for (name, rows) in ["keys", "values"].iter().zip(&rows) {
        let all: Vec<f64> = rows.iter().flatten().map(|x| f64::from(x.abs())).collect();
        let typical = median(&all).context("there are numbers")?;
        let largest = all.iter().copied().fold(0.0, f64::max);
        writeln!(out, "{name:<24}{typical:>12.3}{largest:>12.3}{:>11.1}x", outlier(rows)?)?;
    }
    writeln!(out, "\n{:<24}{:>24}{:>24}", "", "keys come back off by", "values come back off by")?;
    writeln!(out, "{:<24}{:>12}{:>12}{:>12}{:>12}", "format", "mean", "at most", "mean", "at most")?;
    for (name, format) in FORMATS {
        let mut cells = String::new();
        for rows in &rows {
            let mut errors = vec![];
            for rows in rows {
                let mut stored = Stored::new(codec, format, HEAD_DIM, 0);
                rows.chunks_exact(HEAD_DIM).for_each(|row| stored.push(row));
                errors.extend(rows.iter().zip(stored.read()).map(|(x, read)| f64::from((x - read).abs())));
            }
            let largest = errors.iter().copied().fold(0.0, f64::max);
            cells += &format!("{:>12.1e}{largest:>12.1e}", mean(&errors).context("there are numbers")?);
        }
        writeln!(out, "{name:<24}{cells}")?;
    }
    writeln!(
        out,
        "\ntypical |x|  the median over all numbers\n\
         outlier      of a head, the channel with the largest mean |x| against the median channel; the median over heads\n"
    )?;
    Ok(())
}

/// What whole groups hold.
fn whole_groups(mut rows: Vec<f32>) -> Vec<f32> {
    rows.truncate(rows.len() / (GROUP * HEAD_DIM) * GROUP * HEAD_DIM);
    rows
}

fn outlier(heads: &[Vec<f32>]) -> Result<f64> {
    let of_head = |rows: &Vec<f32>| {
        let channel = |channel| -> Option<f64> {
            mean(&rows.iter().skip(channel).step_by(HEAD_DIM).map(|x| f64::from(x.abs())).collect::<Vec<_>>())
        };
        let channels: Vec<f64> = (0..HEAD_DIM).filter_map(channel).collect();
        Some(channels.iter().copied().fold(0.0, f64::max) / median(&channels)?)
    };
    let heads: Vec<f64> = heads.iter().filter_map(of_head).collect();
    median(&heads).context("there are heads")
}
