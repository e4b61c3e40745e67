//! What is known of a segment when a clip is planned.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Edge, Segment, SegmentState, counted};
use crate::storage::{FileShape, Movie};

use super::error::ExportError;

/// A segment with what its file holds, and what memory has of it beyond that.
#[derive(Debug, Clone)]
pub struct Footage {
    /// What the index says.
    pub segment: Segment,
    /// The file.
    pub path: Arc<Path>,
    /// What is in the file.
    pub movie: Movie,
    /// What is not in the file yet, when the segment is still open. It has to be taken before the file is read, so that
    /// nothing lies between them.
    pub edge: Option<Edge>,
    /// It begins at a time that the footage before it has as well: the clock was set back in between.
    pub begins_again: bool,
}

impl Footage {
    /// What memory has of a segment that has no file that could be read.
    pub(super) fn without_file(segment: Segment, edge: Option<Edge>) -> Self {
        Self {
            path: Path::new("").into(),
            edge: edge.filter(|edge| edge.segment == segment.id),
            segment,
            movie: Movie::nothing(),
            begins_again: false,
        }
    }

    /// Reads the tables of a segment's file.
    ///
    /// A file that is damaged, short or gone is footage without frames where it has none: the clip has a hole there, which
    /// it tells of. Only the caller can know whether another copy may be better, so it hears of it.
    pub fn read(segment: Segment, path: PathBuf, edge: Option<Edge>) -> (Self, Option<ExportError>) {
        let unreadable = |reason: String| ExportError::Unreadable {
            segment: segment.id,
            path: path.clone(),
            reason,
        };
        let edge = edge.filter(|edge| edge.segment == segment.id);
        let (movie, trouble) = match Movie::read(&path) {
            Ok(movie) => {
                let trouble = match &movie.shape {
                    // It grows, and what it does not have yet is elsewhere.
                    _ if segment.state == SegmentState::Open => None,
                    FileShape::Garbage(why) => Some(unreadable(why.clone())),
                    FileShape::Empty => Some(unreadable("it holds no frame".to_owned())),
                    _ if movie.cut => Some(unreadable("it was cut after it was written".to_owned())),
                    // An index that was damaged may still tell of some.
                    _ if movie.frames() < segment.frames => Some(unreadable(format!(
                        "it holds {} instead of {}",
                        counted(movie.frames(), "frame", "frames"),
                        segment.frames
                    ))),
                    _ => None,
                };
                (movie, trouble)
            }
            Err(error) => (Movie::nothing(), Some(unreadable(error.to_string()))),
        };
        let footage = Self {
            path: path.clone().into(),
            segment,
            movie,
            edge,
            begins_again: false,
        };
        (footage, trouble)
    }
}
