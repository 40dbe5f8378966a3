//! Names on the hub: `gpt2`, `org/name`, each with `@revision` behind it if one is asked for.
//!
//! Names become addresses and folders, so nothing passes that could leave either.

/// Ids that need no organisation in front: the five that everybody means by GPT-2.
pub const FAMILY: [&str; 5] = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2"];

/// The hub's own limit for an id.
const MAX_ID: usize = 96;
/// git's branches can be longer; nobody's are.
const MAX_REVISION: usize = 200;
/// Hexadecimal digits of a commit.
const COMMIT: usize = 40;
/// As many of them as tell commits apart for a reader.
const SHORT_COMMIT: usize = 10;

/// Id and revision, if `text` can be a name on the hub. A word without a slash is one only if it is known.
#[must_use]
pub fn parse(text: &str) -> Option<(String, Option<String>)> {
    let (id, revision) = match text.split_once('@') {
        Some((id, revision)) => (id, Some(revision)),
        None => (text, None),
    };
    let may_be = FAMILY.contains(&id) || id.contains('/');
    (may_be && is_id(id) && revision.is_none_or(is_revision)).then(|| (id.into(), revision.map(str::to_owned)))
}

/// `name` or `org/name`.
#[must_use]
pub fn is_id(id: &str) -> bool {
    let is_part = |part: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        part.chars().all(is_allowed)
            && edge(part.chars().next())
            && edge(part.chars().last())
            // `--` is how the cache writes a slash.
            && !part.contains("..")
            && !part.contains("--")
    };
    id.len() <= MAX_ID && id.split('/').count() <= 2 && id.split('/').all(is_part)
}

/// A branch, a tag or a commit, in the characters that git and a path both take.
#[must_use]
pub fn is_revision(revision: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
            && !part.starts_with(['.', '-'])
            && !part.ends_with('.')
            && !part.contains("..")
    };
    revision.len() <= MAX_REVISION && revision.split('/').all(is_part)
}

/// A full commit hash: it names one state of a repository for ever.
#[must_use]
pub fn is_commit(revision: &str) -> bool {
    is_hex(revision, COMMIT)
}

/// Exactly `digits` lower-case hexadecimal digits.
#[must_use]
pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A model's name with its commit cut to ten digits, for titles; files get the whole.
#[must_use]
pub fn short(model: &str) -> &str {
    match model.rsplit_once('@') {
        Some((id, commit)) if is_commit(commit) => &model[..id.len() + 1 + SHORT_COMMIT],
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_told_from_others() {
        for (text, id, revision) in [
            ("gpt2", "gpt2", None),
            ("distilgpt2@main", "distilgpt2", Some("main")),
            ("openai-community/gpt2", "openai-community/gpt2", None),
            ("a_b/c.d-e@refs/pr/1", "a_b/c.d-e", Some("refs/pr/1")),
        ] {
            assert_eq!(parse(text), Some((id.into(), revision.map(str::to_owned))), "{text}");
        }
    }

    #[test]
    fn what_could_leave_its_folder_or_address_is_no_name() {
        let long = format!("org/{}", "a".repeat(100));
        for text in [
            "gpt5",
            "gpt2-huge",
            "",
            "/",
            "/gpt2",
            "org/",
            "/etc/passwd",
            "a/b/c",
            "../gpt2",
            "org/..",
            "./gpt2",
            "org/.git",
            "org/a..b",
            "org/a--b",
            "org/na me",
            "org/na%2fme",
            "org/name?x",
            "org\\name",
            "org/n\u{e4}me",
            "org/-name",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let long = format!("gpt2@{}", "a".repeat(300));
        for text in [
            "gpt2@",
            "gpt2@../x",
            "gpt2@/main",
            "gpt2@a//b",
            "gpt2@a/",
            "gpt2@a b",
            "gpt2@a@b",
            "gpt2@-a",
            "gpt2@.a",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn titles_are_short() {
        let commit = "607a30d783dfa663caf39e06633721c8d4cfcd7e";
        assert_eq!(short(&format!("gpt2@{commit}")), "gpt2@607a30d783");
        assert_eq!(short("gpt2@main"), "gpt2@main");
        assert_eq!(short("story"), "story");
    }
}
