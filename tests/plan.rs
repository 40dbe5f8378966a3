//! `kvlab plan` as a person meets it.

use std::process::{Command, Output};

use serde_json::Value;

fn kvlab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvlab")).arg("plan").args(args).output().expect("kvlab starts")
}

fn printed(args: &[&str]) -> String {
    let output = kvlab(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("utf8")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&printed(&[args, &["--json"]].concat())).expect("json")
}

/// The message of a refused command, which must be no panic.
fn refusal(args: &[&str]) -> String {
    let output = kvlab(args);
    assert!(!output.status.success(), "{args:?} was accepted");
    assert_ne!(output.status.code(), Some(101), "{args:?} panicked: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty(), "{args:?} printed a result: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("utf8")
}

#[test]
fn a_hundred_users_of_gpt2_xl() {
    let args =
        ["--model", "gpt2-xl", "--lane", "paged:16+int8", "--memory", "10GiB", "--context", "1024", "--users", "100"];
    let text = printed(&args);
    for part in ["gpt2-xl: 48 layers", "10.00 GiB (10.74 GB)", "uniform:257-1024", "no, 5.56 GiB short", "worst case  "]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let plan = json(&args);
    // 48 layers x (k, v) x 25 heads x (64 codes + a scale of 4 bytes)
    let token_bytes = 48 * 2 * 25 * (64 + 4);
    let lane = &plan["lanes"][0];
    assert_eq!(lane["token_bytes"], token_bytes);
    let memory = 10_u64 << 30;
    let worst = &lane["worst_case"];
    assert_eq!(worst["users"], memory / (1024 * token_bytes));
    assert_eq!(worst["bytes"], memory / (1024 * token_bytes) * 1024 * token_bytes);
    assert_eq!(worst["asked"]["needed_bytes"], 100 * 1024 * token_bytes);
    assert_eq!(worst["asked"]["fits"], false);
    // 257 to 1,024 tokens: 16 lengths each of 17, 18, .. 64 blocks, 40.5 on average; 16 blocks of them shared.
    assert_eq!(lane["live_length"]["asked"]["needed_bytes"], 4050 * 16 * token_bytes);
    assert_eq!(lane["shared_prefix"]["asked"]["needed_bytes"], (16 + 2450) * 16 * token_bytes);
    assert_eq!(lane["one_user_tokens"], memory / (16 * token_bytes) * 16);
    assert_eq!(lane["full_context"]["formula_bytes"], 48 * 2 * 25 * 64 * 1024);
    assert_eq!(lane["full_context"]["reserved_bytes"], 1024 * token_bytes);
    assert_eq!(plan["mean_length"], 640.5);
    assert_eq!((&plan["model"]["n_positions"], &plan["users"]), (&1024.into(), &100.into()));
}

#[test]
fn published_figures_come_out() {
    let token = |model: &str, lane: &str| {
        let plan = json(&["--model", model, "--lane", lane, "--memory", "80GB"]);
        plan["lanes"][0]["token_bytes"].as_u64().expect("bytes")
    };
    assert_eq!(token("gpt2", "paged:16"), 72 << 10);
    assert_eq!(token("7B", "paged:16"), 1 << 20);
    assert_eq!(token("70b", "contiguous"), 80 * 2 * 8 * 128 * 4);
    assert_eq!(token("7b", "paged:16+f16"), 512 << 10);
    // A 7B model's 4,096 tokens take 4 GiB in f32: five of them in 20 GiB, four in 20 GB.
    let users = |memory| {
        json(&["--model", "7b", "--lane", "paged", "--memory", memory])["lanes"][0]["worst_case"]["users"].clone()
    };
    assert_eq!((users("20GiB"), users("20GB")), (5.into(), 4.into()));
}

#[test]
fn lanes_side_by_side() {
    let lanes = "contiguous,concat,paged:16";
    let args =
        ["--model", "2,4,2,64", "--lanes", lanes, "--memory", "1MiB", "--context", "100", "--lengths", "fixed:20"];
    let plan = json(&args);
    // 2 x 2 x 2 x 64 x 4 = 2 KiB a token: 512 tokens, or 32 blocks of 16, or 16 of 32.
    let answers: Vec<Vec<u64>> = plan["lanes"]
        .as_array()
        .expect("lanes")
        .iter()
        .map(|lane| {
            let users = |way: &str| lane[way]["users"].as_u64().expect("users");
            vec![users("worst_case"), users("live_length"), users("shared_prefix")]
        })
        .collect();
    assert_eq!(answers, [vec![4, 4, 4], vec![5, 25, 25], vec![4, 16, 16]]);
    assert_eq!(plan["shared_prefix"], 5, "a quarter of the shortest length");
    assert_eq!(plan["lanes"][1]["regrowth_bytes"], 99 * 1024, "the old rows of one of two layers");
    let text = printed(&args);
    assert!(text.contains("contiguous reserves the whole context") && text.contains("99.00 KiB more"), "{text}");

    let shared = [&args[..8], &["--lengths", "fixed:33", "--shared-prefix", "32"]].concat();
    let users = &json(&shared)["lanes"][2]["shared_prefix"]["users"];
    assert_eq!(*users, 30, "two blocks once, one each");
    // A default comparison holds what is built, and needs no lane by name.
    assert!(json(&["--model", "story", "--memory", "1GB"])["lanes"].as_array().expect("lanes").len() >= 3);
    assert!(printed(&["--model", "story", "--memory", "1GB", "--context", "2048"]).contains("past story's own 1,024"));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&["--model", "gpt5", "--memory", "1GB"], "unknown model `gpt5`"),
        (&["--model", "gpt2"], "--memory"),
        (&["--memory", "1GB"], "--model"),
        (&["--model", "32,0,8,128", "--memory", "1GB", "--context", "9"], "heads is 0"),
        (&["--model", "32,32,5,128", "--memory", "1GB", "--context", "9"], "32 query heads cannot share 5 key heads"),
        (&["--model", "32,32,8,12", "--memory", "1GB", "--context", "9"], "no multiple of 8"),
        (&["--model", "32,32,8", "--memory", "1GB", "--context", "9"], "four whole numbers"),
        (&["--model", "32,32,8,128", "--memory", "1GB"], "give --context"),
        (&["--model", "gpt2", "--memory", "1000", "--lane", "paged:16"], "does not hold one block: 16 token(s)"),
        (&["--model", "gpt2", "--memory", "0"], "between 1 byte"),
        (&["--model", "gpt2", "--memory", "-1GB"], "is no size"),
        (&["--model", "gpt2", "--memory", "10 gallons"], "is no size"),
        (&["--model", "gpt2", "--memory", "1GB", "--context", "0"], "--context"),
        (&["--model", "gpt2", "--memory", "1GB", "--context", "-5"], "--context"),
        (&["--model", "gpt2", "--memory", "1GB", "--users", "0"], "--users"),
        (&["--model", "gpt2", "--memory", "1GB", "--lane", "none"], "keeps no cache"),
        (&["--model", "gpt2", "--memory", "1GB", "--lane", "heap"], "unknown layout `heap`"),
        (&["--model", "gpt2", "--memory", "1GB", "--lane", ""], "empty lane"),
        (&["--model", "gpt2", "--memory", "1GB", "--lengths", "fixed:2000"], "past a context of 1024"),
        (&["--model", "gpt2", "--memory", "1GB", "--lengths", "uniform:9-5"], "backwards"),
        (&["--model", "gpt2", "--memory", "1GB", "--lengths", "normal:5"], "unknown distribution"),
        (&["--model", "gpt2", "--memory", "1GB", "--shared-prefix", "1024"], "leaves no token"),
        (
            &["--model", "gpt2", "--memory", "1GB", "--shared-prefix", "64", "--lengths", "fixed:64"],
            "smaller --shared-prefix",
        ),
        (&["--model", "4096,65536,65536,65536", "--memory", "1GB", "--context", "16777216"], "too large"),
        (&["--model", "70b", "--memory", "1GB", "--users", "18446744073709551615"], "too large"),
    ];
    for (args, says) in cases {
        let message = refusal(args);
        assert!(message.contains(says), "{args:?}: {message}");
    }
}

#[test]
fn help_defines_what_is_printed() {
    let help = printed(&["--help"]);
    for part in ["worst case ", "live length ", "shared prefix ", "512 KiB in f16", "kvlab plan --model 70b"] {
        assert!(help.contains(part), "{part} is not in\n{help}");
    }
}

/// The residual of a long sequence is not cut short by a shorter context that was asked about.
#[test]
fn one_user_has_the_whole_residual() {
    let one = |context: &str| {
        let plan =
            json(&["--model", "4,4,4,64", "--lane", "paged:32+kivi:2/4096", "--memory", "1GiB", "--context", context]);
        plan["lanes"][0]["one_user_tokens"].as_u64().expect("tokens")
    };
    assert_eq!(one("1024"), one("65536"));
    // A residual larger than the memory: what fits is as long as the context at most.
    let plan = json(&["--model", "story", "--lane", "contiguous+kivi:4/100000", "--memory", "100MiB"]);
    assert_eq!(plan["lanes"][0]["one_user_tokens"], 1024);
}
