//! `kvlab bench`: a matrix of arms, measured against the floor of this machine.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use candle_core::Device;
use indicatif::ProgressBar;

use crate::{
    experiment::bench::{
        Arm, ArmResult, BenchError, Engine, Group, GroupRun, GroupSettings, Matrix, PeerModel, Peers, Subject, Threads,
        matrix::parse_subjects,
    },
    measure::machine::{DeviceChoice, Machine},
    model::{Config, HubConfig, LoadedModel, ModelError, ModelSource, WeightType, write_story},
    report::bench::{
        OutputFormat,
        folder::{BenchFolder, Header, Identity, SCHEMA, say_resumed},
        print,
    },
};

use super::{
    CANCEL, CANCELLED,
    options::{LANE_GRAMMAR, with_calibration_bar},
    progress, unless_closed,
};

/// What runs where nobody says otherwise.
const LANES: &str = "none,concat,contiguous,paged:16,paged:16+int8,candle:concat,candle:kv";
const PROMPTS: [usize; 1] = [512];
const TOKENS: usize = 16;
const DEPTHS: [usize; 2] = [0, 512];
const REPEATS: usize = 5;
/// The compiler this was built with.
const RUSTC: &str = match option_env!("KVLAB_RUSTC") {
    Some(version) => version,
    None => "unknown",
};
const REPEAT_LIMIT_SECS: f64 = 5.0;
/// The same with `--quick`.
const QUICK_LANES: &str = "none,concat,contiguous,paged:16,paged:16+int8";
const QUICK_PROMPTS: [usize; 1] = [64];
const QUICK_TOKENS: usize = 8;
const QUICK_DEPTHS: [usize; 1] = [128];
const QUICK_REPEATS: usize = 3;
const QUICK_LIMIT_SECS: f64 = 0.5;

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  kvlab bench --quick                                           a first look at the embedded model, under a minute
  kvlab bench --model shape:gpt2 --lanes contiguous,paged:16+int8 --depths 128,512,900 --out bench1
  kvlab bench --model shape:gpt2,ctx=32768 --lanes contiguous,paged:16 --depths 1024,8192,32000 --prompts '' --out long
  kvlab bench --model shape:gpt2 --batches 1,8,32 --threads 1,2 --weights f32,q8_0 --out batches
  kvlab bench --model shape:gpt2 --peer 'python3 benches/peers/transformers_peer.py' --out peers
The same command with the same --out goes on where it was interrupted. Tests are named as llama-bench names them: pp512 is a prompt of
512 tokens, tg16@d512,b8 16 tokens of each of 8 sequences behind 512 cached ones. A cache is brought to its depth with random rows that
are stored but not computed; what it costs to read them is the same. Blocks of a pool are mixed up, as after long use.
{LANE_GRAMMAR}
Besides there are candle:concat and candle:kv, the caches of candle-nn with attention of candle's own operations."))]
pub struct Args {
    /// story, shape:NAME[,ctx=N], a folder or a GPT-2 of the hub; give it again for more models
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Types that the weights are kept in, of f32, f16, bf16 and `q8_0`; separated by commas
    #[arg(long, default_value = "f32")]
    weights: String,
    #[arg(long, help = format!("Lanes, separated by commas [default: {LANES}; --quick {QUICK_LANES}]"))]
    lanes: Option<String>,
    /// Lengths of prompts (pp); '' for none [default: 512; --quick 64]
    #[arg(long, value_name = "N,N,...")]
    prompts: Option<String>,
    /// Tokens that are generated (tg); 0 for none [default: 16; --quick 8]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Cached tokens in front of those [default: 0,512; --quick 128]
    #[arg(long, value_name = "N,N,...")]
    depths: Option<String>,
    /// Sequences in a batch
    #[arg(long, value_name = "N,N,...", default_value = "1")]
    batches: String,
    /// Threads to compute with [default: all, as `kvlab doctor` names them]
    #[arg(long, value_name = "N,N,...")]
    threads: Option<String>,
    /// Devices, separated by commas, of auto, cpu, cuda and cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Turns of every arm [default: 5; --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: Option<u32>,
    /// A turn makes no further step after so many seconds [default: 5; --quick 0.5]
    #[arg(long, value_name = "SECS", allow_negative_numbers = true)]
    repeat_limit: Option<f64>,
    /// A program that runs another engine on the same work (benches/peers/README.md); give it again for more
    #[arg(long = "peer", value_name = "COMMAND")]
    peers: Vec<String>,
    /// Of the caches that peers offer only these, separated by commas
    #[arg(long, value_name = "NAME,NAME,...")]
    peer_lanes: Option<String>,
    /// Small and short: the whole matrix in under a minute
    #[arg(long)]
    quick: bool,
    /// Download nothing: models of the hub come from the cache
    #[arg(long)]
    offline: bool,
    /// Make every step of a lane longer by waiting, as in 10@contiguous: to see that `kvlab compare` finds it
    #[arg(long, value_name = "PERCENT@LANE")]
    handicap: Option<String>,
    /// What is printed: md, csv, json or jsonl
    #[arg(long, short, default_value_t)]
    output: OutputFormat,
    /// Folder for arms.jsonl, summary.json, .csv and .md; an interrupted benchmark in it goes on
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace a benchmark that is in the folder already
    #[arg(long, requires = "out")]
    fresh: bool,
}

