//! Pictures of attention that grow by a row per token: only the new row goes to the graphics card.

use std::sync::Arc;

use egui::{
    Color32, ColorImage, Context, Image, Rect, TextureFilter, TextureHandle, TextureOptions, Ui, Visuals, pos2, vec2,
};

use super::ramp::{Ramp, difference_code};
use crate::{
    app::{attended::Weights, state::AttentionState, units::to_f32},
    engine::Attention,
};

/// A larger picture is of no use on a screen; beyond, neighbouring tokens share a pixel, which shows what lies farthest from 0.
const MAX_SIDE: usize = 1024;
/// Pixels of one head in the overview, unless there are so many heads that the picture would grow past [`MAX_ATLAS`].
const THUMB_SIDE: usize = 40;
/// The largest texture that every graphics card takes.
const MAX_ATLAS: usize = 2048;
/// Weights that a frame reads at most; a long run that was just opened is drawn in several frames.
const MAX_WEIGHTS_PER_FRAME: usize = 2 << 20;

/// Enlarged, a token is a square; reduced, neighbours mix.
const OPTIONS: TextureOptions = TextureOptions { minification: TextureFilter::Linear, ..TextureOptions::NEAREST };

/// Which picture this is: another one is drawn from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    run: u64,
    lane: usize,
    /// The lane whose weights are taken away.
    reference: Option<usize>,
    n_tokens: usize,
    /// Layers and heads that there are.
    heads: (usize, usize),
    is_dark: bool,
    /// One head; `None`: all of them.
    head: Option<(usize, usize)>,
}

/// A row that was drawn, by which it is known again.
type Row = (Arc<[u8]>, Option<Arc<[u8]>>);

/// A texture with a code for each pixel, and the rows of attention that are in it.
pub struct Heatmap {
    key: Key,
    /// Pixels of one head, in each direction.
    side: usize,
    n_layer: usize,
    n_head: usize,
    ramp: Ramp,
    /// `[height, width]`, neutral where nothing was seen.
    codes: Vec<u8>,
    texture: TextureHandle,
    /// The pixel of each token, along a side of a head.
    pixels: Vec<usize>,
    rows: Vec<Row>,
    /// Rows that are shown: all that were drawn, or fewer where an earlier moment is looked at.
    n_shown: usize,
    /// Parts of the texture that were sent since it was made: rows, not pictures.
    n_parts: usize,
}

/// What a picture is made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub run: u64,
    pub weights: Weights<'a>,
    /// Tokens that the whole run will have seen.
    pub n_tokens: usize,
    pub head: Option<(usize, usize)>,
}

impl Heatmap {
    /// Brings `heatmap` up to date: new rows only, or everything where it was a picture of something else. An earlier moment of the same
    /// run is a part of the same picture.
    pub fn update<'h>(heatmap: &'h mut Option<Self>, ctx: &Context, visuals: &Visuals, source: Source<'_>) -> &'h Self {
        let Source { run, weights, head, .. } = source;
        let attention = weights.attention;
        let n_tokens = source.n_tokens.max(weights.n_rows).max(1);
        let heads = (attention.n_layer, attention.n_head);
        let reference = weights.reference.map(|reference| reference.lane);
        let key = Key { run, lane: attention.lane, reference, n_tokens, heads, is_dark: visuals.dark_mode, head };
        if !heatmap.as_ref().is_some_and(|heatmap| heatmap.key == key && heatmap.begins(weights)) {
            *heatmap = None;
        }
        let heatmap = heatmap.get_or_insert_with(|| Self::new(ctx, key, visuals));
        if !heatmap.append(weights) {
            ctx.request_repaint();
        }
        heatmap.n_shown = weights.n_rows.min(heatmap.rows.len());
        heatmap
    }

    fn new(ctx: &Context, key: Key, visuals: &Visuals) -> Self {
        let (n_layer, n_head) = if key.head.is_some() { (1, 1) } else { (key.heads.0.max(1), key.heads.1.max(1)) };
        let most = if key.head.is_some() { MAX_SIDE } else { THUMB_SIDE.min(MAX_ATLAS / n_layer.max(n_head)).max(1) };
        let side = key.n_tokens.min(most);
        let size = [n_head * side, n_layer * side];
        let image = ColorImage::filled(size, Color32::TRANSPARENT);
        let name = if key.head.is_some() { "attention" } else { "attention overview" };
        let texture = ctx.load_texture(name, image, OPTIONS);
        let ramp = Ramp::of(key.reference.is_some(), visuals);
        let codes = vec![ramp.neutral; size[0] * size[1]];
        let pixels = (0..key.n_tokens).map(|token| token * side / key.n_tokens).collect();
        Self { key, side, n_layer, n_head, ramp, codes, texture, pixels, rows: vec![], n_shown: 0, n_parts: 0 }
    }

