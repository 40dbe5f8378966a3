//! Text to token ids and back, without ever splitting a character.

use std::collections::BTreeMap;

use tokenizers::{
    AddedToken,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::ModelError;

/// A model's tokenizer, or the stand-in for models that have none.
pub enum Tokenizer {
    Trained(Box<tokenizers::Tokenizer>),
    /// For random weights, whose text means nothing: a byte is a token, and ids past 255 print as `<id>`.
    Bytes,
}

impl Tokenizer {
    /// # Errors
    /// [`ModelError::Tokenizer`] for what is no `tokenizer.json`.
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        tokenizers::Tokenizer::from_bytes(json)
            .map(|tokenizer| Self::Trained(Box::new(tokenizer)))
            .map_err(|e| ModelError::Tokenizer(format!("not a tokenizer.json: {e}")))
    }

    /// GPT-2's own form: `vocab.json` (token to id) and `merges.txt` (a pair a line, the most frequent first).
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] for what is no such pair of files.
    pub fn from_vocab_and_merges(vocab: &[u8], merges: &[u8]) -> Result<Self, ModelError> {
        let bad = |reason: String| ModelError::Tokenizer(reason);
        let vocab: BTreeMap<String, u32> =
            serde_json::from_slice(vocab).map_err(|e| bad(format!("not a vocab.json: {e}")))?;
        let end_of_text = vocab.contains_key(END_OF_TEXT);
        let merges = str::from_utf8(merges).map_err(|e| bad(format!("not a merges.txt: {e}")))?;
        let merges = read_merges(merges).map_err(bad)?;
        let bpe = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
            .build()
            .map_err(|e| bad(format!("merges.txt does not fit vocab.json: {e}")))?;
        // No space before the text; words are split as GPT-2 did.
        let byte_level = ByteLevel::new(false, true, true);
        let mut tokenizer = tokenizers::Tokenizer::new(bpe);
        tokenizer.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));
        if end_of_text {
            tokenizer
                .add_special_tokens([AddedToken::from(END_OF_TEXT, true)])
                .map_err(|e| bad(format!("vocab.json: {e}")))?;
        }
        Ok(Self::Trained(Box::new(tokenizer)))
    }

    /// # Errors
    /// [`ModelError::Tokenizer`]
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        match self {
            Self::Trained(tokenizer) => tokenizer
                .encode(text, false)
                .map(|encoding| encoding.get_ids().to_vec())
                .map_err(|e| ModelError::Tokenizer(e.to_string())),
            Self::Bytes => Ok(text.bytes().map(u32::from).collect()),
        }
    }

    /// The text of one token by itself; bytes that are no character alone show as the replacement character.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`]
    pub fn piece(&self, id: u32) -> Result<String, ModelError> {
        self.decode(&[id])
    }

    /// # Errors
    /// [`ModelError::Tokenizer`]
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        match self {
            Self::Trained(tokenizer) => tokenizer.decode(ids, false).map_err(|e| ModelError::Tokenizer(e.to_string())),
            Self::Bytes => Ok(decode_bytes(ids)),
        }
    }
}

/// A token of its own, also where a text spells it; the files do not say so.
const END_OF_TEXT: &str = "<|endoftext|>";

fn read_merges(text: &str) -> Result<Merges, String> {
    let mut merges = vec![];
    for (i, line) in text.lines().enumerate() {
        // The first line may be a comment; later ones that begin so merge a `#`.
        if line.is_empty() || (i == 0 && line.starts_with("#version")) {
            continue;
        }
        let pair = line.split_once(' ').filter(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains(' '));
        let (a, b) = pair.ok_or_else(|| format!("merges.txt, line {}: two tokens are expected", i + 1))?;
        merges.push((a.to_owned(), b.to_owned()));
    }
    Ok(merges)
}

fn decode_bytes(ids: &[u32]) -> String {
    let mut text = String::new();
    for run in ids.chunk_by(|a, b| (*a < 256) == (*b < 256)) {
        if run[0] < 256 {
            let bytes: Vec<u8> = run.iter().filter_map(|id| u8::try_from(*id).ok()).collect();
            text.push_str(&String::from_utf8_lossy(&bytes));
        } else {
            for id in run {
                text.push_str(&format!("<{id}>"));
            }
        }
    }
    text
}

