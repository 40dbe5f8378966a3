//! `kvlab plan`: how many users fit into a memory, by arithmetic alone.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, ensure};

use crate::{
    cache::{CacheSpec, Lane, Lengths, lengths::MAX_TOKENS, spec::parse_lanes},
    model::KnownModel,
    report::{
        plan::{DEFINITIONS, Plan, Question},
        units::{bytes, parse_size},
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

/// What is compared unless a person says otherwise, as far as it is built.
const DEFAULT_LANES: &str = "contiguous,paged:16,paged:16+f16,paged:16+int8";

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
    let lanes = lanes(args.lane.as_deref())?;
    let question = question(args, model)?;
    let memory = question.memory_bytes;
    let plan = Plan::new(question, &lanes)?;
    let smallest = plan.lanes.iter().min_by_key(|lane| lane.block_bytes);
    if let Some(lane) = smallest.filter(|_| plan.lanes.iter().all(|lane| lane.one_user_tokens == 0)) {
        anyhow::bail!(
            "--memory {} does not hold one block: {} token(s) of lane `{}` take {}",
            bytes(memory),
            lane.block_len,
            lane.lane,
            bytes(lane.block_bytes + lane.sequence_bytes)
        );
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?;
    } else {
        write!(out, "{}", plan.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lanes(asked: Option<&str>) -> anyhow::Result<Vec<CacheSpec>> {
    let mut specs = vec![];
    for lane in parse_lanes(asked.unwrap_or(DEFAULT_LANES))? {
        match lane {
            Lane::None => {
                anyhow::bail!("`none` keeps no cache, so there is nothing to plan; try contiguous or paged:16")
            }
            Lane::Cache(spec) => specs.push(spec),
        }
    }
    Ok(specs)
}

/// The arguments with their defaults, checked against each other.
fn question(args: &Args, model: KnownModel) -> anyhow::Result<Question> {
    let known = model.n_positions.map(|n| n as u64);
    let context = args
        .context
        .or(known)
        .with_context(|| format!("`{}` does not say where its positions end; give --context", model.name))?;
    let shared_prefix =
        args.shared_prefix.unwrap_or_else(|| args.lengths.as_ref().map_or(context, Lengths::shortest) / 4);
    ensure!(
        shared_prefix < context,
        "--shared-prefix {shared_prefix} leaves no token of its own to a user with a context of {context}"
    );
    let lengths = args.lengths.clone().unwrap_or(Lengths::Uniform { from: shared_prefix + 1, to: context });
    ensure!(
        lengths.longest() <= context,
        "--lengths {lengths} reaches {} tokens, past a context of {context}; give a larger --context",
        lengths.longest()
    );
    ensure!(
        lengths.shortest() > shared_prefix,
        "--lengths {lengths} has users of {} tokens, not more than the shared prefix of {shared_prefix} that is part of \
         them; give a smaller --shared-prefix",
        lengths.shortest()
    );
    Ok(Question { model, memory_bytes: args.memory, context, lengths, shared_prefix, users: args.users })
}
