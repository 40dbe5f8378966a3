//! What a person fills in for a plan, as typed, and the plan that comes of it. Free of egui.

use std::fmt;

use crate::{
    cache::{CacheError, Lane, spec::parse_lanes},
    model::KnownModel,
    report::{
        plan::{Ask, AskError, DEFAULT_LANES, Plan, cached_lanes},
        units::parse_size,
    },
};

/// A mean over live lengths adds up every length, which must take no longer than a frame; `kvlab plan` takes more.
const MOST_TOKENS: u64 = 1 << 20;

/// Models to choose from: the word for the field, and what it is.
pub const MODELS: [(&str, &str); 9] = [
    ("story", "The embedded story model"),
    ("distilgpt2", "DistilGPT-2: half the layers of GPT-2 small"),
    ("gpt2", "GPT-2 small"),
    ("gpt2-medium", "GPT-2 medium"),
    ("gpt2-large", "GPT-2 large"),
    ("gpt2-xl", "GPT-2 XL"),
    ("7b", "Llama 2 7B: a key head for each query head"),
    ("13b", "Llama 2 13B: a key head for each query head"),
    ("70b", "Llama 2 70B: 8 key heads for 64 query heads"),
];

/// The fields as typed. An empty context, shared prefix or number of users takes its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// A name of `MODELS`, or whatever else `kvlab plan --model` takes.
    pub model: String,
    /// A size with its unit, as in 24GiB.
    pub memory: String,
    /// Tokens of a user at most.
    pub context: String,
    pub users: String,
    /// Tokens that all users begin with.
    pub shared_prefix: String,
    /// Separated by commas.
    pub lanes: String,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            model: "7b".into(),
            memory: "24GiB".into(),
            context: String::new(),
            users: String::new(),
            shared_prefix: String::new(),
            lanes: DEFAULT_LANES.into(),
        }
    }
}

/// What is wrong with which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors {
    pub model: Option<String>,
    pub memory: Option<String>,
    pub context: Option<String>,
    pub users: Option<String>,
    pub shared_prefix: Option<String>,
    pub lanes: Option<String>,
}

impl Fields {
    /// The plan that they ask for.
    ///
    /// # Errors
    /// Every field that means nothing; if all mean something, the first that does not go with the others.
    pub fn plan(&self) -> Result<Plan, Box<FieldErrors>> {
        let mut errors = FieldErrors::default();
        let model = keep_error(self.model.parse::<KnownModel>(), &mut errors.model);
        let memory = keep_error(parse_size(&self.memory), &mut errors.memory);
        let context = keep_error(number(&self.context, 1, MOST_TOKENS), &mut errors.context);
        let users = keep_error(number(&self.users, 1, u64::MAX), &mut errors.users);
        let shared_prefix = keep_error(number(&self.shared_prefix, 0, MOST_TOKENS), &mut errors.shared_prefix);
        let lanes = keep_error(cached_lanes(&self.lanes), &mut errors.lanes);
        let (Some(model), Some(memory_bytes), Some(context), Some(users), Some(shared_prefix), Some(lanes)) =
            (model, memory, context, users, shared_prefix, lanes)
        else {
            return Err(Box::new(errors));
        };
        let ask = Ask { model, memory_bytes, context, lengths: None, shared_prefix, users };
        let question = ask.question().map_err(|error| of_ask(&error))?;
        if question.context > MOST_TOKENS {
            let text = format!("the model has {} positions; give at most {MOST_TOKENS} here", question.context);
            return Err(Box::new(FieldErrors { context: Some(text), ..FieldErrors::default() }));
        }
        let plan = Plan::new(question, &lanes).map_err(|error| self.of_cache(&error))?;
        plan.check_memory().map_err(|error| of_ask(&error))
    }

    /// The field that a store's refusal is about.
    fn of_cache(&self, error: &CacheError) -> Box<FieldErrors> {
        let text = Some(error.to_string());
        Box::new(match error {
            CacheError::Refused { .. } => FieldErrors { lanes: text, ..FieldErrors::default() },
            CacheError::TooLarge if !self.users.trim().is_empty() => {
                let text = Some("so many users take more bytes than 64 bits count".to_owned());
                FieldErrors { users: text, ..FieldErrors::default() }
            }
            _ => FieldErrors { model: text, ..FieldErrors::default() },
        })
    }
}

/// Lanes of a run, without `none`, which stores nothing. `None` where nothing is left, or where they are no lanes.
#[must_use]
pub fn lanes_of_run(lanes: &str) -> Option<String> {
    let mut cached: Vec<String> = vec![];
    for lane in parse_lanes(lanes).ok()? {
        let name = lane.to_string();
        // A lane that is there twice has one plan.
        if matches!(lane, Lane::Cache(_)) && !cached.contains(&name) {
            cached.push(name);
        }
    }
    (!cached.is_empty()).then(|| cached.join(","))
}