/// Turns ids into text as they come. A character whose bytes are spread over several tokens appears when
/// it is whole; what has been given out never changes.
#[derive(Debug, Default)]
pub struct TextStream {
    ids: Vec<u32>,
    /// Ids before this one no longer influence the text to come.
    context_start: usize,
    /// The text of the ids before this one has been given out, all of it.
    given: usize,
    /// Bytes given out of the text of the later ids.
    given_bytes: usize,
}

/// What decoders put where bytes are no character (yet).
const REPLACEMENT: char = '\u{FFFD}';
/// A character has four bytes at most.
const MAX_PENDING_BYTES: usize = 3;

impl TextStream {
    /// The text that `id` completes; empty while a character is incomplete.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`]
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, ModelError> {
        self.ids.push(id);
        let text = self.pending(tokenizer)?;
        // Bytes that may still become a character are the last three at most, and decode to one replacement, or to
        // one each. Earlier ones are no character whatever comes.
        let is_whole = !text.ends_with(REPLACEMENT);
        let mut visible = text.as_str();
        for _ in 0..MAX_PENDING_BYTES {
            visible = visible.strip_suffix(REPLACEMENT).unwrap_or(visible);
        }
        let piece = visible.get(self.given_bytes..).unwrap_or_default().to_owned();
        if is_whole {
            self.context_start = self.given;
            self.given = self.ids.len();
            self.given_bytes = 0;
        } else {
            self.given_bytes = visible.len();
        }
        Ok(piece)
    }

    /// What is left when no more ids come.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`]
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, ModelError> {
        let rest = self.pending(tokenizer)?.get(self.given_bytes..).unwrap_or_default().to_owned();
        self.given = self.ids.len();
        self.given_bytes = 0;
        Ok(rest)
    }

