//! A lab's page, cut into what is drawn in different ways: running text, code, tables, and folds, which hide answers until they are opened.

/// A piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// 1 is the largest. Markdown within the line.
    Heading(usize, String),
    /// Paragraphs and lists, in Markdown.
    Text(String),
    /// `is_command`: somebody may want to copy it into a terminal.
    Code { text: String, is_command: bool },
    /// The first row is the head. Cells are Markdown.
    Table(Vec<Vec<String>>),
    /// `<details>` with its `<summary>`.
    Fold { title: String, parts: Vec<Part> },
}

/// What a fold is called that has no summary.
const FOLD: &str = "Answers";

/// Cuts a page.
#[must_use]
pub fn parse(text: &str) -> Vec<Part> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut parts, mut words, mut at) = (vec![], String::new(), 0);
    while let Some(line) = lines.get(at) {
        let (part, end) = special(&lines, at);
        if let Some(part) = part {
            flush(&mut words, &mut parts);
            parts.push(part);
        } else {
            words.push_str(&without_near_links(line));
            words.push('\n');
        }
        at = end;
    }
    flush(&mut words, &mut parts);
    parts
}

fn flush(words: &mut String, parts: &mut Vec<Part>) {
    let text = std::mem::take(words);
    // Only line ends: a list may begin with spaces.
    let text = text.trim_matches('\n');
    if !text.trim().is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// What begins at a line that is not running text, and the line after it.
fn special(lines: &[&str], at: usize) -> (Option<Part>, usize) {
    let line = lines[at];
    if let Some(language) = line.strip_prefix("```") {
        let end = close(lines, at + 1, |line| line.starts_with("```"));
        let is_command = ["sh", "bash"].contains(&language.trim());
        return (Some(Part::Code { text: lines[at + 1..end].join("\n"), is_command }), end + 1);
    }
    let level = line.chars().take_while(|sign| *sign == '#').count();
    if (1..=6).contains(&level) && line[level..].starts_with(' ') {
        return (Some(Part::Heading(level, without_near_links(line[level..].trim()))), at + 1);
    }
    if line.starts_with('|') && lines.get(at + 1).is_some_and(|next| next.starts_with("|-") || next.starts_with("|:")) {
        let end = close(lines, at, |line| !line.starts_with('|'));
        let rows = std::iter::once(line).chain(lines[at + 2..end].iter().copied()).map(cells).collect();
        return (Some(Part::Table(rows)), end);
    }
    if line.trim_start().starts_with("<details") {
        let end = close(lines, at, |line| line.contains("</details>"));
        return (Some(fold(&lines[at..end.min(lines.len())])), end + 1);
    }
    (None, at + 1)
}

/// The first line from `from` on of which something is true, or the end.
fn close(lines: &[&str], from: usize, is_end: impl Fn(&str) -> bool) -> usize {
    (from..lines.len()).find(|at| is_end(lines[*at])).unwrap_or(lines.len())
}

/// `<details><summary>Title</summary>`, in one line or in several, and what follows.
fn fold(lines: &[&str]) -> Part {
    let text = lines.join("\n");
    let inside = text.split_once('>').map_or("", |(_, inside)| inside);
    let (title, rest) = match inside.split_once("</summary>") {
        Some((summary, rest)) => (summary.trim().trim_start_matches("<summary>").trim(), rest),
        None => ("", inside),
    };
    let title = if title.is_empty() { FOLD } else { title };
    Part::Fold { title: title.to_owned(), parts: parse(rest) }
}

/// The cells of a table's row. `\|` is a bar within a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\u{1}");
    row.split('|').map(|cell| without_near_links(cell.trim()).replace('\u{1}', "|")).collect()
}

/// Names the file where a link leads to one of the repository: nothing here could open it. What leads into the web stays a link.
fn without_near_links(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, link)) = rest.split_once('[') {
        let is_code = (out.matches('`').count() + before.matches('`').count()) % 2 == 1;
        out.push_str(before);
        let parts = link.split_once("](").and_then(|(name, after)| Some((name, after.split_once(')')?)));
        match parts {
            Some((name, (target, after))) if !is_code && !name.contains('[') && !target.contains("://") => {
                let path = target.trim_start_matches("../").trim_start_matches("./");
                out.push_str(&format!("{name} (`{path}`)"));
                rest = after;
            }
            _ => {
                out.push('[');
                rest = link;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::Course;
    use std::path::Path;

    fn text(words: &str) -> Part {
        Part::Text(words.into())
    }

    #[test]
    fn a_page_is_cut_into_its_parts() {
        let page = "# Lab 9: all\n\nOne.\n- two\n  more\n\n```sh\ncargo run # | no table\n```\n\n```text\n# no heading\n```\n\
                    | a | b |\n|---|---|\n| `x \\| y` | [z](https://example.org/z) |\n\nEnd.\n";
        let code = |text: &str, is_command| Part::Code { text: text.into(), is_command };
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            parse(page),
            [
                Part::Heading(1, "Lab 9: all".into()),
                text("One.\n- two\n  more"),
                code("cargo run # | no table", true),
                code("# no heading", false),
                Part::Table(vec![row(["a", "b"]), row(["`x | y`", "[z](https://example.org/z)"])]),
                text("End."),
            ]
        );
    }

    #[test]
    fn answers_are_folded() {
        let folded = "<details><summary>1. Why?</summary>\n\nBecause.\n\n```text\nx\n```\n</details>\nAfter.";
        let parts = vec![text("Because."), Part::Code { text: "x".into(), is_command: false }];
        assert_eq!(parse(folded), [Part::Fold { title: "1. Why?".into(), parts }, text("After.")]);
        let Part::Fold { title, .. } = &parse("<details>\n<summary>Two\nlines</summary>\nx\n</details>")[0] else {
            panic!("a fold");
        };
        assert_eq!(title, "Two\nlines");
        let never_closed = parse("<details>\nx");
        assert_eq!(never_closed, [Part::Fold { title: FOLD.into(), parts: vec![text("x")] }]);
    }

    #[test]
    fn links_to_files_become_their_paths() {
        let near = without_near_links("the [README](../../README.md), `a[0](x)` and [egui](https://egui.rs)");
        assert_eq!(near, "the README (`README.md`), `a[0](x)` and [egui](https://egui.rs)");
        assert_eq!(without_near_links("[0, 1] and [x"), "[0, 1] and [x");
    }

    #[test]
    fn odd_pages_are_no_trouble() {
        for odd in ["", "\n\n", "```", "|", "| a |\n|---|", "#", "<details", "</details>", "[](", "[a]("] {
            let _ = parse(odd);
        }
    }

    /// Whatever a lab's page has, no answer may lie open, and no mark of Markdown or HTML may be left over.
    #[test]
    fn the_pages_of_the_labs_have_their_answers_folded() {
        let course = Course::at(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("labs");
        for lab in &course.labs {
            let parts = parse(&lab.readme().expect("a page"));
            assert!(parts.iter().any(|part| matches!(part, Part::Fold { .. })), "lab {}", lab.number);
            for part in parts {
                if let Part::Text(text) = part {
                    let left = ["<details", "</details", "<summary", "```", "](."];
                    assert!(left.iter().all(|mark| !text.contains(mark)), "lab {}: {text}", lab.number);
                }
            }
        }
    }
}
