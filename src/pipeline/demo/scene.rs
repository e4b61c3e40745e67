//! What a demo camera looks at: a few painted places in which something always moves, with the name of the
//! camera and the local time below and the stamp above.

use chrono::{DateTime, Local};

use super::super::font;
use super::stamp::{STAMP_HEIGHT_DIVISOR, Stamp};

type Colour = (u8, u8, u8);

/// The colours of one place, and what passes by.
struct Palette {
    sky_top: Colour,
    sky_low: Colour,
    orb: Colour,
    hills: Colour,
    houses: Colour,
    windows: Colour,
    ground: Colour,
    road: Colour,
    movers: [Colour; 3],
    /// Screen widths a second.
    speed: f64,
}

const PALETTES: [Palette; 4] = [
    // A street at dawn.
    Palette {
        sky_top: (94, 132, 178),
        sky_low: (246, 196, 148),
        orb: (255, 226, 170),
        hills: (112, 118, 140),
        houses: (158, 112, 98),
        windows: (250, 222, 140),
        ground: (104, 132, 84),
        road: (86, 86, 92),
        movers: [(196, 62, 54), (58, 104, 168), (226, 226, 222)],
        speed: 0.10,
    },
    // A harbour by day.
    Palette {
        sky_top: (88, 160, 220),
        sky_low: (208, 232, 246),
        orb: (255, 250, 220),
        hills: (98, 142, 128),
        houses: (214, 208, 196),
        windows: (84, 120, 150),
        ground: (196, 182, 140),
        road: (38, 106, 138),
        movers: [(240, 240, 236), (214, 98, 52), (70, 70, 84)],
        speed: 0.05,
    },
    // A yard at night.
    Palette {
        sky_top: (12, 16, 38),
        sky_low: (40, 48, 86),
        orb: (226, 228, 236),
        hills: (26, 32, 52),
        houses: (44, 46, 60),
        windows: (255, 206, 108),
        ground: (34, 48, 42),
        road: (54, 54, 62),
        movers: [(206, 112, 48), (228, 220, 120), (96, 96, 120)],
        speed: 0.08,
    },
    // A station in the snow.
    Palette {
        sky_top: (164, 178, 196),
        sky_low: (226, 230, 236),
        orb: (250, 246, 232),
        hills: (202, 212, 224),
        houses: (120, 78, 66),
        windows: (255, 216, 140),
        ground: (238, 242, 248),
        road: (126, 122, 126),
        movers: [(38, 110, 84), (38, 110, 84), (206, 172, 60)],
        speed: 0.16,
    },
];

/// Painter of one camera's pictures at one size. The still part is painted once and copied for each frame.
pub(super) struct Scene {
    width: usize,
    height: usize,
    title: String,
    palette: &'static Palette,
    still: Vec<u8>,
}

impl Scene {
    /// Paints what does not move.
    pub(super) fn new(number: u32, title: &str, width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let palette = &PALETTES[number as usize % PALETTES.len()];
        let mut still = vec![128; width * height * 3 / 2];
        let mut canvas = Canvas {
            plane: &mut still,
            width,
            height,
        };
        paint_still(&mut canvas, palette);
        Self {
            width,
            height,
            title: title.to_owned(),
            palette,
            still,
        }
    }

    /// One frame in I420, taken at the instant its stamp says.
    pub(super) fn frame(&self, stamp: Stamp) -> Vec<u8> {
        let mut frame = self.still.clone();
        let mut canvas = Canvas {
            plane: &mut frame,
            width: self.width,
            height: self.height,
        };
        paint_movers(&mut canvas, self.palette, stamp.time_us);
        self.write(&mut canvas, stamp.time_us);
        stamp.draw(&mut frame, self.width, self.height);
        frame
    }

