//! The arrows between the rooms point one way, and only `app` knows the window library.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms from the lowest to the highest, and the rooms each may name. `main.rs` and `lib.rs` are the doors.
const ROOMS: [(&str, &[&str]); 11] = [
    ("kernels", &[]),
    ("gpu", &["kernels"]),
    ("cache", &["kernels", "gpu"]),
    ("measure", &["kernels", "gpu"]),
    ("model", &["kernels", "cache", "measure"]),
    ("engine", &["kernels", "gpu", "cache", "measure", "model"]),
    ("experiment", &["cache", "measure", "model", "engine"]),
    ("report", &["cache", "measure", "model", "engine", "experiment"]),
    ("course", &[]),
    ("cli", &["cache", "measure", "model", "engine", "experiment", "report", "course", "app"]),
    ("app", &["cache", "measure", "model", "engine", "experiment", "report", "course"]),
];

/// The policy files: plain integers, no tensors.
const INTEGERS_ONLY: [&str; 11] = [
    "cache/spec.rs",
    "cache/pool.rs",
    "cache/blocks.rs",
    "cache/blocks/forget.rs",
    "cache/blocks/reserve.rs",
    "cache/blocks/rows.rs",
    "cache/capacity.rs",
    "cache/lengths.rs",
    "cache/live.rs",
    "cache/residual.rs",
    "cache/retention.rs",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Code without comments and without tests, which may look anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("source");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that a file names, in `crate::room` or inside `crate::{room, ..}`.
fn named_rooms(code: &str) -> Vec<String> {
    let mut rooms = vec![];
    for rest in code.split("crate::").skip(1) {
        let (mut depth, mut names) = (0, vec![String::new()]);
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth <= 1 => break,
                '}' => depth -= 1,
                ',' if depth == 1 => names.push(String::new()),
                _ if depth == 0 && !(c.is_alphanumeric() || c == '_') => break,
                _ => names.last_mut().expect("a name").push(c),
            }
        }
        let first =
            |name: String| name.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned);
        rooms.extend(names.into_iter().filter_map(first).filter(|name| ROOMS.iter().any(|(room, _)| room == name)));
    }
    rooms
}

#[test]
fn arrows_point_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (room, may_name) in ROOMS {
        for file in files(&src.join(room)).into_iter().filter(|f| !f.to_string_lossy().ends_with("_tests.rs")) {
            seen += 1;
            for named in named_rooms(&code(&file)) {
                let allowed = named == room || may_name.contains(&named.as_str());
                assert!(allowed, "{} names `{named}`, which `{room}` must not know", file.display());
            }
        }
    }
    assert!(seen > 30, "only {seen} files were looked at");
    for entry in fs::read_dir(&src).expect("src") {
        let path = entry.expect("entry").path();
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        assert!(
            ROOMS.iter().any(|(room, _)| *room == name) || ["lib", "main"].contains(&name.as_str()),
            "{name} is no room"
        );
    }
}

#[test]
fn the_check_sees_what_it_must() {
    assert_eq!(
        named_rooms("use crate::{cache::{Lane, spec}, engine::Sampling};\nuse crate::model;"),
        ["cache", "engine", "model"]
    );
    assert_eq!(named_rooms("pub(crate) fn f() { crate::report::units::bytes(3) }"), ["report"]);
}

#[test]
fn only_the_window_knows_egui_and_only_policy_is_free_of_tensors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "app") {
        for file in files(&src.join(room)) {
            let code = code(&file);
            for gui in ["egui::", "eframe", "egui_plot", "winit"] {
                assert!(!code.contains(gui), "{} names {gui}", file.display());
            }
        }
    }
    for file in INTEGERS_ONLY {
        let code = code(&src.join(file));
        assert!(!code.contains("candle") && !code.contains("f32]") && !code.contains("Tensor"), "{file} knows tensors");
    }
    let may_be_unsafe = |file: &Path| ["kernels", "gpu"].iter().any(|room| file.starts_with(src.join(room)));
    for file in files(&src).iter().filter(|file| !may_be_unsafe(file)) {
        assert!(!code(file).contains("unsafe "), "{} has unsafe code", file.display());
    }
}