    /// The text of the ids from `given` on. Decoding with some ids before them keeps the spaces that depend on those.
    fn pending(&self, tokenizer: &Tokenizer) -> Result<String, ModelError> {
        let before = tokenizer.decode(&self.ids[self.context_start..self.given])?;
        let after = tokenizer.decode(&self.ids[self.context_start..])?;
        Ok(after.get(before.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
        let mut stream = TextStream::default();
        let mut pieces: Vec<String> = ids.iter().map(|id| stream.push(tokenizer, *id).expect("decodes")).collect();
        pieces.push(stream.finish(tokenizer).expect("decodes"));
        let whole = pieces.concat();
        (pieces, whole)
    }

    #[test]
    fn characters_are_never_split() {
        let text = "a\u{e9}\u{20ac}\u{1f98a}!";
        for tokenizer in [Tokenizer::Bytes, story()] {
            let ids = tokenizer.encode(text).expect("encodes");
            let (pieces, whole) = stream(&tokenizer, &ids);
            assert_eq!(whole, text);
            assert!(pieces.iter().all(|p| !p.contains(REPLACEMENT)), "{pieces:?}");
        }
    }

    proptest! {
        /// Whatever bytes come, a character or none: the pieces are the text.
        #[test]
        fn pieces_are_the_text(
            parts in prop::collection::vec(
                prop_oneof![any::<char>().prop_map(|c| c.to_string().into_bytes()), prop::collection::vec(any::<u8>(), 1..5)],
                1..12,
            ),
        ) {
            let story = story();
            let bytes = parts.concat();
            let ids: Vec<u32> = bytes.iter().map(|byte| u32::from(*byte)).collect();
            prop_assert_eq!(stream(&Tokenizer::Bytes, &ids).1, Tokenizer::Bytes.decode(&ids).expect("decodes"));
            // The same bytes, each a token of the trained vocabulary.
            let ids: Vec<u32> = bytes.iter().map(|byte| byte_token(&story, *byte)).collect();
            prop_assert_eq!(stream(&story, &ids).1, story.decode(&ids).expect("decodes"));
        }
    }

    #[test]
    fn broken_bytes_do_not_hold_the_stream() {
        let (pieces, whole) = stream(&Tokenizer::Bytes, &[0xff, 0xff, 0xff, 0xff, 104, 105, 900]);
        assert!(whole.ends_with("hi<900>"), "{whole}");
        assert!(pieces[3].starts_with(REPLACEMENT), "{pieces:?}");
    }

    #[test]
    fn an_incomplete_character_at_the_end_is_shown() {
        let (_, whole) = stream(&Tokenizer::Bytes, &[104, 0xe2, 0x82]);
        assert_eq!(whole, "h\u{fffd}");
    }

    /// The token of one byte. Byte-level vocabularies write printable bytes as themselves and the others, in their
    /// order, as characters from 256 on (GPT-2's `bytes_to_unicode`).
    fn byte_token(tokenizer: &Tokenizer, byte: u8) -> u32 {
        let is_printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let others = u32::try_from((0..byte).filter(|byte| !is_printable(*byte)).count()).expect("few");
        let code = if is_printable(byte) { u32::from(byte) } else { 256 + others };
        let name = char::from_u32(code).expect("a character").to_string();
        let Tokenizer::Trained(tokenizer) = tokenizer else { panic!("not a trained tokenizer") };
        tokenizer.token_to_id(&name).expect("every byte is a token")
    }

    fn story() -> Tokenizer {
        Tokenizer::from_json(include_bytes!("../../assets/story-gpt2/tokenizer.json")).expect("tokenizer")
    }

    /// `vocab.json` and `merges.txt` of the story model's tokenizer.
    fn story_files() -> (String, String) {
        let json: serde_json::Value =
            serde_json::from_slice(include_bytes!("../../assets/story-gpt2/tokenizer.json")).expect("json");
        let pairs = json["model"]["merges"].as_array().expect("merges").iter();
        let lines = pairs.map(|pair| format!("{} {}\n", pair[0].as_str().expect("a"), pair[1].as_str().expect("b")));
        (json["model"]["vocab"].to_string(), format!("#version: 0.2\n{}", lines.collect::<Vec<_>>().concat()))
    }

    #[test]
    fn both_forms_of_a_tokenizer_are_one() {
        let (vocab, merges) = story_files();
        let other = Tokenizer::from_vocab_and_merges(vocab.as_bytes(), merges.as_bytes()).expect("tokenizer");
        for text in [
            "Once upon a time there were three friends.",
            "  two  spaces, \ttabs\n\nand lines\r\n",
            " leading and trailing ",
            "na\u{ef}ve \u{df}\u{e9}, \u{4f60}\u{597d}, \u{1f98a}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}, \u{645}\u{631}\u{62d}\u{628}\u{627}",
            "I'll they've 12345 # ## #version $%^&*",
            "a<|endoftext|>b",
            "",
        ] {
            let ids = story().encode(text).expect("encodes");
            assert_eq!(other.encode(text).expect("encodes"), ids, "{text:?}");
            assert_eq!(other.decode(&ids).expect("decodes"), text);
            assert_eq!(story().decode(&ids).expect("decodes"), text);
        }
    }

    #[test]
    fn garbage_is_no_tokenizer() {
        assert!(Tokenizer::from_json(b"{}").is_err());
        let (vocab, merges) = story_files();
        let message = |vocab: &[u8], merges: &[u8]| {
            let error = Tokenizer::from_vocab_and_merges(vocab, merges).err().expect("garbage");
            error.to_string()
        };
        assert!(message(b"[1]", merges.as_bytes()).contains("not a vocab.json"));
        assert!(message(b"{\"a\": -1}", b"").contains("not a vocab.json"));
        assert!(message(vocab.as_bytes(), b"a b\nc\n").contains("line 2"));
        assert!(message(vocab.as_bytes(), b"a b c\n").contains("line 1"));
        assert!(message(vocab.as_bytes(), b"\xff").contains("not a merges.txt"));
        assert!(message(vocab.as_bytes(), b"zzz qqq\n").contains("does not fit vocab.json"));
    }
}