    fn write(&self, canvas: &mut Canvas<'_>, time_us: u64) {
        let time = i64::try_from(time_us).ok().and_then(DateTime::from_timestamp_micros);
        let Some(time) = time.map(|utc| utc.with_timezone(&Local)) else {
            return;
        };
        let hundredths = time_us / 10_000 % 100;
        let text = format!("{}  {}.{hundredths:02}", self.title, time.format("%Y-%m-%d %H:%M:%S"));
        let dot = (canvas.height / 150)
            .max(1)
            .min(canvas.width / (6 * (text.len() + 2)))
            .max(1);
        let (left, top) = (2 * dot, canvas.height - (font::HEIGHT + 3) * dot);
        let box_width = text.len() * (font::WIDTH + 1) * dot + 3 * dot;
        canvas.rectangle(left, top - dot, box_width, (font::HEIGHT + 2) * dot, (18, 18, 18));
        for (n, letter) in text.chars().enumerate() {
            let x = left + dot + n * (font::WIDTH + 1) * dot;
            for (row, bits) in font::rows(letter).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits & (0x10 >> column) != 0) {
                    canvas.luma_rectangle(x + column * dot, top + row * dot, dot, dot, 232);
                }
            }
        }
    }
}

fn paint_still(canvas: &mut Canvas<'_>, palette: &Palette) {
    let (width, height) = (canvas.width, canvas.height);
    let (sky, horizon, road) = (height / STAMP_HEIGHT_DIVISOR + 1, height * 55 / 100, height * 72 / 100);
    for y in (sky..horizon).step_by(2) {
        let part = (y - sky) as f64 / (horizon - sky).max(1) as f64;
        canvas.rectangle(0, y, width, 2, blend(palette.sky_top, palette.sky_low, part));
    }
    canvas.disc(width * 4 / 5, height * 26 / 100, height / 14, palette.orb);
    for x in (0..width).step_by(2) {
        let turn = x as f64 / width as f64 * std::f64::consts::TAU;
        let rise = (0.10 + 0.05 * (turn * 1.5).sin() + 0.02 * (turn * 4.0 + 1.0).sin()) * height as f64;
        canvas.rectangle(x, horizon - rise as usize, 2, rise as usize, palette.hills);
    }
    canvas.rectangle(0, horizon, width, height - horizon, palette.ground);
    for (n, tall) in [16, 22, 13, 19, 25, 15].into_iter().enumerate() {
        let (left, wide) = (width * (4 + 16 * n) / 100, width * 10 / 100);
        let top = height * 64 / 100 - height * tall / 100;
        canvas.rectangle(
            left,
            top,
            wide,
            height * tall / 100,
            blend(palette.houses, palette.hills, n as f64 / 9.0),
        );
        for window in 0..(tall / 6) * 3 {
            let x = left + wide * (1 + 3 * (window % 3)) / 10;
            let y = top + height * (2 + 6 * (window / 3)) / 100;
            // Not every window is lit.
            if (n * 5 + window * 7) % 4 != 0 {
                canvas.rectangle(x, y, wide * 15 / 100, height * 3 / 100, palette.windows);
            }
        }
    }
    canvas.rectangle(0, road, width, height * 18 / 100, palette.road);
    for dash in 0..10 {
        let light = blend(palette.road, (255, 255, 255), 0.4);
        canvas.rectangle(
            width * dash / 10,
            road + height * 9 / 100,
            width / 22,
            (height / 120).max(2),
            light,
        );
    }
}

fn paint_movers(canvas: &mut Canvas<'_>, palette: &Palette, time_us: u64) {
    let (width, height) = (canvas.width as f64, canvas.height as f64);
    let seconds = (time_us % 3_600_000_000) as f64 / 1e6;
    for (n, colour) in palette.movers.into_iter().enumerate() {
        let lane = [0.73, 0.82, 0.76][n];
        let pace = palette.speed * [1.0, -0.7, 0.45][n];
        let along = (seconds * pace + n as f64 * 0.37).rem_euclid(1.2) - 0.1;
        let (long, tall) = (0.10 * width, 0.045 * height);
        let (x, y) = (along * width - long / 2.0, lane * height);
        canvas.signed_rectangle(x, y, long, tall, colour);
        canvas.signed_rectangle(
            x + long * 0.22,
            y - tall * 0.7,
            long * 0.5,
            tall * 0.7,
            blend(colour, (30, 40, 50), 0.45),
        );
        for wheel in [0.22, 0.78] {
            let reach = tall * 0.32;
            canvas.signed_rectangle(
                x + long * wheel - reach,
                y + tall - reach * 0.6,
                2.0 * reach,
                reach,
                (20, 20, 22),
            );
        }
    }
}