/// # Errors
/// Bad input, a model or peer that does not work, a failing disk.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args)?;
    let mut peers = match Peers::start(&args.peers, &CANCEL) {
        Err(BenchError::Cancelled) => return say_cancelled(args, 0),
        peers => peers?,
    };
    let models = plan.models(args, &peers)?;
    let header = Header {
        schema: SCHEMA,
        command: command(),
        started_unix_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        identity: plan.identity(args, &models, &peers),
    };
    let mut folder = args.out.as_deref().map(|out| BenchFolder::open(out, header, args.fresh)).transpose()?;
    let groups = || models.iter().flat_map(|model| &model.groups);
    let of_device = |device| groups().map(|group| on(group, device).arms.len()).sum::<usize>();
    let all: usize = plan.devices.iter().map(of_device).sum();
    if let (Some(folder), Some(out)) = (&folder, &args.out)
        && !folder.arms().is_empty()
    {
        say_resumed(&mut io::stderr(), out, folder.arms().len(), all)?;
    }

    let mut arms: Vec<ArmResult> = folder.as_ref().map_or(vec![], |folder| folder.arms().to_vec());
    let bar = progress::bar("measuring", (all * (plan.settings.repeats + 1)) as u64);
    let outcome = plan.measure(args, &models, &mut peers, &mut arms, folder.as_mut(), &bar);
    bar.finish_and_clear();
    match outcome {
        Ok(()) => {}
        Err(error) if matches!(error.downcast_ref(), Some(BenchError::Cancelled)) => {
            // What was measured is worth a look even so.
            unless_closed(write!(io::stdout(), "{}", text(&arms, args.output)?))?;
            return say_cancelled(args, arms.len());
        }
        Err(error) => return Err(error),
    }
    let written = folder.map(|folder| folder.finish()).transpose()?;
    unless_closed(write!(io::stdout(), "{}", text(&arms, args.output)?))?;
    if let (Some(names), Some(out)) = (written, &args.out) {
        writeln!(io::stderr(), "wrote {} to {}", names.join(", "), out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(arms: &[ArmResult], output: OutputFormat) -> anyhow::Result<String> {
    print(arms, output).map_err(|e| anyhow::anyhow!("the results cannot be written as {output}: {e}"))
}

fn say_cancelled(args: &Args, n_arms: usize) -> anyhow::Result<ExitCode> {
    let kept = match &args.out {
        Some(out) => format!("{n_arms} arms are kept in {}; the same command goes on from there", out.display()),
        None => format!("{n_arms} arms were measured; nothing was written, since no --out was given"),
    };
    writeln!(io::stderr(), "cancelled: {kept}")?;
    Ok(ExitCode::from(CANCELLED))
}

/// A model of the matrix, not loaded yet.
struct PlannedModel {
    source: ModelSource,
    config: Config,
    groups: Vec<Group>,
}

impl PlannedModel {
    /// Its name, of the hub with the commit, and of a folder with what changes when its weights do.
    fn identity(&self) -> String {
        let ModelSource::Folder(folder) = &self.source else { return self.source.to_string() };
        let file = std::fs::metadata(folder.join("model.safetensors")).ok();
        let changed = file.as_ref().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let (bytes, secs) = (file.map_or(0, |file| file.len()), changed.map_or(0, |since| since.as_secs()));
        format!("{} ({bytes} bytes, {secs})", self.source)
    }
}

/// The arguments, checked.
struct Plan {
    sources: Vec<ModelSource>,
    weights: Vec<WeightType>,
    subjects: Vec<Subject>,
    matrix: Matrix,
    settings: GroupSettings,
    handicapped: Option<String>,
    devices: Vec<Device>,
}

impl Plan {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let names = if args.models.is_empty() { &["story".to_owned()][..] } else { &args.models };
        let sources = names.iter().map(|name| name.parse()).collect::<Result<Vec<ModelSource>, _>>()?;
        let weights =
            args.weights.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<WeightType>, _>>()?;
        let mut kept = vec![];
        for weights in weights {
            if !kept.contains(&weights) {
                kept.push(weights);
            }
        }
        let lanes = args.lanes.as_deref().unwrap_or(if args.quick { QUICK_LANES } else { LANES });
        let subjects = if lanes.trim().is_empty() && !args.peers.is_empty() { vec![] } else { parse_subjects(lanes)? };
        let most = rayon::current_num_threads();
        let threads = args.threads.as_deref().map_or(Ok(vec![most]), |text| numbers("--threads", text))?;
        if threads.is_empty() || threads.iter().any(|threads| *threads == 0 || *threads > most) {
            let given = args.threads.as_deref().unwrap_or_default();
            bail!("--threads {given}: give 1 to {most}; RAYON_NUM_THREADS sets how many there are");
        }
        let quick = |value: Option<&str>, flag: &str, quick: &[usize], default: &[usize]| match value {
            Some(text) => numbers(flag, text),
            None => Ok(if args.quick { quick } else { default }.to_vec()),
        };
        let secs = args.repeat_limit.unwrap_or(if args.quick { QUICK_LIMIT_SECS } else { REPEAT_LIMIT_SECS });
        if !(0.0..=3600.0).contains(&secs) {
            bail!("--repeat-limit {secs}: give 0 to 3600 seconds");
        }
        let (handicap_percent, handicapped) = args.handicap.as_deref().map_or(Ok((0.0, None)), handicap)?;
        let is_there = |lane: &&String| subjects.iter().any(|subject| subject.to_string() == **lane);
        if let Some(lane) = handicapped.as_ref().filter(|lane| !is_there(lane)) {
            bail!("--handicap: `{lane}` is not among the lanes");
        }
        let repeats = if args.quick { QUICK_REPEATS } else { REPEATS };
        Ok(Self {
            sources,
            weights: kept,
            subjects,
            matrix: Matrix {
                engines: vec![],
                threads,
                prompts: quick(args.prompts.as_deref(), "--prompts", &QUICK_PROMPTS, &PROMPTS)?,
                tokens: args.tokens.unwrap_or(if args.quick { QUICK_TOKENS } else { TOKENS }),
                depths: quick(args.depths.as_deref(), "--depths", &QUICK_DEPTHS, &DEPTHS)?,
                batches: numbers("--batches", &args.batches)?,
            },
            settings: GroupSettings {
                repeats: args.repeats.map_or(repeats, |repeats| repeats as usize),
                repeat_limit: Duration::from_secs_f64(secs),
                handicap_percent,
            },
            handicapped,
            devices: devices(&args.device)?,
        })
    }

    /// The groups of every model; says what its context has no room for.
    fn models(&self, args: &Args, peers: &Peers) -> anyhow::Result<Vec<PlannedModel>> {
        let mut matrix = self.matrix.clone();
        matrix.engines = self.subjects.iter().map(|subject| (Engine::Kvlab(*subject), self.weights.clone())).collect();
        let wanted: Option<Vec<&str>> =
            args.peer_lanes.as_deref().map(|lanes| lanes.split(',').map(str::trim).collect());
        let all: Vec<&str> = peers.hellos().flat_map(|hello| &hello.lanes).map(String::as_str).collect();
        if let Some(lane) = wanted.iter().flatten().find(|lane| !all.contains(lane)) {
            bail!("--peer-lanes: no peer offers `{lane}`; they offer {}", all.join(", "));
        }
        for (peer, hello) in peers.hellos().enumerate() {
            let offered = |weights: &&WeightType| hello.weights.contains(&weights.to_string());
            let weights: Vec<WeightType> = self.weights.iter().filter(offered).copied().collect();
            if weights.is_empty() {
                let weights = hello.weights.join(", ");
                writeln!(io::stderr(), "note: {} has none of these weights, only {weights}: left out", hello.peer)?;
            }
            let lanes =
                hello.lanes.iter().filter(|lane| wanted.as_ref().is_none_or(|wanted| wanted.contains(&lane.as_str())));
            matrix.engines.extend(lanes.map(|lane| (Engine::Peer { peer, lane: lane.clone() }, weights.clone())));
        }
        let mut planned = vec![];
        for source in &self.sources {
            let (source, config) = match source {
                ModelSource::Hub { .. } => {
                    let loaded = load(args, source, WeightType::F32, &self.devices[0])?;
                    (loaded.source, loaded.model.config().clone())
                }
                source => (source.clone(), source.config().with_context(|| format!("model `{source}`"))?),
            };
            let (groups, too_long) = matrix.groups(&config).with_context(|| format!("model `{source}`"))?;
            if !too_long.is_empty() {
                let end = config.n_positions;
                writeln!(io::stderr(), "note: {source} ends at {end} tokens: left out {}", too_long.join(", "))?;
            }
            planned.push(PlannedModel { source, config, groups });
        }
        Ok(planned)
    }

    fn identity(&self, args: &Args, models: &[PlannedModel], peers: &Peers) -> Identity {
        let Matrix { threads, prompts, tokens, depths, batches, .. } = &self.matrix;
        let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let names = |texts: Vec<String>| texts.join(",");
        let settings = [
            ("lanes", names(self.subjects.iter().map(Subject::to_string).collect())),
            ("weights", names(self.weights.iter().map(WeightType::to_string).collect())),
            ("threads", list(threads)),
            ("prompts", list(prompts)),
            ("tokens", tokens.to_string()),
            ("depths", list(depths)),
            ("batches", list(batches)),
            ("repeats", self.settings.repeats.to_string()),
            ("repeat limit", format!("{} s", self.settings.repeat_limit.as_secs_f64())),
            ("handicap", args.handicap.clone().unwrap_or_default()),
            ("peer lanes", args.peer_lanes.clone().unwrap_or_default()),
        ];
        Identity {
            kvlab_version: env!("CARGO_PKG_VERSION").into(),
            commit: commit(),
            rustc: RUSTC.into(),
            machine: Machine::detect(),
            device: names(self.devices.iter().map(name_of).collect()),
            models: models.iter().map(PlannedModel::identity).collect(),
            peers: peers.hellos().cloned().collect(),
            settings: settings.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        }
    }

    /// Measures every group that `arms` does not hold yet.
    fn measure(
        &self,
        args: &Args,
        models: &[PlannedModel],
        peers: &mut Peers,
        arms: &mut Vec<ArmResult>,
        mut folder: Option<&mut BenchFolder>,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let threads = self.matrix.threads.iter().map(|n| Threads::new(*n)).collect::<Result<Vec<_>, _>>()?;
        let machine = Machine::detect();
        for (planned, device) in models.iter().flat_map(|model| self.devices.iter().map(move |device| (model, device)))
        {
            let template = ArmResult {
                model: planned.source.to_string(),
                device: name_of(device),
                kvlab_version: env!("CARGO_PKG_VERSION").into(),
                commit: commit(),
                rustc: RUSTC.into(),
                cpu: machine.cpu.clone(),
                cpu_flags: machine.simd.join(" "),
                cores: machine.cores,
                ..ArmResult::default()
            };
            let is_done = |group: &&Group| {
                let test = group.test.to_string();
                let same =
                    |arm: &&ArmResult| arm.model == template.model && arm.device == template.device && arm.test == test;
                arms.iter().filter(same).count() >= group.arms.len()
            };
            let groups: Vec<Group> = planned.groups.iter().map(|group| on(group, device)).collect();
            let (done, left): (Vec<&Group>, Vec<&Group>) = groups.iter().partition(is_done);
            bar.reset_eta();
            bar.inc(done.iter().map(|group| (group.arms.len() * (self.settings.repeats + 1)) as u64).sum());
            if left.is_empty() {
                continue;
            }
            // Also where only peers run: their floor is a pass over ours.
            let loaded = self.weights.iter().map(|weights| load(args, &planned.source, *weights, device).map(Arc::new));
            let loaded = loaded.collect::<anyhow::Result<Vec<_>>>()?;
            let (peer_folder, kept) = peer_folder(&planned.source, peers)?;
            let peer_model = PeerModel::new(template.model.clone(), &planned.config, peer_folder);
            for group in left {
                bar.set_message(format!("{} {}", planned.source, group.test));
                let mut run = GroupRun {
                    group,
                    settings: self.settings,
                    models: &loaded,
                    peers,
                    peer_model: &peer_model,
                    threads: &threads,
                    handicapped: self.handicapped.as_deref(),
                    template: &template,
                };
                let results = with_calibration_bar(&loaded[0], |show| run.run(show, &mut |_| bar.inc(1), &CANCEL))?;
                if let Some(folder) = folder.as_deref_mut() {
                    folder.keep(results.clone())?;
                }
                arms.extend(results);
            }
            peers.end();
            drop(kept);
        }
        Ok(())
    }
}

fn load(args: &Args, source: &ModelSource, weights: WeightType, device: &Device) -> anyhow::Result<LoadedModel> {
    let mut hub = HubConfig::from_env();
    hub.offline |= args.offline;
    let mut bars = progress::ModelBars::default();
    let model = source.load_as(weights, &hub, device, &mut |progress| bars.show(progress), &CANCEL);
    bars.clear();
    match model {
        Err(ModelError::Cancelled) => Err(BenchError::Cancelled.into()),
        model => model.with_context(|| format!("model `{source}` cannot be loaded")),
    }
}

/// Each device once.
fn devices(text: &str) -> anyhow::Result<Vec<Device>> {
    let mut devices: Vec<Device> = vec![];
    for name in text.split(',') {
        let (device, _) = name.trim().parse::<DeviceChoice>()?.open()?;
        if !devices.iter().any(|known| known.same_device(&device)) {
            devices.push(device);
        }
    }
    Ok(devices)
}

/// A group as it runs on a device: peers compute on the processor, and are measured there.
fn on(group: &Group, device: &Device) -> Group {
    let is_there = |arm: &&Arm| device.is_cpu() || matches!(arm.engine, Engine::Kvlab(_));
    Group { test: group.test, arms: group.arms.iter().filter(is_there).cloned().collect() }
}

fn name_of(device: &Device) -> String {
    format!("{:?}", device.location())
}

/// Where peers find a model's files; the embedded one is written for them, as long as the second lives.
fn peer_folder(source: &ModelSource, peers: &Peers) -> anyhow::Result<(Option<PathBuf>, Option<tempfile::TempDir>)> {
    match source {
        _ if peers.hellos().next().is_none() => Ok((None, None)),
        ModelSource::Story => {
            let folder = tempfile::tempdir().context("a folder for the peers' model")?;
            write_story(folder.path()).context("the peers' model cannot be written")?;
            Ok((Some(folder.path().to_owned()), Some(folder)))
        }
        ModelSource::Folder(path) => Ok((Some(path.canonicalize()?), None)),
        ModelSource::Shape { .. } => Ok((None, None)),
        ModelSource::Hub { .. } => {
            bail!("peers run shapes, folders and the embedded story; give the folder of `{source}`")
        }
    }
}

/// What was typed, quoted where a shell would want it.
fn command() -> String {
    let quoted = |word: String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=:,.+/@".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{word}'") }
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    format!("kvlab {}", words.collect::<Vec<_>>().join(" "))
}

fn commit() -> String {
    option_env!("KVLAB_COMMIT").unwrap_or("unknown").to_owned()
}

/// Numbers separated by commas, each once; none of an empty text.
fn numbers(flag: &str, text: &str) -> anyhow::Result<Vec<usize>> {
    let mut found = vec![];
    for number in text.split(',').map(str::trim).filter(|number| !number.is_empty()) {
        let number: usize = number.parse().with_context(|| format!("{flag} {text}: `{number}` is no whole number"))?;
        if !found.contains(&number) {
            found.push(number);
        }
    }
    Ok(found)
}

/// `PERCENT@LANE`.
fn handicap(text: &str) -> anyhow::Result<(f64, Option<String>)> {
    let parsed = text.split_once('@').and_then(|(percent, lane)| Some((percent.parse::<f64>().ok()?, lane)));
    match parsed {
        Some((percent, lane)) if percent > 0.0 && percent <= 1000.0 => {
            let lane = parse_subjects(lane)?.first().map(Subject::to_string);
            Ok((percent, lane))
        }
        _ => bail!("--handicap {text}: write it as 10@contiguous, up to 1000 per cent"),
    }
}
