//! A renderer of egui frames on the processor: no GPU, no display, and the same pixels everywhere.
//!
//! Triangles are drawn with fixed-point edge functions and a top-left rule, so that neighbours share
//! every edge without gaps or overlaps; colours blend premultiplied, in gamma space, as egui's own
//! renderers do.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the rasteriser counts pixels"
)]

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use egui::{
    Color32, ColorImage, Context, FullOutput, ImageData, TextureId, TexturesDelta,
    epaint::{Primitive, Vertex, textures::TextureFilter},
};

/// Pixels per point in fixed point: 1/256 of a pixel.
const SUBPIXELS: f32 = 256.0;

struct Texture {
    image: ColorImage,
    nearest: bool,
}

/// The textures of a window; clones share them, so that two can draw the same window.
#[derive(Clone, Default)]
pub struct Raster {
    textures: Rc<RefCell<HashMap<TextureId, Texture>>>,
}

impl Raster {
    /// Takes the textures of a frame in, whole ones and parts.
    pub fn handle_delta(&self, delta: &mut TexturesDelta) {
        let mut textures = self.textures.borrow_mut();
        for (id, changes) in delta.set.drain() {
            for change in changes {
                let ImageData::Color(source) = &change.image;
                let Some([x, y]) = change.pos else {
                    let nearest = change.options.magnification == TextureFilter::Nearest;
                    textures.insert(id, Texture { image: (**source).clone(), nearest });
                    continue;
                };
                let Some(texture) = textures.get_mut(&id) else { continue };
                let target = &mut texture.image;
                let (from, to) = (source.width(), target.width());
                for row in 0..source.height() {
                    let part = &source.pixels[row * from..][..from];
                    target.pixels[(y + row) * to + x..][..from].copy_from_slice(part);
                }
            }
        }
        for id in delta.free.drain() {
            textures.remove(&id);
        }
    }

    /// Draws the shapes of a frame.
    #[must_use]
    pub fn render(&self, ctx: &Context, output: &FullOutput) -> ColorImage {
        let scale = ctx.pixels_per_point();
        let size = ctx.content_rect().size() * scale;
        let size = [size.x.round() as usize, size.y.round() as usize];
        let mut frame = vec![[0.0_f32; 4]; size[0] * size[1]];
        let textures = self.textures.borrow();
        for clipped in ctx.tessellate(output.shapes.clone(), scale) {
            let Primitive::Mesh(mesh) = &clipped.primitive else { continue };
            let Some(texture) = textures.get(&mesh.texture_id) else { continue };
            let clip = clipped.clip_rect * scale;
            let clip = Clip {
                left: (clip.min.x.round() as i64).max(0),
                top: (clip.min.y.round() as i64).max(0),
                right: (clip.max.x.round() as i64).min(size[0] as i64),
                bottom: (clip.max.y.round() as i64).min(size[1] as i64),
            };
            for corners in mesh.indices.chunks_exact(3) {
                let corners = [0, 1, 2].map(|i| mesh.vertices[corners[i] as usize]);
                triangle(&mut frame, size[0], &clip, scale, texture, corners);
            }
        }
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        let pixels =
            frame.iter().map(|[r, g, b, a]| Color32::from_rgba_premultiplied(byte(*r), byte(*g), byte(*b), byte(*a)));
        ColorImage::new(size, pixels.collect())
    }
}

struct Clip {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

fn channels(color: Color32) -> [f32; 4] {
    color.to_array().map(|channel| f32::from(channel) / 255.0)
}

fn mix(weights: [f32; 3], values: [[f32; 4]; 3]) -> [f32; 4] {
    std::array::from_fn(|k| (0..3).map(|i| weights[i] * values[i][k]).sum())
}

impl Texture {
    fn at(&self, x: i64, y: i64) -> [f32; 4] {
        let (width, height) = (self.image.width() as i64, self.image.height() as i64);
        let index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1);
        channels(self.image.pixels[index as usize])
    }

    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let (x, y) = (u * self.image.width() as f32, v * self.image.height() as f32);
        if self.nearest {
            return self.at(x.floor() as i64, y.floor() as i64);
        }
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor() as i64, y.floor() as i64);
        let (right_share, bottom_share) = (x - x.floor(), y - y.floor());
        let rows = [top, top + 1].map(|row| [self.at(left, row), self.at(left + 1, row)]);
        std::array::from_fn(|k| {
            let [above, below] = rows.map(|[a, b]| a[k] * (1.0 - right_share) + b[k] * right_share);
            above * (1.0 - bottom_share) + below * bottom_share
        })
    }
}

fn triangle(frame: &mut [[f32; 4]], width: usize, clip: &Clip, scale: f32, texture: &Texture, mut v: [Vertex; 3]) {
    let fixed = |v: &Vertex| [v.pos.x, v.pos.y].map(|p| (p * scale * SUBPIXELS).round() as i64);
    let cross = |a: [i64; 2], b: [i64; 2], c: [i64; 2]| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    let mut p = [fixed(&v[0]), fixed(&v[1]), fixed(&v[2])];
    let mut area = cross(p[0], p[1], p[2]);
    if area == 0 {
        return;
    }
    if area < 0 {
        p.swap(1, 2);
        v.swap(1, 2);
        area = -area;
    }
    let (xs, ys) = (p.map(|p| p[0]), p.map(|p| p[1]));
    let least = |values: [i64; 3]| values[0].min(values[1]).min(values[2]) >> 8;
    let most = |values: [i64; 3]| (values[0].max(values[1]).max(values[2]) >> 8) + 1;
    // An edge owns its pixels when it is a top or a left one.
    let owns: [bool; 3] = std::array::from_fn(|i| {
        let (from, to) = (p[i], p[(i + 1) % 3]);
        (from[1] == to[1] && to[0] > from[0]) || to[1] < from[1]
    });
    let colors = v.map(|v| channels(v.color));
    for y in least(ys).max(clip.top)..most(ys).min(clip.bottom) {
        for x in least(xs).max(clip.left)..most(xs).min(clip.right) {
            let center = [x * 256 + 128, y * 256 + 128];
            let edges: [i64; 3] = std::array::from_fn(|i| cross(p[i], p[(i + 1) % 3], center));
            if edges.iter().zip(owns).any(|(edge, owns)| *edge < 0 || (*edge == 0 && !owns)) {
                continue;
            }
            let weights = [1, 2, 0].map(|i: usize| edges[i] as f32 / area as f32);
            let uv: [f32; 2] = std::array::from_fn(|k| (0..3).map(|i| weights[i] * [v[i].uv.x, v[i].uv.y][k]).sum());
            let (color, texel) = (mix(weights, colors), texture.sample(uv[0], uv[1]));
            let source: [f32; 4] = std::array::from_fn(|k| color[k] * texel[k]);
            let target = &mut frame[y as usize * width + x as usize];
            for k in 0..4 {
                target[k] = source[k] + target[k] * (1.0 - source[3]);
            }
        }
    }
}
