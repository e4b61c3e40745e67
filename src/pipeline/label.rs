//! A camera's name and the time, written into a picture with letters of our own: no plugin that draws text is needed.

use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use chrono::SecondsFormat;

use crate::model::Timestamp;

use super::font;

const GROUND: u8 = 18;
const INK: u8 = 232;
const NO_COLOUR: u8 = 128;

/// What is written into each picture, at the bottom on the right: the name above, the time of the picture below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The camera's name. Letters that cannot be drawn are left blank.
    pub name: String,
}

impl Label {
    /// Writes into a picture with a plane of brightness and two of colour, each half as wide and high.
    pub(super) fn write(&self, frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>, at: Timestamp) -> Option<()> {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let time = at
            .to_utc()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
            .replace('T', " ")
            .replace('Z', " UTC");
        let step = font::WIDTH + 1;
        let across = |text: &str| (text.chars().count() + 1) * step;
        let dot = (height / 240).clamp(1, (width / across(&time)).max(1));
        let longest = (width / (step * dot)).saturating_sub(1);
        let name: String = self.name.chars().take(longest).collect();
        let lines = [name.trim(), &time];
        let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        let line = font::HEIGHT + 2;
        let box_width = (lines.iter().map(|line| across(line)).max()? * dot)
            .next_multiple_of(2)
            .min(width);
        let box_height = ((lines.len() * line + 1) * dot).next_multiple_of(2).min(height);
        let (left, top) = ((width - box_width) & !1, (height - box_height) & !1);
        for (plane, half, value) in [(0, 1, GROUND), (1, 2, NO_COLOUR), (2, 2, NO_COLOUR)] {
            let stride = usize::try_from(*frame.plane_stride().get(plane)?).ok()?;
            let data = frame.plane_data_mut(u32::try_from(plane).ok()?).ok()?;
            for y in top / half..height.div_ceil(half) {
                let row = data.get_mut(y * stride + left / half..y * stride + (left + box_width) / half)?;
                row.fill(value);
            }
        }
        let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
        let luma = frame.plane_data_mut(0).ok()?;
        for (n, text) in lines.iter().enumerate() {
            let y = top + (n * line + 1) * dot;
            for (column, letter) in text.chars().enumerate() {
                let x = left + (column * step) * dot + dot.max(step * dot / 2);
                draw(luma, stride, (x, y), dot, letter)?;
            }
        }
        Some(())
    }
}

fn draw(luma: &mut [u8], stride: usize, (x, y): (usize, usize), dot: usize, letter: char) -> Option<()> {
    for (row, bits) in font::rows(letter).into_iter().enumerate() {
        for column in (0..font::WIDTH).filter(|column| bits & (0x10 >> column) != 0) {
            for line in 0..dot {
                let from = (y + row * dot + line) * stride + x + column * dot;
                // What does not fit into a tiny picture is cut.
                let Some(dots) = luma.get_mut(from..from + dot) else {
                    continue;
                };
                dots.fill(INK);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_label_fits_into_any_picture_and_stays_within_it() {
        gst::init().unwrap();
        for (width, height) in [(16, 16), (160, 96), (176, 144), (642, 362), (1920, 1080), (3840, 2160)] {
            let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
                .build()
                .unwrap();
            let mut buffer = gst::Buffer::from_mut_slice(vec![90u8; info.size()]);
            let at = Timestamp::parse("2026-11-20T10:30:05.250Z").unwrap();
            let name = "Front door at the end of the long corridor".repeat(3);
            {
                let buffer = buffer.get_mut().unwrap();
                let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &info).unwrap();
                Label { name }.write(&mut frame, at).unwrap();
            }
            let bytes = buffer.map_readable().unwrap();
            let luma = &bytes[..(width * height) as usize];
            assert!(luma.contains(&INK) && luma.contains(&GROUND), "{width}x{height}");
            if width >= 160 {
                assert_eq!(luma[0], 90, "{width}x{height}");
            }
        }
    }
}
