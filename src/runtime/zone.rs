//! The time zone of this machine.

use chrono_tz::Tz;

/// The time zone that `TZ` names, else the one that the system is set to, else UTC. An error is the text of a `TZ` that
/// names no IANA zone.
pub fn local_zone() -> Result<Tz, String> {
    let system = || iana_time_zone::get_timezone().unwrap_or_default();
    zone_of(std::env::var("TZ").ok(), system)
}

fn zone_of(variable: Option<String>, system: impl FnOnce() -> String) -> Result<Tz, String> {
    let Some(text) = variable else {
        return Ok(named(&system()).unwrap_or(Tz::UTC));
    };
    // The C library also takes a colon in front and the path of a zone's file.
    let name = text.strip_prefix(':').unwrap_or(&text);
    let name = name.rsplit_once("zoneinfo/").map_or(name, |(_, name)| name);
    named(name).ok_or(text)
}

fn named(name: &str) -> Option<Tz> {
    match name {
        "" | "Etc/UTC" => Some(Tz::UTC),
        name => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_counts_before_the_system() {
        let zone = |variable: Option<&str>, system: &str| zone_of(variable.map(str::to_owned), || system.to_owned());
        assert_eq!(zone(None, "Europe/Berlin"), Ok(Tz::Europe__Berlin));
        assert_eq!(zone(Some("Asia/Tokyo"), "Europe/Berlin"), Ok(Tz::Asia__Tokyo));
        assert_eq!(zone(Some(":Asia/Tokyo"), ""), Ok(Tz::Asia__Tokyo));
        assert_eq!(zone(Some("/usr/share/zoneinfo/Asia/Tokyo"), ""), Ok(Tz::Asia__Tokyo));
        assert_eq!(zone(Some(""), "Europe/Berlin"), Ok(Tz::UTC));
        assert_eq!(zone(None, "Etc/UTC"), Ok(Tz::UTC));
        assert_eq!(zone(None, "nowhere"), Ok(Tz::UTC));
        assert_eq!(zone(Some("CET-1CEST"), "Europe/Berlin"), Err("CET-1CEST".to_owned()));
    }
}
