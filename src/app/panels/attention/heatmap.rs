//! Pictures of attention that grow by a row per token: only the new row goes to the graphics card.

use egui::{Color32, ColorImage, Context, TextureFilter, TextureHandle, TextureOptions, Visuals};

use crate::app::{state::AttentionState, theme};

/// A larger picture is of no use on a screen; beyond, neighbouring tokens share a pixel, which shows their largest weight.
const MAX_SIDE: usize = 1024;
/// Pixels of one head in the overview, unless there are so many heads that the picture would grow past [`MAX_ATLAS`].
const THUMB_SIDE: usize = 40;
/// The largest texture that every graphics card takes.
const MAX_ATLAS: usize = 2048;

/// Enlarged, a token is a square; reduced, neighbours mix.
const OPTIONS: TextureOptions = TextureOptions { minification: TextureFilter::Linear, ..TextureOptions::NEAREST };

/// Which picture this is: another one is drawn from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    run: u64,
    lane: usize,
    n_tokens: usize,
    /// Layers and heads that there are.
    heads: (usize, usize),
    is_dark: bool,
    /// One head; `None`: all of them.
    head: Option<(usize, usize)>,
}

/// A texture with a code for each pixel, and how many rows of attention are in it.
pub struct Heatmap {
    key: Key,
    /// Pixels of one head, in each direction.
    side: usize,
    n_layer: usize,
    n_head: usize,
    /// `[height, width]`, 0 where nothing was seen.
    codes: Vec<u8>,
    texture: TextureHandle,
    n_rows: usize,
    /// Parts of the texture that were sent since it was made: rows, not pictures.
    n_parts: usize,
}

/// What a picture is made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub run: u64,
    pub attention: &'a AttentionState,
    /// Tokens that the whole run will have seen.
    pub n_tokens: usize,
    pub head: Option<(usize, usize)>,
}

impl Heatmap {
    /// Brings `heatmap` up to date: new rows only, or everything where it was a picture of something else.
    pub fn update<'h>(heatmap: &'h mut Option<Self>, ctx: &Context, visuals: &Visuals, source: Source<'_>) -> &'h Self {
        let Source { run, attention, head, .. } = source;
        let n_tokens = source.n_tokens.max(attention.rows.len()).max(1);
        let heads = (attention.n_layer, attention.n_head);
        let key = Key { run, lane: attention.lane, n_tokens, heads, is_dark: visuals.dark_mode, head };
        let fits = |heatmap: &Self| heatmap.key == key && heatmap.n_rows <= attention.rows.len();
        if !heatmap.as_ref().is_some_and(fits) {
            *heatmap = None;
        }
        let heatmap = heatmap.get_or_insert_with(|| Self::new(ctx, key, attention));
        heatmap.append(attention, visuals);
        heatmap
    }

    fn new(ctx: &Context, key: Key, attention: &AttentionState) -> Self {
        let (n_layer, n_head) =
            if key.head.is_some() { (1, 1) } else { (attention.n_layer.max(1), attention.n_head.max(1)) };
        let most = if key.head.is_some() { MAX_SIDE } else { THUMB_SIDE.min(MAX_ATLAS / n_layer.max(n_head)).max(1) };
        let side = key.n_tokens.min(most);
        let size = [n_head * side, n_layer * side];
        let image = ColorImage::filled(size, Color32::TRANSPARENT);
        let name = if key.head.is_some() { "attention" } else { "attention overview" };
        let texture = ctx.load_texture(name, image, OPTIONS);
        Self { key, side, n_layer, n_head, codes: vec![0; size[0] * size[1]], texture, n_rows: 0, n_parts: 0 }
    }

    fn append(&mut self, attention: &AttentionState, visuals: &Visuals) {
        let ramp = theme::attention_ramp(visuals);
        for position in self.n_rows..attention.rows.len() {
            for layer in 0..self.n_layer {
                self.draw(attention, layer, position, &ramp);
            }
        }
        self.n_rows = attention.rows.len();
    }

    /// One row of pixels: what the token at `position` looks at in all heads of a layer of the picture.
    fn draw(&mut self, attention: &AttentionState, layer: usize, position: usize, ramp: &[Color32; 256]) {
        let width = self.n_head * self.side;
        let y = layer * self.side + self.pixel(position);
        let shares_pixel = position > 0 && self.pixel(position - 1) == self.pixel(position);
        let row = &mut self.codes[y * width..][..width];
        if !shares_pixel {
            row.fill(0);
        }
        for head in 0..self.n_head {
            let (of_layer, of_head) = self.key.head.unwrap_or((layer, head));
            for (key, code) in attention.row(of_layer, of_head, position).iter().enumerate() {
                let pixel = &mut row[head * self.side + key * self.side / self.key.n_tokens];
                *pixel = (*pixel).max(*code);
            }
        }
        let seen = self.pixel(position);
        let color =
            |(x, code): (usize, &u8)| if x % self.side > seen { Color32::TRANSPARENT } else { ramp[*code as usize] };
        let pixels = self.codes[y * width..][..width].iter().enumerate().map(color).collect();
        self.texture.set_partial([0, y], ColorImage::new([width, 1], pixels), OPTIONS);
        self.n_parts += 1;
    }

    fn pixel(&self, position: usize) -> usize {
        position * self.side / self.key.n_tokens
    }

    pub fn texture(&self) -> &TextureHandle {
        &self.texture
    }

    /// Tokens along each side of a head.
    pub fn n_tokens(&self) -> usize {
        self.key.n_tokens
    }
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
        n: usize,
        n_tokens: usize,
        head: Option<(usize, usize)>,
    ) -> &'h Heatmap {
        let attention = attention(n);
        Heatmap::update(heatmap, ctx, &Visuals::dark(), Source { run: 1, attention: &attention, n_tokens, head })
    }

    #[test]
    fn a_token_costs_one_row_of_the_texture() {
        let (ctx, mut heatmap) = (Context::default(), None);
        assert_eq!(update(&mut heatmap, &ctx, 5, 20, Some((1, 1))).n_parts, 5);
        assert_eq!(update(&mut heatmap, &ctx, 6, 20, Some((1, 1))).n_parts, 6);
        let big = update(&mut heatmap, &ctx, 6, 20, Some((1, 1)));
        assert_eq!((big.n_parts, big.texture.size()), (6, [20, 20]), "nothing new, nothing sent");
        let column: Vec<u8> = (0..6).map(|y| big.codes[y * 20]).collect();
        assert_eq!(column, [255; 6], "all look at the first token");
        assert_eq!(
            update(&mut heatmap, &ctx, 6, 20, Some((0, 0))).codes[3 * 20 + 3],
            255,
            "another head, another picture"
        );
    }

    #[test]
    fn many_tokens_share_pixels_and_keep_their_largest_weight() {
        let (ctx, mut heatmap) = (Context::default(), None);
        let overview = update(&mut heatmap, &ctx, 100, 100, None);
        assert_eq!((overview.side, overview.texture.size()), (40, [80, 80]));
        for y in 0..40 {
            assert_eq!(overview.codes[y * 80 + y], 255, "the diagonal of head 0 of layer 0");
            assert_eq!(overview.codes[(40 + y) * 80 + 40], 255, "the first column of head 1 of layer 1");
        }
        assert!(update(&mut None, &ctx, 3, 5_000, Some((0, 0))).texture.size()[0] <= MAX_SIDE);
    }
}
