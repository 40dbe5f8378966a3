//! Measuring the matrix of `kvlab bench`, group by group.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use candle_core::Device;
use indicatif::ProgressBar;

use crate::{
    experiment::bench::{Arm, ArmResult, BenchError, Engine, Group, GroupRun, PeerModel, Peers},
    measure::{device::name_of, machine::Machine, threads::Threads},
    model::{HubConfig, LoadedModel, ModelError, ModelSource, WeightType, write_story},
    report::bench::folder::BenchFolder,
};

use super::{
    super::{CANCEL, options::with_calibration_bar, progress},
    Args, RUSTC, commit,
    plan::{Plan, PlannedModel},
};

impl Plan {
    /// Measures every group that `arms` does not hold yet.
    pub(super) fn measure(
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

pub(super) fn load(
    args: &Args,
    source: &ModelSource,
    weights: WeightType,
    device: &Device,
) -> anyhow::Result<LoadedModel> {
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

/// A group as it runs on a device: peers compute on the processor, and are measured there.
pub(super) fn on(group: &Group, device: &Device) -> Group {
    let is_there = |arm: &&Arm| device.is_cpu() || matches!(arm.engine, Engine::Kvlab(_));
    Group { test: group.test, arms: group.arms.iter().filter(is_there).cloned().collect() }
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