fn blend(a: Colour, b: Colour, part: f64) -> Colour {
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part.clamp(0.0, 1.0)) as u8;
    (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// An I420 picture to paint on; what falls outside is cut off.
struct Canvas<'a> {
    plane: &'a mut [u8],
    width: usize,
    height: usize,
}

impl Canvas<'_> {
    fn luma_rectangle(&mut self, x: usize, y: usize, wide: usize, tall: usize, level: u8) {
        let (left, right) = (x.min(self.width), (x + wide).min(self.width));
        for line in y.min(self.height)..(y + tall).min(self.height) {
            self.plane[line * self.width + left..line * self.width + right].fill(level);
        }
    }

    fn rectangle(&mut self, x: usize, y: usize, wide: usize, tall: usize, colour: Colour) {
        let [luma, blue, red] = to_yuv(colour);
        self.luma_rectangle(x, y, wide, tall, luma);
        let (half_width, half_height) = (self.width / 2, self.height / 2);
        let (left, right) = ((x / 2).min(half_width), (x + wide).div_ceil(2).min(half_width));
        for line in (y / 2).min(half_height)..(y + tall).div_ceil(2).min(half_height) {
            let start = self.width * self.height + line * half_width;
            self.plane[start + left..start + right].fill(blue);
            let start = start + half_width * half_height;
            self.plane[start + left..start + right].fill(red);
        }
    }

    /// A rectangle that may begin left of the picture.
    fn signed_rectangle(&mut self, x: f64, y: f64, wide: f64, tall: f64, colour: Colour) {
        let (left, right) = (x.max(0.0) as usize, (x + wide).max(0.0) as usize);
        if right > left {
            self.rectangle(left, y.max(0.0) as usize, right - left, tall.max(1.0) as usize, colour);
        }
    }

    fn disc(&mut self, x: usize, y: usize, radius: usize, colour: Colour) {
        for line in 0..radius {
            let half = ((radius * radius - line * line) as f64).sqrt() as usize;
            for at in [y + line, y.saturating_sub(line)] {
                self.rectangle(x.saturating_sub(half), at, 2 * half, 1, colour);
            }
        }
    }
}

/// BT.709, limited range, as the caps of the stream say.
fn to_yuv((r, g, b): Colour) -> [u8; 3] {
    let (r, g, b) = (f64::from(r), f64::from(g), f64::from(b));
    [
        16.0 + 0.1826 * r + 0.6142 * g + 0.0620 * b,
        128.0 - 0.1006 * r - 0.3386 * g + 0.4392 * b,
        128.0 + 0.4392 * r - 0.3989 * g - 0.0403 * b,
    ]
    .map(|level| level.round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_paints_at_every_size_a_camera_may_have() {
        for (width, height) in [(160, 90), (168, 122), (320, 180), (640, 480), (1280, 720)] {
            for number in 0..5 {
                let scene = Scene::new(number, "FRONT DOOR", width, height);
                let first = scene.frame(Stamp {
                    counter: 1,
                    time_us: 1_700_000_000_000_000,
                });
                let later = scene.frame(Stamp {
                    counter: 2,
                    time_us: 1_700_000_001_000_000,
                });
                assert_eq!(first.len(), (width * height * 3 / 2) as usize);
                let below_the_stamp = (width * height / 5) as usize;
                assert_ne!(
                    first[below_the_stamp..],
                    later[below_the_stamp..],
                    "nothing moves in scene {number}"
                );
            }
        }
    }
}
