//! `kvlab models`: what `--model` takes.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    cache::Format,
    model::{Config, HubConfig, ModelSource, config::SHAPES, hub},
    report::units,
};

/// # Errors
/// Writing to standard output.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "model",
        "weights",
        "layers",
        "heads",
        "head_dim",
        "context",
        "f32 weights",
        "f32 cache a token",
    ]);
    let mut row = |name: String, config: &Config| {
        table.add_row([
            name,
            format!("{:.1} M", millions(config.n_params())),
            config.n_layer.to_string(),
            config.n_head.to_string(),
            config.head_dim().to_string(),
            config.n_positions.to_string(),
            units::bytes(config.n_params() * 4),
            units::bytes(config.kv_shape().formula_bytes_per_token(Format::F32)),
        ]);
    };
    row("story".into(), &ModelSource::Story.config()?);
    for (name, ..) in SHAPES {
        if let Some(config) = Config::shape(name, None) {
            row(format!("{name}, shape:{name}"), &config);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let hub_config = HubConfig::from_env();
    let cached = |id: &str| hub::cached_commit(&hub_config, id).map(|commit| format!("{id}@{commit}"));
    let cached: Vec<String> = hub::name::FAMILY.into_iter().filter_map(cached).collect();
    let cached = match cached.len() {
        _ if !cfg!(feature = "hub") => "none, and this kvlab was built without the hub".into(),
        0 => "none".into(),
        _ => cached.join("\n                "),
    };
    writeln!(
        io::stdout(),
        "{table}\n\n\
         story           embedded: writes little stories and remembers facts; needs no network\n\
         shape:NAME      random weights of that size: latency and memory are real, the text means nothing;\n\
         \x20               shape:NAME,ctx=N sets the context length\n\
         a folder        config.json and model.safetensors of a GPT-2, and tokenizer.json, or vocab.json and merges.txt,\n\
         \x20               if there are any\n\
         {}, ORG/NAME\n\
         \x20               trained GPT-2 from the Hugging Face hub, downloaded once; NAME@REVISION is a branch, tag or commit\n\
         in the cache    {cached}",
        hub::name::FAMILY.join(", ")
    )?;
    Ok(ExitCode::SUCCESS)
}

fn millions(n: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let n = n as f64;
    n / 1e6
}