    /// True where the rows that both have are the same ones: a lane that went on in another cache was read anew.
    fn begins(&self, weights: Weights<'_>) -> bool {
        let Some(last) = self.rows.len().min(weights.n_rows).checked_sub(1) else { return true };
        let (own, reference) = row(weights, last).unzip();
        let same = |a: Option<&Arc<[u8]>>, b: Option<&Arc<[u8]>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let (drawn, drawn_reference) = &self.rows[last];
        same(Some(drawn), own.as_ref()) && same(drawn_reference.as_ref(), reference.flatten().as_ref())
    }

    /// Draws rows that are missing; false where some are left for the next frame.
    fn append(&mut self, weights: Weights<'_>) -> bool {
        // A difference takes a root.
        let cost = if weights.reference.is_some() { 8 } else { 1 };
        let mut n_weights = 0;
        while self.rows.len() < weights.n_rows {
            let position = self.rows.len();
            if n_weights > MAX_WEIGHTS_PER_FRAME {
                return false;
            }
            let Some(row) = row(weights, position) else { return true };
            for layer in 0..self.n_layer {
                self.draw(weights, layer, position);
            }
            n_weights += self.n_layer * self.n_head * (position + 1) * cost;
            self.rows.push(row);
        }
        true
    }

    /// One row of pixels: what the token at `position` looks at in all heads of a layer of the picture.
    fn draw(&mut self, weights: Weights<'_>, layer: usize, position: usize) {
        let width = self.n_head * self.side;
        let seen = self.pixels[position];
        let y = layer * self.side + seen;
        let shares_pixel = position > 0 && self.pixels[position - 1] == seen;
        let neutral = self.ramp.neutral;
        let row = &mut self.codes[y * width..][..width];
        if !shares_pixel {
            row.fill(neutral);
        }
        for head in 0..self.n_head {
            let (of_layer, of_head) = self.key.head.unwrap_or((layer, head));
            let pixels = &mut row[head * self.side..][..self.side];
            let mut put = |key: usize, code: u8| {
                let pixel = &mut pixels[self.pixels[key]];
                if code.abs_diff(neutral) > pixel.abs_diff(neutral) {
                    *pixel = code;
                }
            };
            let own = weights.attention.row(of_layer, of_head, position).iter().enumerate();
            match weights.reference {
                None => own.for_each(|(key, code)| put(key, *code)),
                Some(reference) => {
                    let differs = |(own, other): (&u8, &u8)| Attention::weight(*own) - Attention::weight(*other);
                    let other = reference.row(of_layer, of_head, position);
                    own.zip(other).for_each(|((key, own), other)| put(key, difference_code(differs((own, other)))));
                }
            }
        }
        let color = |(x, code): (usize, &u8)| {
            if x % self.side > seen { Color32::TRANSPARENT } else { self.ramp.colors[*code as usize] }
        };
        let pixels = self.codes[y * width..][..width].iter().enumerate().map(color).collect();
        self.texture.set_partial([0, y], ColorImage::new([width, 1], pixels), OPTIONS);
        self.n_parts += 1;
    }

    /// Paints a part of one head, `tokens` from its upper left corner on, over `rect`, as far as it has rows. `cell`: layer and head in
    /// the overview; (0, 0) in the picture of one head.
    pub fn paint(&self, ui: &Ui, rect: Rect, (layer, head): (usize, usize), tokens: Rect) {
        let n = to_f32(self.key.n_tokens);
        let below = tokens.bottom().min(to_f32(self.n_shown));
        if below <= tokens.top() {
            return;
        }
        let height = rect.height() * (below - tokens.top()) / tokens.height();
        let share = |x: f32, y: f32| {
            pos2((to_f32(head) + x / n) / to_f32(self.n_head), (to_f32(layer) + y / n) / to_f32(self.n_layer))
        };
        let uv = Rect::from_min_max(share(tokens.left(), tokens.top()), share(tokens.right(), below));
        let rect = Rect::from_min_size(rect.min, vec2(rect.width(), height));
        Image::from_texture(&self.texture).uv(uv).paint_at(ui, rect);
    }

    /// Tokens along each side of a head.
    pub fn n_tokens(&self) -> usize {
        self.key.n_tokens
    }
}

