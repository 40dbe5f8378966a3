//! What the words of the window mean.

mod terms;

use terms::TERMS;

/// A term and its meaning in one or two sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub name: &'static str,
    pub meaning: &'static str,
}

impl Term {
    const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning }
    }
}

/// What a term means; capitals do not matter.
#[must_use]
pub fn define(term: &str) -> Option<&'static str> {
    let term = term.trim();
    TERMS.iter().find(|known| known.name.eq_ignore_ascii_case(term)).map(|known| known.meaning)
}

/// What the words of a lane's specification mean, a line for each that is known: of `paged:16+int8` for paged and int8.
#[must_use]
pub fn explain(lane: &str) -> String {
    // After it may stand a machine or a number.
    let specification = lane.split([' ', '#', ',']).next().unwrap_or_default();
    let words = specification.split('+').filter_map(|part| {
        let word = part.split(':').next().unwrap_or_default();
        Some(format!("{word}: {}", define(word)?))
    });
    words.collect::<Vec<_>>().join("\n")
}

/// All terms, sorted without regard to capitals.
#[must_use]
pub fn all() -> &'static [Term] {
    &TERMS
}

/// Terms in which a text occurs: first those that begin with it, then those that have it elsewhere in their name, then those that have it
/// in their meaning. An empty text finds all.
#[must_use]
pub fn find(text: &str) -> Vec<Term> {
    let text = text.trim().to_lowercase();
    let rank = |term: &Term| {
        let name = term.name.to_lowercase();
        if name.starts_with(&text) {
            Some(0)
        } else if name.contains(&text) {
            Some(1)
        } else {
            term.meaning.to_lowercase().contains(&text).then_some(2)
        }
    };
    let mut found: Vec<(i32, Term)> = TERMS.iter().filter_map(|term| Some((rank(term)?, *term))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, term)| term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_sorted_and_none_is_there_twice() {
        let names: Vec<String> = all().iter().map(|term| term.name.to_lowercase()).collect();
        for pair in names.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn meanings_are_one_or_two_plain_sentences() {
        for Term { name, meaning } in all() {
            assert!((30..=230).contains(&meaning.len()), "{name}: {} bytes", meaning.len());
            assert!(meaning.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()), "{name}: {meaning}");
            assert!(meaning.ends_with('.') && !meaning.contains(['!', '\u{2014}']), "{name}: {meaning}");
            let sentences = meaning.replace("et al. ", "").replace("llama.cpp", "").matches(". ").count() + 1;
            assert!(sentences <= 2, "{name}: {meaning}");
        }
    }

    #[test]
    fn the_words_of_a_lane_are_explained_and_its_numbers_passed_over() {
        let lines = |lane| explain(lane).lines().map(str::to_owned).collect::<Vec<_>>();
        let [paged, window] = &lines("paged:16+window:4/508 @ trace")[..] else { panic!("two words are known") };
        assert!(paged.starts_with("paged: ") && window.starts_with("window: "), "{paged} {window}");
        assert_eq!(explain("theirs of a trace"), "");
    }

    #[test]
    fn every_word_of_the_grammar_is_defined() {
        let source = include_str!("../cache/spec.rs");
        let grammar = source.split("//! ```").nth(1).expect("the grammar stands first");
        let words: Vec<&str> = grammar.split('"').skip(1).step_by(2).filter(|word| word.len() > 1).collect();
        assert!(words.len() > 15 && words.contains(&"h2o-mean"), "{words:?}");
        let undefined: Vec<&&str> = words.iter().filter(|word| define(word).is_none()).collect();
        assert!(undefined.is_empty(), "{undefined:?}");
    }

    #[test]
    fn what_the_window_shows_is_defined() {
        for term in [
            "lane",
            "TTFT",
            "TPOT",
            "ITL",
            "reserved",
            "held",
            "used",
            "dead",
            "formula",
            "copied",
            "layout",
            "format",
            "retention",
            "temperature",
            "top-k",
            "top-p",
            "seed",
            "prefill chunk",
            "KL divergence",
            "perplexity",
            "recall",
            "agreement",
            "fork",
            "block table",
            "pool",
            "slot",
            "copy-on-write",
            "block tail",
            "floor",
            "roofline",
            "rehearsal",
            "online softmax",
        ] {
            assert!(define(term).is_some(), "{term}");
        }
        assert_eq!(define(" ttft "), define("TTFT"));
        assert_eq!(define("cloud"), None);
    }

    #[test]
    fn a_search_finds_names_before_meanings() {
        let names = |text: &str| find(text).into_iter().map(|term| term.name).collect::<Vec<_>>();
        assert_eq!(names(" BLOCK t"), ["block table", "block tail", "metadata", "paged"]);
        let token = names("token");
        assert_eq!(token[0], "token");
        assert!(token.len() > 20 && token.contains(&"lane"));
        assert_eq!(names("").len(), all().len());
        assert!(names("zebra").is_empty());
    }
}
