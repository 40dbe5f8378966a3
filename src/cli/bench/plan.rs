//! The arguments of `kvlab bench`, checked, and the matrix that they ask for.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use candle_core::Device;

use crate::{
    experiment::bench::{Engine, Group, GroupSettings, Matrix, Peers, Subject, matrix::parse_subjects},
    measure::{
        device::{DeviceChoice, name_of},
        machine::Machine,
    },
    model::{Config, ModelSource, WeightType},
    report::bench::folder::Identity,
};

use super::{Args, RUSTC, commit, measure::load};

/// What runs where nobody says otherwise.
pub(super) const LANES: &str = "none,concat,contiguous,paged:16,paged:16+int8,candle:concat,candle:kv";
const PROMPTS: [usize; 1] = [512];
const TOKENS: usize = 16;
const DEPTHS: [usize; 2] = [0, 512];
const REPEATS: usize = 5;
const REPEAT_LIMIT_SECS: f64 = 5.0;
/// The same with `--quick`.
pub(super) const QUICK_LANES: &str = "none,concat,contiguous,paged:16,paged:16+int8";
const QUICK_PROMPTS: [usize; 1] = [64];
const QUICK_TOKENS: usize = 8;
const QUICK_DEPTHS: [usize; 1] = [128];
const QUICK_REPEATS: usize = 3;
const QUICK_LIMIT_SECS: f64 = 0.5;

/// A model of the matrix, not loaded yet.
pub(super) struct PlannedModel {
    pub(super) source: ModelSource,
    pub(super) config: Config,
    pub(super) groups: Vec<Group>,
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
pub(super) struct Plan {
    sources: Vec<ModelSource>,
    pub(super) weights: Vec<WeightType>,
    subjects: Vec<Subject>,
    pub(super) matrix: Matrix,
    pub(super) settings: GroupSettings,
    pub(super) handicapped: Option<String>,
    pub(super) devices: Vec<Device>,
}

impl Plan {
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
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
    pub(super) fn models(&self, args: &Args, peers: &Peers) -> anyhow::Result<Vec<PlannedModel>> {
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

    pub(super) fn identity(&self, args: &Args, models: &[PlannedModel], peers: &Peers) -> Identity {
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
