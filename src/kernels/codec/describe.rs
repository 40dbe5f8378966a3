//! A stored row taken apart: which numbers share a scale, which levels a number of such a group can have, and which one each took.
//!
//! For people who look into a cache. Nothing here is on the way of a token: codes and scales are read as the plain decoders read
//! them, so that a level is the decoded number to the last bit.

use super::{Codec, GROUP, RowShape, affine::Steps, pack, read_f16};
use crate::kernels::tiles::Rows;

/// How codes of a group become numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `scale * code`, with codes on both sides of 0 (`int8`, `q8_0`, `q4_0`).
    Symmetric { scale: f32 },
    /// `minimum + scale * code` (`int4`, `kivi`).
    Affine { minimum: f32, scale: f32 },
    /// `centre + half_range * level`, where the levels were found on a text and lie in [-1, 1] (`kvq`).
    Found { centre: f32, half_range: f32 },
}

/// Which numbers share a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Channels of one token's row.
    Channels,
    /// One channel of several neighbouring tokens; the described token is number `own` of them.
    Tokens { channel: usize, own: usize },
}

/// A number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Its channel in the head, or its token counted from the group's first: see [`Over`].
    pub at: usize,
    /// Of [`Group::levels`].
    pub level: u8,
}

/// Numbers that share a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub over: Over,
    pub rule: Rule,
    /// Bits of a code.
    pub bits: u8,
    /// Every number that can be stored, in the order of codes. They fall where a scale is negative, as it is in half of `q4_0`'s groups.
    pub levels: Vec<f32>,
    pub numbers: Vec<Number>,
}

/// One head's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowGroups {
    /// In the order of channels. None for plain floats, which have no scales.
    pub groups: Vec<Group>,
    /// Numbers that lie apart, in f16, and belong to no group (`kvq`): channel and number.
    pub outliers: Vec<(usize, f32)>,
}

impl Group {
    /// The number that was stored, if `at` belongs to the group.
    #[must_use]
    pub fn number(&self, at: usize) -> Option<f32> {
        let number = self.numbers.iter().find(|number| number.at == at)?;
        self.levels.get(usize::from(number.level)).copied()
    }

    /// Whether the described row's number of a channel is in this group.
    #[must_use]
    pub fn holds(&self, channel: usize) -> bool {
        match self.over {
            Over::Channels => self.numbers.iter().any(|number| number.at == channel),
            Over::Tokens { channel: own, .. } => own == channel,
        }
    }
}

impl RowGroups {
    /// The stored number of a channel; `None` for plain floats.
    #[must_use]
    pub fn number(&self, channel: usize) -> Option<f32> {
        let apart = self.outliers.iter().find(|(at, _)| *at == channel).map(|(_, number)| *number);
        apart.or_else(|| {
            let group = self.groups.iter().find(|group| group.holds(channel))?;
            group.number(match group.over {
                Over::Channels => channel,
                Over::Tokens { own, .. } => own,
            })
        })
    }
}