fn row(weights: Weights<'_>, position: usize) -> Option<Row> {
    let of = |attention: &AttentionState| attention.rows.get(position).cloned();
    Some((of(weights.attention)?, weights.reference.and_then(of)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attention(n: usize) -> AttentionState {
        // Two layers of two heads; each token looks at itself only, in head 1 of layer 1 at the first.
        let row = |position: usize| {
            let head = |target: usize| (0..=position).map(move |key| if key == target { 255 } else { 0 });
            head(position).chain(head(position)).chain(head(position)).chain(head(0)).collect()
        };
        AttentionState { lane: 0, n_layer: 2, n_head: 2, rows: (0..n).map(row).collect() }
    }

    fn update<'h>(
        heatmap: &'h mut Option<Heatmap>,
        ctx: &Context,
        (attention, n_rows): (&AttentionState, usize),
        n_tokens: usize,
        head: Option<(usize, usize)>,
    ) -> &'h Heatmap {
        let weights = Weights { attention, reference: None, n_rows };
        Heatmap::update(heatmap, ctx, &Visuals::dark(), Source { run: 1, weights, n_tokens, head })
    }

    #[test]
    fn a_token_costs_one_row_of_the_texture() {
        let (ctx, mut heatmap, attention) = (Context::default(), None, attention(6));
        let mut at = |n, head| update(&mut heatmap, &ctx, (&attention, n), 20, Some(head)).n_parts;
        assert_eq!([5, 6, 6].map(|n| at(n, (1, 1))), [5, 6, 6], "nothing new, nothing sent");
        let big = heatmap.as_ref().expect("a picture");
        assert_eq!(big.texture.size(), [20, 20]);
        let column: Vec<u8> = (0..6).map(|y| big.codes[y * 20]).collect();
        assert_eq!(column, [255; 6], "all look at the first token");
        let other = update(&mut heatmap, &ctx, (&attention, 6), 20, Some((0, 0)));
        assert_eq!((other.n_parts, other.codes[3 * 20 + 3]), (6, 255), "another head, another picture");
    }

    #[test]
    fn an_earlier_moment_is_a_part_of_the_same_picture_and_other_rows_are_another() {
        let (ctx, mut heatmap, all) = (Context::default(), None, attention(6));
        update(&mut heatmap, &ctx, (&all, 6), 20, None);
        let past = AttentionState { rows: all.rows[..3].to_vec(), ..all.clone() };
        let shown = update(&mut heatmap, &ctx, (&past, 3), 20, None);
        assert_eq!((shown.n_parts, shown.n_shown), (12, 3), "nothing is drawn again");
        let shown = update(&mut heatmap, &ctx, (&all, 6), 20, None);
        assert_eq!((shown.n_parts, shown.n_shown), (12, 6));
        let anew = attention(6);
        assert_eq!(update(&mut heatmap, &ctx, (&anew, 4), 20, None).rows.len(), 4, "equal, but read anew");
    }

    #[test]
    fn many_tokens_share_pixels_and_keep_their_largest_weight() {
        let (ctx, mut heatmap, attention) = (Context::default(), None, attention(100));
        let overview = update(&mut heatmap, &ctx, (&attention, 100), 100, None);
        assert_eq!((overview.side, overview.texture.size()), (40, [80, 80]));
        for y in 0..40 {
            assert_eq!(overview.codes[y * 80 + y], 255, "the diagonal of head 0 of layer 0");
            assert_eq!(overview.codes[(40 + y) * 80 + 40], 255, "the first column of head 1 of layer 1");
        }
        assert!(update(&mut None, &ctx, (&attention, 3), 5_000, Some((0, 0))).texture.size()[0] <= MAX_SIDE);
    }

    #[test]
    fn a_difference_keeps_what_lies_farthest_from_0_and_its_sign() {
        let (ctx, own) = (Context::default(), attention(4));
        let mut first = own.clone();
        // In head 1 of layer 1 token 3 looks at itself, in the other lane at the first token.
        first.rows[3] = [[0, 0, 0, 255]; 4].concat().into();
        let weights = Weights { attention: &own, reference: Some(&first), n_rows: 4 };
        let source = Source { run: 1, weights, n_tokens: 4, head: Some((1, 1)) };
        let mut heatmap = None;
        let map = Heatmap::update(&mut heatmap, &ctx, &Visuals::dark(), source);
        assert_eq!(map.codes[3 * 4..], [255, 128, 128, 1]);
        assert_eq!(map.codes[..12], [128; 12]);
    }

    #[test]
    fn a_long_run_is_drawn_in_several_frames() {
        let (ctx, mut heatmap) = (Context::default(), None);
        // 1,100 rows of four heads: 2.4 million weights.
        let attention = attention(1_100);
        let first = update(&mut heatmap, &ctx, (&attention, 1_100), 1_100, None).n_shown;
        assert!((1_000..1_100).contains(&first), "{first}");
        assert_eq!(update(&mut heatmap, &ctx, (&attention, 1_100), 1_100, None).n_shown, 1_100);
    }
}
