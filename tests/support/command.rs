//! The binary as a person starts it.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

pub fn kvlab(args: &[&str]) -> Output {
    let mut kvlab = Command::new(env!("CARGO_BIN_EXE_kvlab"));
    // What it keeps, it keeps among the files of the tests.
    kvlab.args(args).env("KVLAB_CACHE", env!("CARGO_TARGET_TMPDIR")).output().expect("kvlab starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("utf8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("utf8")
}

/// The one message of a refused command. It must not be a panic, and nothing may be printed as a result.
pub fn refusal(args: &[&str]) -> String {
    let output = kvlab(args);
    assert!(!output.status.success(), "{args:?} was accepted");
    assert_ne!(output.status.code(), Some(101), "{args:?} panicked: {}", stderr(&output));
    assert!(stdout(&output).is_empty(), "{args:?} printed a result: {}", stdout(&output));
    stderr(&output)
}

pub fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("file")).expect("json")
}