impl Rows<'_> {
    /// The groups of one head of a token's row.
    ///
    /// # Panics
    /// If a slice is shorter than its shape says, which is a bug of the store.
    #[must_use]
    pub fn describe(&self, token: usize, kv_head: usize) -> RowGroups {
        let codes = self.head_codes(token, kv_head);
        let groups = match self.codec {
            Codec::F32 | Codec::F16 | Codec::Bf16 | Codec::F8 => vec![],
            Codec::Int8 => {
                let scale = self.int8_scales()[token * self.shape.n_kv_head + kv_head];
                vec![symmetric(scale, 8, signed(codes, 0))]
            }
            Codec::Q8_0 => {
                let scales = self.groups(token, kv_head, 1).chunks_exact(2).map(read_f16);
                let codes = codes.chunks_exact(GROUP).enumerate();
                scales.zip(codes).map(|(scale, (i, codes))| symmetric(scale, 8, signed(codes, i * GROUP))).collect()
            }
            Codec::Q4_0 => {
                let scales = self.groups(token, kv_head, 1).chunks_exact(2).map(read_f16);
                scales.zip(unpacked(4, codes)).map(|(scale, numbers)| symmetric(scale, 4, numbers)).collect()
            }
            Codec::Affine { bits } => {
                let steps = self.groups(token, kv_head, 2).chunks_exact(4).map(Steps::read);
                let groups = steps.zip(unpacked(bits, codes));
                groups.map(|(steps, numbers)| affine(Over::Channels, steps, bits, numbers)).collect()
            }
            Codec::Channels { bits } => self.by_channel(token, kv_head, bits),
            Codec::Levels { bits, .. } => return self.by_levels(token, kv_head, bits),
        };
        RowGroups { groups, outliers: vec![] }
    }

    fn head_codes(&self, token: usize, kv_head: usize) -> &[u8] {
        let bytes = self.codec.head_bytes(self.shape.head_dim);
        &self.codes[token * self.token_stride + kv_head * bytes..][..bytes]
    }

    /// A group for each channel, over the 32 tokens that were sealed together.
    fn by_channel(&self, token: usize, kv_head: usize, bits: u8) -> Vec<Group> {
        let RowShape { head_dim, .. } = self.shape;
        let (first, own) = (token - token % GROUP, token % GROUP);
        let start = (token / GROUP * self.shape.width() + kv_head * head_dim) * 4;
        let rows: Vec<Vec<Number>> = (first..first + GROUP)
            .map(|token| unpacked(bits, self.head_codes(token, kv_head)).flatten().collect())
            .collect();
        let steps = self.scales[start..][..head_dim * 4].chunks_exact(4).map(Steps::read);
        let group = |(channel, steps): (usize, Steps)| {
            let numbers = rows.iter().enumerate().map(|(at, row)| Number { at, level: row[channel].level });
            affine(Over::Tokens { channel, own }, steps, bits, numbers.collect())
        };
        steps.enumerate().map(group).collect()
    }

    /// A group for each channel where channels have ranges, one for the row where it has its own; outliers are in none.
    fn by_levels(&self, token: usize, kv_head: usize, bits: u8) -> RowGroups {
        let (RowShape { head_dim, .. }, Some(found)) = (self.shape, self.levels) else { return RowGroups::default() };
        let each = self.codec.scale_bytes(self.shape);
        let (ranges, outliers) = found.split(self.shape, &self.scales[token * each..][..each]);
        let first = kv_head * head_dim;
        let outliers = outliers.filter(|(channel, _)| (first..first + head_dim).contains(channel));
        let outliers: Vec<(usize, f32)> = outliers.map(|(channel, x)| (channel - first, x)).collect();
        let codes = self.head_codes(token, kv_head).chunks_exact(usize::from(bits));
        let codes = codes.flat_map(|bytes| pack::unpack_dense(usize::from(bits), bytes)).enumerate();
        let inside = codes.filter(|(at, _)| outliers.iter().all(|(apart, _)| apart != at));
        let mut groups: Vec<Group> = vec![];
        for (at, level) in inside {
            let (centre, half_range) = found.range(ranges, head_dim, first + at);
            let number = Number { at, level };
            match groups.last_mut().filter(|_| found.channels.is_empty()) {
                Some(group) => group.numbers.push(number),
                None => groups.push(Group {
                    over: Over::Channels,
                    rule: Rule::Found { centre, half_range },
                    bits,
                    levels: found.levels.iter().map(|level| centre + half_range * level).collect(),
                    numbers: vec![number],
                }),
            }
        }
        RowGroups { groups, outliers }
    }
}

/// Codes of 8 bits, from -127 to 127, as numbers of the levels from there on.
fn signed(codes: &[u8], first: usize) -> Vec<Number> {
    let numbers = codes.iter().enumerate().map(|(i, code)| {
        let level = u8::try_from(i16::from(code.cast_signed()) + 127).unwrap_or(0);
        Number { at: first + i, level }
    });
    numbers.collect()
}

/// The codes of each group of a row.
fn unpacked(bits: u8, codes: &[u8]) -> impl Iterator<Item = Vec<Number>> {
    codes.chunks_exact(GROUP * usize::from(bits) / 8).enumerate().map(move |(group, bytes)| {
        let numbers = pack::unpack(bits, bytes).into_iter().enumerate();
        numbers.map(|(i, level)| Number { at: group * GROUP + i, level }).collect()
    })
}

/// Levels on both sides of 0: as many up as down for 8 bits, one more down for 4.
fn symmetric(scale: f32, bits: u8, numbers: Vec<Number>) -> Group {
    let codes = if bits == 8 { -127..=127_i8 } else { -8..=7 };
    let levels = codes.map(|code| f32::from(code) * scale).collect();
    Group { over: Over::Channels, rule: Rule::Symmetric { scale }, bits, levels, numbers }
}

