//! A plan for people: users that fit, bytes of one user, a verdict for the users that were asked for.

use comfy_table::{CellAlignment, Table, presets};

use super::{Answer, LanePlan, Plan};
use crate::{
    cache::Layout,
    report::units::{bytes, count, decimal_bytes},
};

/// What the columns mean, printed under them and in `--help`.
pub const DEFINITIONS: &str = "\
worst case     every user holds the whole context
live length    a user holds the blocks of its live tokens: the mean over --lengths, summed over
               every length. At a moment when users hold more than that, a store refuses tokens
shared prefix  the same, and the full blocks of the first --shared-prefix tokens, which are equal
               for all users, exist once. Lengths count the prefix; its unfinished block is each
               user's own
one user       tokens that a single user can fill, in one prompt; the next one does not fit. A lane
               that evicts can go on after the prompt
formula        2 * layers * kv_heads * head_dim * bytes of an element * tokens
reserved       what a store for one user of that context allocates
held           blocks of one user of --lengths, on average
ratio          reserved or held over the formula: scales, unfilled slots of the last block, the
               unused part of a region

Memory is for keys, values and scales alone: what is left when the weights are loaded. A store
with --cache-memory divides it like this, to the byte.";

impl Plan {
    /// The tables with their definitions, and what a person should know about these lanes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n\n{}\n", self.heading(), self.users_table(), self.bytes_table());
        if let Some(users) = self.question.users {
            text.push_str(&format!("\n{}\n", self.verdicts(users)));
        }
        text.push_str(&format!("\n{DEFINITIONS}\n"));
        let notes = self.notes();
        text.push_str(if notes.is_empty() { "" } else { "\n" });
        for note in notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text
    }

    fn heading(&self) -> String {
        let question = &self.question;
        let model = &question.model;
        let positions = model.n_positions.map_or_else(String::new, |n| format!(", {} positions", count(n as u64)));
        format!(
            "model    {}: {} layers, {} heads, {} kv heads, head_dim {}{positions}\n\
             memory   {}; context {} tokens\n\
             lengths  {}, {:.1} tokens on average; shared prefix {} tokens",
            model.name,
            model.n_layer,
            model.heads.n_head,
            model.heads.n_kv_head,
            model.heads.head_dim,
            both(question.memory_bytes),
            count(question.context),
            question.lengths,
            self.mean_length,
            count(question.shared_prefix),
        )
    }

    fn users_table(&self) -> Table {
        let mut table =
            table(["users that fit", "bytes a token", "worst case", "live length", "shared prefix", "one user"]);
        for lane in &self.lanes {
            table.add_row([
                lane.lane.to_string(),
                bytes(lane.token_bytes),
                count(lane.worst_case.users),
                count(lane.live_length.users),
                count(lane.shared_prefix.users),
                format!("{} tokens", count(lane.one_user_tokens)),
            ]);
        }
        align(table)
    }

    fn bytes_table(&self) -> Table {
        let mut table = table([
            "bytes of one user",
            "full context:\nformula",
            "\nreserved",
            "\nratio",
            "mean length:\nformula",
            "\nheld",
            "\nratio",
        ]);
        for lane in &self.lanes {
            let (full, mean) = (&lane.full_context, &lane.mean_user);
            table.add_row([
                lane.lane.to_string(),
                bytes(full.formula_bytes),
                bytes(full.reserved_bytes),
                format!("{:.3}", full.reserved_over_formula),
                bytes(whole(mean.formula_bytes)),
                bytes(whole(mean.held_bytes)),
                format!("{:.3}", mean.held_over_formula),
            ]);
        }
        align(table)
    }

    fn verdicts(&self, users: u64) -> Table {
        let who = if users == 1 { "1 user".to_owned() } else { format!("{} users", count(users)) };
        let mut table = table([who.as_str(), "", "fit?", "needed"]);
        for lane in &self.lanes {
            let rows: [(&str, &Answer); 3] = [
                ("worst case", &lane.worst_case),
                ("live length", &lane.live_length),
                ("shared prefix", &lane.shared_prefix),
            ];
            for (way, answer) in rows {
                let Some(asked) = answer.asked else { continue };
                let over = asked.needed_bytes.saturating_sub(self.question.memory_bytes);
                let verdict = if asked.fits { "yes".to_owned() } else { format!("no, {} short", bytes(over)) };
                table.add_row([lane.lane.to_string(), way.into(), verdict, both(asked.needed_bytes)]);
            }
        }
        table
    }

    /// What a person should know about these lanes, broken into lines for a terminal.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let any = |of: fn(&LanePlan) -> bool| self.lanes.iter().find(|lane| of(lane));
        let model = &self.question.model;
        if let Some(end) = model.n_positions.map(|n| n as u64) {
            let (name, positions) = (&model.name, count(end));
            if self.question.context > end {
                let context = count(self.question.context);
                notes.push(format!("the context of {context} is past {name}'s own {positions} positions"));
            }
            if self.lanes.iter().all(|lane| lane.one_user_tokens >= end) {
                notes.push(format!("one user meets {name}'s {positions} positions before the end of this memory"));
            }
        }
        if any(|lane| lane.lane.layout == Layout::Contiguous).is_some() {
            notes.push(
                "contiguous reserves the whole context for each user: live lengths and shared prefixes save nothing"
                    .into(),
            );
        }
        if let Some(lane) = any(|lane| lane.lane.layout == Layout::Concat) {
            notes.push(format!(
                "concat holds exactly its rows and shares none. While it grows, a layer's old buffer stands beside\n\
                 \x20     its new one: up to {} more for a moment, which no store counts, nor does this plan",
                bytes(lane.regrowth_bytes)
            ));
        }
        if any(LanePlan::evicts).is_some() {
            notes.push(
                "nothing is evicted before the end of a prompt: worst case and one user are prompts of that length.\n\
                 \x20     Live lengths are users at rest, with the most blocks that what they keep can lie in; the\n\
                 \x20     formula beside them counts every token. A shared prefix is kept whole, which can be more\n\
                 \x20     than users keep of it by themselves"
                    .into(),
            );
        }
        notes
    }
}

fn both(size: u64) -> String {
    if size < 1000 { bytes(size) } else { format!("{} ({})", bytes(size), decimal_bytes(size)) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of bytes, shown in three digits")]
fn whole(mean_bytes: f64) -> u64 {
    mean_bytes.round() as u64
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table
}

fn align(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
