//! Files that are there, damaged, in the way, or cannot be written.

use super::*;
use crate::app::theme::Look;
use std::collections::BTreeMap;

fn open(folder: &Path) -> (PrefsFile, Prefs, Option<String>) {
    PrefsFile::open(Some(folder.to_owned()))
}

fn light() -> Prefs {
    Prefs { look: Look::Light, layout: serde_json::json!({"panes": [1, 2]}), ..Prefs::default() }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_kept_is_there_at_the_next_start() {
    let place = tempfile::tempdir().expect("folder");
    let folder = place.path().join("new").join("kvlab");
    let (mut file, prefs, note) = open(&folder);
    assert_eq!((prefs, note), (Prefs::default(), None), "a first start says nothing");
    assert!(!folder.exists(), "and leaves nothing");
    file.keep(&Prefs::default(), 0.0).expect("nothing to write");
    assert!(!folder.exists());
    file.keep(&light(), 0.0).expect("written");
    assert_eq!(names(&folder), [NAME]);
    let (_, prefs, note) = open(&folder);
    assert_eq!((prefs, note), (light(), None));
}

#[test]
fn it_is_written_once_a_second_and_at_the_end() {
    let place = tempfile::tempdir().expect("folder");
    let (mut file, mut prefs, _) = open(place.path());
    let tenths = || format!("{:.0}", open(place.path()).1.zoom * 10.0);
    for (now_secs, zoom_set, tenths_there) in
        [(10.0, 1.1, "11"), (10.5, 1.2, "11"), (10.9, 1.3, "11"), (11.0, 1.3, "13"), (11.5, 1.4, "13")]
    {
        prefs.zoom = zoom_set;
        file.keep(&prefs, now_secs).expect("written or too early");
        assert_eq!(tenths(), tenths_there, "at {now_secs}");
    }
    file.close(&prefs).expect("written");
    assert_eq!(tenths(), "14");
}

#[test]
fn a_file_that_cannot_be_used_is_put_aside_once_and_costs_a_note() {
    let large = format!(r#"{{"version": 1, "layout": "{}"}}"#, " ".repeat(1 << 20));
    let deep = "[".repeat(100_000);
    for (text, reason) in [
        ("", "is damaged"),
        (r#"{"version": 1, "loo"#, "is damaged"),
        (r#"{"version": 1, "look": "sepia"}"#, "is damaged"),
        (r#"{"look": "light"}"#, "is damaged"),
        ("\u{feff}[]", "is damaged"),
        (deep.as_str(), "is damaged"),
        (large.as_str(), "has more than"),
    ] {
        let place = tempfile::tempdir().expect("folder");
        fs::write(place.path().join(NAME), text).expect("written");
        let (mut file, prefs, note) = open(place.path());
        assert_eq!(prefs, Prefs::default());
        let note = note.expect("a note");
        assert!(note.contains(reason) && note.contains(BAD_NAME), "{note}");
        assert_eq!(fs::read_to_string(place.path().join(BAD_NAME)).expect("kept"), text);
        file.keep(&light(), 0.0).expect("written");
        assert_eq!(open(place.path()).1, light());
        // A second one does not take the place of the first.
        fs::write(place.path().join(NAME), "again").expect("written");
        let (_, prefs, note) = open(place.path());
        assert_eq!(prefs, Prefs::default());
        assert!(!note.expect("a note").contains(BAD_NAME));
        assert_eq!(fs::read_to_string(place.path().join(BAD_NAME)).expect("kept"), text);
    }
}

#[test]
fn a_file_of_a_newer_kvlab_is_left_as_it_is() {
    let newer = format!(r#"{{"version": {}, "look": {{"new": "form"}}}}"#, VERSION + 1);
    let place = tempfile::tempdir().expect("folder");
    fs::write(place.path().join(NAME), &newer).expect("written");
    let (mut file, prefs, note) = open(place.path());
    assert_eq!(prefs, Prefs::default());
    let note = note.expect("a note");
    assert!(note.contains("is of version 2") && note.contains("left as it is"), "{note}");
    file.close(&light()).expect("nothing to do");
    assert_eq!(fs::read_to_string(place.path().join(NAME)).expect("there"), newer);
    assert!(!place.path().join(BAD_NAME).exists());
}

#[test]
fn a_folder_in_the_place_of_the_file_is_put_aside_too() {
    let place = tempfile::tempdir().expect("folder");
    fs::create_dir(place.path().join(NAME)).expect("folder");
    let (mut file, prefs, note) = open(place.path());
    assert_eq!(prefs, Prefs::default());
    assert!(note.is_some());
    file.close(&light()).expect("written");
    assert_eq!(open(place.path()).1, light());
}

#[test]
fn a_place_that_keeps_nothing_is_told_once() {
    let place = tempfile::tempdir().expect("folder");
    let blocked = place.path().join("file");
    fs::write(&blocked, "in the way").expect("written");
    let (mut file, prefs, _) = open(&blocked.join("kvlab"));
    assert_eq!(prefs, Prefs::default());
    assert!(matches!(file.keep(&light(), 0.0), Err(PrefsError::Io { .. })));
    assert!(file.keep(&light(), 5.0).is_ok() && file.close(&light()).is_ok(), "told once");
    let (mut nowhere, _, note) = PrefsFile::open(None);
    assert!(note.expect("a note").contains("no home folder"));
    nowhere.close(&light()).expect("nothing to do");
}

#[test]
fn the_folder_is_where_settings_are() {
    let with = |vars: &[(&str, &str)], home: Option<&str>| {
        let vars: BTreeMap<String, OsString> =
            vars.iter().map(|(name, value)| ((*name).into(), OsString::from(value))).collect();
        folder(|name| vars.get(name).cloned(), home.map(PathBuf::from))
    };
    assert_eq!(with(&[("KVLAB_CONFIG", "here")], None), Some(PathBuf::from("here")));
    assert_eq!(with(&[], None), None);
    if cfg!(all(unix, not(target_os = "macos"))) {
        let home = Some("/home/a");
        assert_eq!(with(&[("KVLAB_CONFIG", "")], home), Some("/home/a/.config/kvlab".into()));
        assert_eq!(with(&[("XDG_CONFIG_HOME", "/c")], home), Some("/c/kvlab".into()));
        assert_eq!(with(&[("XDG_CONFIG_HOME", "c")], None), None, "a relative one is ignored");
    }
}
