//! How values lie in columns: words, times, counts.

use rusqlite::Row;
use rusqlite::types::Type;

use crate::model::{CameraId, SegmentId, Span, Timestamp, VolumeId};

/// The value that a column's word names. A word that nobody knows means that something else wrote the file.
pub(super) fn word<T>(row: &Row<'_>, column: &str, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    // Looked at where it lies: a month of gaps is thousands of words.
    let text = row.get_ref(column)?.as_str()?;
    parse(text).ok_or_else(|| stranger(row, column, Type::Text, format!("`{text}` in column {column}")))
}

/// A count, which no column lets become negative.
pub(super) fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| stranger(row, column, Type::Integer, format!("{number} in column {column}")))
}

/// How a count is stored; what SQLite cannot hold (9 exabytes) no disk holds either.
pub(super) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_nanos)
}

pub(super) fn maybe_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanos))
}

pub(super) fn span(row: &Row<'_>) -> rusqlite::Result<Span> {
    Ok(Span::new(time(row, "start_ns")?, time(row, "end_ns")?))
}

pub(super) fn camera_id(row: &Row<'_>, column: &str) -> rusqlite::Result<CameraId> {
    word(row, column, |text| CameraId::parse(text).ok())
}

pub(super) fn segment_id(row: &Row<'_>, column: &str) -> rusqlite::Result<SegmentId> {
    row.get(column).map(|bytes| SegmentId(uuid::Uuid::from_bytes(bytes)))
}

pub(super) fn volume_id(row: &Row<'_>, column: &str) -> rusqlite::Result<VolumeId> {
    row.get(column).map(|bytes| VolumeId(uuid::Uuid::from_bytes(bytes)))
}

fn stranger(row: &Row<'_>, column: &str, kind: Type, message: String) -> rusqlite::Error {
    let place = row.as_ref().column_index(column).unwrap_or(0);
    rusqlite::Error::FromSqlConversionFailure(place, kind, message.into())
}