fn affine(over: Over, Steps { minimum, step }: Steps, bits: u8, numbers: Vec<Number>) -> Group {
    let levels = (0..=u8::MAX >> (8 - bits)).map(|code| minimum + step * f32::from(code)).collect();
    Group { over, rule: Rule::Affine { minimum, scale: step }, bits, levels, numbers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::codec::{Levels, encode_channels};
    use proptest::prelude::*;

    const SHAPE: RowShape = RowShape { n_kv_head: 2, head_dim: 64 };

    /// Rows of 32 tokens in a format, as a store's planes hold them.
    struct Planes {
        codes: Vec<f32>,
        scales: Vec<f32>,
    }

    fn encode(codec: Codec, levels: Option<&Levels>, rows: &[Vec<f32>]) -> Planes {
        // f32 storage, so that both planes are aligned as a store's are.
        let words = |bytes: usize| vec![0.0_f32; (bytes * rows.len()).div_ceil(4)];
        let (code_bytes, scale_bytes) = (codec.code_bytes(SHAPE), codec.scale_bytes(SHAPE));
        let mut planes = Planes { codes: words(code_bytes), scales: words(scale_bytes) };
        let codes: &mut [u8] = bytemuck::cast_slice_mut(&mut planes.codes);
        let scales: &mut [u8] = bytemuck::cast_slice_mut(&mut planes.scales);
        if let Codec::Channels { bits } = codec {
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            encode_channels(bits, SHAPE, &rows, codes, scales);
        } else {
            for (token, row) in rows.iter().enumerate() {
                let scales = &mut scales[token * scale_bytes..][..scale_bytes];
                codec.encode(SHAPE, levels, row, &mut codes[token * code_bytes..][..code_bytes], scales);
            }
        }
        planes
    }

    fn found(bits: u8, by_channel: bool) -> Levels {
        let n = 1_u8 << bits;
        let levels = (0..n).map(|i| (f32::from(i) * 2.0 / f32::from(n - 1) - 1.0).powi(3)).collect();
        let channels = (0..SHAPE.width()).map(|channel| if channel % 5 == 0 { (0.5, 1.5) } else { (-0.25, 2.0) });
        Levels { levels, channels: if by_channel { channels.collect() } else { vec![] } }
    }

    fn quantizing() -> impl Strategy<Value = Codec> {
        let levels = |(bits, by_channel)| Codec::Levels { bits, by_channel };
        prop_oneof![
            prop::sample::select(vec![Codec::Int8, Codec::Q8_0, Codec::Q4_0]),
            prop::sample::select(vec![2_u8, 4, 8]).prop_map(|bits| Codec::Affine { bits }),
            prop::sample::select(vec![2_u8, 4, 8]).prop_map(|bits| Codec::Channels { bits }),
            (2_u8..=4, any::<bool>()).prop_map(levels),
        ]
    }

    proptest! {
        /// Whatever is stored, the level that a number took is what is decoded, bit for bit, and every channel is described once.
        #[test]
        fn levels_are_the_decoded_numbers(
            codec in quantizing(), token in 0_usize..GROUP, size in prop::sample::select(vec![1e-30_f32, 1.0, 3e4]),
            values in prop::collection::vec(-4_f32..4.0, GROUP * SHAPE.width()),
        ) {
            let rows: Vec<Vec<f32>> =
                values.chunks(SHAPE.width()).map(|row| row.iter().map(|x| x * size).collect()).collect();
            let levels = match codec {
                Codec::Levels { bits, by_channel } => Some(found(bits, by_channel)),
                _ => None,
            };
            let planes = encode(codec, levels.as_ref(), &rows);
            let rows = Rows {
                codec,
                shape: SHAPE,
                codes: bytemuck::cast_slice(&planes.codes),
                token_stride: codec.code_bytes(SHAPE),
                scales: bytemuck::cast_slice(&planes.scales),
                levels: levels.as_ref(),
            };
            for head in 0..SHAPE.n_kv_head {
                let described = rows.describe(token, head);
                let mut decoded = vec![f32::NAN; SHAPE.head_dim];
                rows.decode(token, 1, head, &mut decoded);
                for (channel, x) in decoded.iter().enumerate() {
                    let level = described.number(channel).map(f32::to_bits);
                    prop_assert_eq!(level, Some(x.to_bits()), "{:?} channel {}: {:?}", codec, channel, x);
                    let groups = described.groups.iter().filter(|group| group.holds(channel)).count();
                    let apart = described.outliers.iter().filter(|(at, _)| *at == channel).count();
                    prop_assert_eq!(groups + apart, 1);
                }
                for group in &described.groups {
                    prop_assert!(group.levels.len() <= 1 << group.bits);
                    // The other tokens of a channel's group are what they decode to as well.
                    let Over::Tokens { channel, .. } = group.over else { continue };
                    for at in 0..GROUP {
                        rows.decode(at, 1, head, &mut decoded);
                        prop_assert_eq!(group.number(at).map(f32::to_bits), Some(decoded[channel].to_bits()));
                    }
                }
            }
        }
    }

    #[test]
    fn plain_floats_have_no_groups() {
        for codec in [Codec::F32, Codec::F16, Codec::Bf16, Codec::F8] {
            let planes = encode(codec, None, &[vec![1.0; SHAPE.width()]]);
            let codes = bytemuck::cast_slice(&planes.codes);
            let rows =
                Rows { codec, shape: SHAPE, codes, token_stride: codec.code_bytes(SHAPE), scales: &[], levels: None };
            assert_eq!(rows.describe(0, 1), RowGroups::default(), "{codec:?}");
        }
    }
}
