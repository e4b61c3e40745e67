//! Which bytes of an answer a request means.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, header};

use super::problem::Problem;

/// What of an answer is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Part(Range<u64>),
}

/// Which part of so many bytes is meant. `is_current` says whether what a client has, by its tag or its date, is what would be
/// sent now: a part of anything else would be of no use to it.
///
/// Another unit than bytes and what is no range are passed over, as the standard asks. Several ranges at once are refused, and
/// so is one that begins after the end.
pub(super) fn wanted(headers: &HeaderMap, size: u64, is_current: impl FnOnce(&str) -> bool) -> Result<Wanted, Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE) else {
        return Ok(Wanted::All);
    };
    if text(header::IF_RANGE).is_some_and(|known| !is_current(known.trim())) {
        return Ok(Wanted::All);
    }
    let Ok(parsed) = http_range_header::parse_range_header(range) else {
        return Ok(Wanted::All);
    };
    if range.contains(',') {
        return Err(Problem::range("ask for one range at a time", size));
    }
    match parsed.validate(size).as_deref() {
        Ok([one]) => Ok(Wanted::Part(*one.start()..one.end().saturating_add(1))),
        _ => Err(Problem::range(
            format!("the range lies beyond the end: there are {size} bytes"),
            size,
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use header::{IF_RANGE, RANGE};

    fn of(given: &[(HeaderName, &str)]) -> Result<Wanted, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(name, value.parse().unwrap());
        }
        wanted(&headers, 100, |known| known == "\"a\"").map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn a_range_is_answered_only_of_the_bytes_that_the_client_means() {
        assert_eq!(of(&[]), Ok(Wanted::All));
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0..100)),
            ("bytes=10-19", Wanted::Part(10..20)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=x", Wanted::All),
            ("frames=1-2", Wanted::All),
        ] {
            assert_eq!(of(&[(RANGE, range)]), Ok(expected), "{range}");
        }
        assert!(
            of(&[(RANGE, "bytes=100-")])
                .unwrap_err()
                .contains("there are 100 bytes")
        );
        assert!(of(&[(RANGE, "bytes=0-1,5-6")]).unwrap_err().contains("one range"));
        assert_eq!(of(&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"a\"")]), Ok(Wanted::Part(1..3)));
        assert_eq!(of(&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"b\"")]), Ok(Wanted::All));
        assert_eq!(of(&[(RANGE, "bytes=500-"), (IF_RANGE, "\"b\"")]), Ok(Wanted::All));
    }
}
