//! `camkeep segments`: the rows behind the timeline.

use chrono::Local;
use serde_json::Value;

use super::camera::{path, table, text};
use super::client::{Client, part};
use super::command::SegmentsArgs;
use super::entry::say;
use super::failure::Failure;
use super::timeline::times;
use super::words;
use crate::model::Timestamp;
use crate::runtime::{Clock, SystemClock};

/// Rows that make one table, so that a long list begins to appear at once.
const PAGE: usize = 500;

pub(super) fn segments(args: &SegmentsArgs) -> Result<(), Failure> {
    let (from, to) = times(&args.window, SystemClock.now())?;
    if let (Some(from), Some(to)) = (from, to)
        && to <= from
    {
        return Err(Failure::usage("--to must be after --from"));
    }
    let client = Client::new(&args.server.server)?;
    let mut query = format!("limit={PAGE}");
    for (name, time) in [("from", from), ("to", to)] {
        if let Some(time) = time {
            query.push_str(&format!("&{name}={}", part(&time.to_string())));
        }
    }
    if args.removed {
        query.push_str("&removed=true");
    }
    let mut next = Some(format!("{}/segments?{query}", path(&args.camera)));
    let mut count = 0;
    while let Some(place) = next {
        let page = client.page(&place)?;
        count += page.rows.len();
        if args.json {
            for row in &page.rows {
                say(&row.to_string())?;
            }
        } else if !page.rows.is_empty() {
            let rows: Vec<[String; 6]> = page.rows.iter().map(cells).collect();
            say(&table(&["START", "END", "LENGTH", "SIZE", "VIDEO", "FILE"], &rows))?;
        }
        next = page.next;
    }
    if count == 0 && !args.json {
        say("no segments in this time")?;
    }
    Ok(())
}

fn cells(row: &Value) -> [String; 6] {
    let local = |field: &str, format: &str| {
        Timestamp::parse(&text(row, field))
            .map(|moment| moment.to_utc().with_timezone(&Local).format(format).to_string())
            .unwrap_or_default()
    };
    let number = |field: &str| row.get(field).and_then(Value::as_f64).unwrap_or_default();
    let open = row.get("open").and_then(Value::as_bool).unwrap_or_default();
    [
        local("start_time", "%Y-%m-%d %H:%M:%S%.3f"),
        if open {
            "growing".to_owned()
        } else {
            local("end_time", "%H:%M:%S%.3f")
        },
        words::duration(std::time::Duration::try_from_secs_f64(number("duration_s")).unwrap_or_default()),
        words::bytes(number("size_bytes")),
        match number("lost_packets") {
            0.0 => format!("{} {}x{}", text(row, "codec"), text(row, "width"), text(row, "height")),
            lost => format!(
                "{} {}x{}, {} lost",
                text(row, "codec"),
                text(row, "width"),
                text(row, "height"),
                packets(lost)
            ),
        },
        text(row, "url"),
    ]
}

/// So many packets.
pub(super) fn packets(count: f64) -> String {
    let unit = if count == 1.0 { "packet" } else { "packets" };
    format!("{count} {unit}")
}
