//! Numbers that kernels read: rows, and what queries see of them. They are collected on the host and go to a device in one copy.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernels::cuda::{EXACT, Query};

/// Lists, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    words: Vec<u32>,
    /// No other lists of this process have it.
    pub(super) id: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Default for Lists {
    fn default() -> Self {
        Self { words: vec![], id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Rows, or numbers of tokens, somewhere in lists. It knows how large they become, so that no launch has to look at them again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Of its lists.
    pub(super) id: u64,
    /// Words before the first.
    pub(super) first: usize,
    pub(super) len: usize,
    /// Of a pool no row from here on is named, of the exact ones none from there on.
    pub(super) pool_end: usize,
    pub(super) exact_end: usize,
}

/// Queries, somewhere in lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queries {
    /// Of its lists.
    pub(super) id: u64,
    pub(super) first: usize,
    pub(super) len: usize,
    /// Of all rows that they see.
    pub(super) pool_end: usize,
    pub(super) exact_end: usize,
    pub(super) most_visible: usize,
    /// Whether all see the same list, each at least as much of it as the one before: the queries of a prompt.
    pub(super) is_prompt: bool,
}

impl Rows {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Queries {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows that the last of one sequence's queries sees.
    #[must_use]
    pub fn most_visible(&self) -> usize {
        self.most_visible
    }
}

impl Lists {
    /// Adds a list.
    pub fn rows(&mut self, rows: impl IntoIterator<Item = u32>) -> Rows {
        let first = self.words.len();
        self.words.extend(rows);
        let (mut pool_end, mut exact_end) = (0, 0);
        for row in &self.words[first..] {
            let end = if row & EXACT == 0 { &mut pool_end } else { &mut exact_end };
            *end = (*end).max((row & !EXACT) as usize + 1);
        }
        Rows { id: self.id, first, len: self.words.len() - first, pool_end, exact_end }
    }

    /// Adds queries: of which list each sees how many rows, from the first on.
    pub fn queries(&mut self, seen: impl IntoIterator<Item = (Rows, usize)>) -> Queries {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut queries = Queries { id: self.id, first: self.words.len(), is_prompt: true, ..Queries::default() };
        let mut before = None;
        for (rows, n_visible) in seen {
            let query = Query { first_row: small(rows.first), n_visible: small(n_visible.min(rows.len)) };
            self.words.extend([query.first_row, query.n_visible]);
            let goes_on = before.is_none_or(|(first, n)| first == query.first_row && n <= query.n_visible);
            queries.is_prompt &= goes_on && rows.id == self.id;
            before = Some((query.first_row, query.n_visible));
            queries.len += 1;
            queries.pool_end = queries.pool_end.max(rows.pool_end);
            queries.exact_end = queries.exact_end.max(rows.exact_end);
            queries.most_visible = queries.most_visible.max(query.n_visible as usize);
        }
        queries
    }

    /// Everything, as it goes to a device.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_know_how_far_their_rows_reach() {
        let mut lists = Lists::default();
        let a = lists.rows([7, 3, EXACT | 9]);
        let b = lists.rows([1]);
        assert_eq!((a.first, a.len(), a.pool_end, a.exact_end), (0, 3, 8, 10));
        assert_eq!((b.first, b.len(), b.pool_end, b.exact_end), (3, 1, 2, 0));
        let queries = lists.queries([(a, 2), (b, 9)]);
        assert_eq!((queries.first, queries.len(), queries.most_visible()), (4, 2, 2));
        assert_eq!((queries.pool_end, queries.exact_end), (8, 10));
        assert!(!queries.is_prompt);
        assert!(Lists::default().queries([]).is_prompt && lists.clone().queries([(a, 1), (a, 1), (a, 3)]).is_prompt);
        assert!(!lists.clone().queries([(a, 2), (a, 1)]).is_prompt);
        assert_ne!(lists.id, Lists::default().id);
        // A query never sees more than there is.
        assert_eq!(lists.words(), [7, 3, EXACT | 9, 1, 0, 2, 3, 1]);
    }
}
