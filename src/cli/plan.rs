//! `kvlab plan`: how many users fit into a memory, by arithmetic alone.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{
    cache::{Lengths, lengths::MAX_TOKENS},
    model::KnownModel,
    report::{
        plan::{Ask, DEFAULT_LANES, DEFINITIONS, Plan, cached_lanes},
        units::parse_size,
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub struct Args {
    #[arg(long, help = MODEL)]
    model: String,
    /// Lanes to compare, separated by commas [default: contiguous and paged:16 with the usual formats]
    #[arg(long, visible_alias = "lanes", value_name = "LANES")]
    lane: Option<String>,
    /// Memory for keys, values and scales, as in 10GiB (2^30 bytes each), 80GB (10^9) or 512MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_hyphen_values = true)]
    memory: u64,
    /// Tokens of a user at most, prompt and answer [default: the model's positions]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=MAX_TOKENS))]
    #[arg(allow_negative_numbers = true)]
    context: Option<u64>,
    /// Say whether so many users fit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    users: Option<u64>,
    /// Live lengths of users: fixed:N, uniform:A-B, or list:N,N*WEIGHT,... [default: uniform, from one token after the
    /// shared prefix to the context]
    #[arg(long, value_name = "LENGTHS", allow_hyphen_values = true)]
    lengths: Option<Lengths>,
    /// Tokens that all users' prompts begin with [default: a quarter of the context, or of the
    /// shortest of --lengths]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    shared_prefix: Option<u64>,
    /// One JSON object with every number in bytes, instead of tables
    #[arg(long)]
    json: bool,
}

const MODEL: &str = "gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, story, 7b, 13b, 70b (Llama 2), \
                     shape:NAME[,ctx=N], a folder with config.json, or layers,heads,kv_heads,head_dim";

fn help() -> String {
    format!(
        "\
Examples:
  kvlab plan --model gpt2-xl --lane paged:16+int8 --memory 10GiB --context 1024 --users 100
  kvlab plan --model 70b --memory 80GB --lengths list:500*70,2000*25,4096*5 --shared-prefix 400
  kvlab plan --model 32,32,8,128 --memory 24GiB --context 8192 --json

The format of a lane decides the bytes of an element; without one it is f32. Figures in papers
are mostly f16: a token of a 7B model takes 1 MiB in f32 and 512 KiB in f16.

{DEFINITIONS}"
    )
}

/// # Errors
/// A model, lane, length or size that means nothing.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model: KnownModel = args.model.parse()?;
    let lanes = cached_lanes(args.lane.as_deref().unwrap_or(DEFAULT_LANES))?;
    let ask = Ask {
        model,
        memory_bytes: args.memory,
        context: args.context,
        lengths: args.lengths.clone(),
        shared_prefix: args.shared_prefix,
        users: args.users,
    };
    let plan = Plan::new(ask.question()?, &lanes)?.check_memory()?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?;
    } else {
        write!(out, "{}", plan.text())?;
    }
    Ok(ExitCode::SUCCESS)
}
