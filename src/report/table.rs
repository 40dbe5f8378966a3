//! The table at the end of a run.

use comfy_table::{CellAlignment, Table, presets};

use super::{
    summary::{DEFINITIONS, LaneSummary},
    units,
};
use crate::{engine::record::GpuStep, experiment::LaneEnd};

/// The lanes side by side, with the definitions of their columns underneath.
#[must_use]
pub fn table(lanes: &[LaneSummary]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "lane", "tokens", "TTFT", "TPOT", "ITL p50", "p90", "p99", "reserved", "used", "dead", "copied", "same",
    ]);
    for lane in lanes {
        let secs = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), units::secs);
        let bytes = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), units::bytes);
        table.add_row([
            lane.lane.clone(),
            lane.tokens.to_string(),
            secs(lane.latency.ttft_secs),
            secs(lane.latency.tpot_secs),
            secs(lane.latency.itl_p50_secs),
            secs(lane.latency.itl_p90_secs),
            secs(lane.latency.itl_p99_secs),
            bytes(lane.reserved_bytes),
            bytes(lane.used_bytes),
            bytes(lane.dead_bytes),
            bytes(lane.copied_bytes),
            same(lane, lanes[0].tokens),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n\n{DEFINITIONS}\n");
    if lanes.iter().any(|lane| lane.gpu.is_some()) {
        text.push_str("\nGPU, asked by the cache for a decoded token at most (candle asks for more, for the rest of the model):\n");
    }
    for lane in lanes {
        if let Some(GpuStep { counts, driver_used_bytes }) = lane.gpu {
            text.push_str(&format!(
                "  {}: {} launches, {} copies to it, {} back, {} inside, {} allocations; in use by the driver's count: {}\n",
                lane.lane,
                counts.launches,
                counts.uploads,
                counts.downloads,
                counts.device_copies,
                counts.allocations,
                units::bytes(driver_used_bytes)
            ));
        }
    }
    for lane in lanes {
        if let Some(LaneEnd::Failed(reason)) = &lane.end {
            text.push_str(&format!("\n{}: stopped after {} tokens: {reason}\n", lane.lane, lane.tokens));
        }
    }
    text
}

fn same(lane: &LaneSummary, first_lane_tokens: usize) -> String {
    match (lane.first_divergence, lane.tokens.min(first_lane_tokens)) {
        (Some(token), _) => format!("to token {token}"),
        (None, 0) => "-".into(),
        (None, _) if lane.same_tokens_as_first_lane => "yes".into(),
        (None, compared) => format!("{compared} so far"),
    }
}
