//! `kvlab app`: the window.

use std::{path::PathBuf, process::ExitCode};

use crate::app;

#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab app --model shape:gpt2 --lanes contiguous,contiguous+int8 --tokens 300
  kvlab app --autorun --screenshot window.png        run once, take a picture, close")]
pub struct Args {
    /// story, shape:NAME[,ctx=N], a folder, or a GPT-2 on the Hugging Face hub (gpt2, ORG/NAME@REVISION)
    /// [default: story]
    #[arg(long)]
    model: Option<String>,
    #[arg(long, help = "Download nothing: models of the hub come from the cache (HF_HUB_OFFLINE=1 is the same)")]
    offline: bool,
    /// The text to continue
    #[arg(long)]
    prompt: Option<String>,
    /// Lanes, separated by commas
    #[arg(long)]
    lanes: Option<String>,
    /// Tokens to generate in each lane
    #[arg(long)]
    tokens: Option<usize>,
    /// Where to compute: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long)]
    device: Option<String>,
    /// Start a run at once
    #[arg(long)]
    autorun: bool,
    /// Write a picture of the window when its first run is over, and close it
    #[arg(long, value_name = "FILE.png", requires = "autorun")]
    screenshot: Option<PathBuf>,
}

/// # Errors
/// No display, or a device that is not one.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut options = app::Options { autorun: args.autorun, screenshot: args.screenshot.clone(), ..Default::default() };
    for (given, option) in
        [(&args.model, &mut options.model), (&args.prompt, &mut options.prompt), (&args.lanes, &mut options.lanes)]
    {
        if let Some(given) = given {
            option.clone_from(given);
        }
    }
    options.offline = args.offline;
    options.tokens = args.tokens.unwrap_or(options.tokens);
    if let Some(device) = &args.device {
        options.device = device.parse()?;
    }
    app::run(options)?;
    Ok(ExitCode::SUCCESS)
}