/// The field that a refusal is about, in words of the window.
fn of_ask(error: &AskError) -> Box<FieldErrors> {
    let none = FieldErrors::default();
    Box::new(match error {
        AskError::NoContext { model } => {
            let text = format!("{model} does not say where its positions end; give a context");
            FieldErrors { context: Some(text), ..none }
        }
        AskError::PrefixFillsContext { context, .. } => {
            let text = format!("a user with a context of {context} has no token of its own left");
            FieldErrors { shared_prefix: Some(text), ..none }
        }
        AskError::MemoryTooSmall { .. } => {
            let text = error.to_string().replacen("--memory ", "", 1);
            FieldErrors { memory: Some(text), ..none }
        }
        AskError::Lanes(_) | AskError::NoCache => FieldErrors { lanes: Some(error.to_string()), ..none },
        // Of lengths, which the window leaves at their default.
        AskError::PastContext { .. } | AskError::WithinPrefix { .. } => {
            FieldErrors { context: Some(error.to_string()), ..none }
        }
    })
}

/// A whole number with or without commas; nothing if the field is empty.
fn number(text: &str, least: u64, most: u64) -> Result<Option<u64>, String> {
    let digits: String = text.chars().filter(|c| *c != ',' && !c.is_whitespace()).collect();
    if digits.is_empty() {
        return Ok(None);
    }
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| is_number && (least..=most).contains(number));
    let most = if most == u64::MAX { String::new() } else { format!(" to {most}") };
    number.map(Some).ok_or_else(|| format!("a whole number from {least}{most}, or nothing"))
}

fn keep_error<T, E: fmt::Display>(result: Result<T, E>, error: &mut Option<String>) -> Option<T> {
    result.map_err(|refusal| *error = Some(refusal.to_string())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(change: impl FnOnce(&mut Fields)) -> Fields {
        let mut fields = Fields::default();
        change(&mut fields);
        fields
    }

    #[test]
    fn the_defaults_are_those_of_the_command_line() {
        let plan = Fields::default().plan().expect("a plan");
        let lanes: Vec<String> = plan.lanes.iter().map(|lane| lane.lane.to_string()).collect();
        assert_eq!(lanes, ["contiguous", "paged:16", "paged:16+f16", "paged:16+int8"]);
        assert_eq!((plan.question.context, plan.question.shared_prefix, plan.question.users), (4096, 1024, None));
        // 24 GiB, and 4 GiB for each user of a whole context in f32.
        assert_eq!(plan.lanes[0].worst_case.users, 6);
        for (model, _) in MODELS {
            assert!(fields(|fields| fields.model = model.into()).plan().is_ok(), "{model}");
        }
    }

    #[test]
    fn every_error_is_of_its_field() {
        type Field = fn(&FieldErrors) -> &Option<String>;
        type Case = (fn(&mut Fields), Field, &'static str);
        let cases: [Case; 13] = [
            (|f| f.model = "gpt5".into(), |e| &e.model, "a plan knows story"),
            (|f| f.model = "32,32,5,128".into(), |e| &e.context, "give a context"),
            (|f| (f.model, f.context) = ("32,32,5,128".into(), "9".into()), |e| &e.model, "cannot share 5 key heads"),
            (|f| f.memory = "10 gallons".into(), |e| &e.memory, "is no size"),
            (|f| f.memory = "1 KiB".into(), |e| &e.memory, "1.00 KiB does not hold one block"),
            (|f| f.context = "-5".into(), |e| &e.context, "a whole number from 1"),
            (|f| f.context = "1048577".into(), |e| &e.context, "to 1048576"),
            (|f| f.users = "0".into(), |e| &e.users, "from 1"),
            (|f| f.users = u64::MAX.to_string(), |e| &e.users, "more bytes than 64 bits"),
            (|f| f.shared_prefix = "4096".into(), |e| &e.shared_prefix, "no token of its own"),
            (|f| f.lanes = "none".into(), |e| &e.lanes, "keeps no cache"),
            (|f| f.lanes = "heap".into(), |e| &e.lanes, "unknown layout `heap`"),
            (|f| f.lanes.clear(), |e| &e.lanes, "empty lane"),
        ];
        for (change, of, says) in cases {
            let fields = fields(change);
            let errors = fields.plan().expect_err(says);
            let text = of(&errors).as_deref().unwrap_or_default();
            assert!(text.contains(says), "{fields:?}: {errors:?}");
        }
    }

    #[test]
    fn numbers_may_have_commas() {
        let plan = fields(|fields| fields.context = " 2,048 ".into()).plan().expect("a plan");
        assert_eq!(plan.question.context, 2048);
    }

    #[test]
    fn lanes_of_a_run_leave_none_out() {
        assert_eq!(lanes_of_run("none,contiguous,paged:16,paged:16").as_deref(), Some("contiguous,paged:16"));
        assert_eq!((lanes_of_run("none"), lanes_of_run("cloud")), (None, None));
    }
}
