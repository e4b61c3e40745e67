//! Cameras that do wrong when they are asked for what they kept: what came of it counts, the rest is told as it is, and the
//! live view of this and of others loses nothing.

use std::time::Duration;

use camkeep::pipeline::demo::{Misbehaviour, Speed, StorageOptions};

use super::site::{Form, GATE, RefillSite};
use crate::daemon_site::SOON;
use crate::kit::wait::wait_for;

/// Longer than what is forgotten, and short enough for many.
const CUT: Duration = Duration::from_secs(5);

/// Each wrong costs one try; then the camera behaves, and what lacks comes back.
#[track_caller]
fn nothing_is_lost_to(form: Form, speed: Speed, wrongs: &[Misbehaviour]) {
    let options = StorageOptions {
        speed,
        ..StorageOptions::default()
    };
    let site = RefillSite::with(form, options, 1, true);
    for wrong in wrongs {
        let before = site.gaps().len();
        site.storage().misbehave(&[*wrong]);
        site.cut_for(CUT);
        wait_for(SOON, "the gap to be kept", || {
            let gaps = site.gaps();
            if gaps.len() > before { Ok(()) } else { Err(gaps) }
        });
        let gaps = site.wait_tried();
        eprintln!("{wrong:?}: {:?}", gaps.iter().skip(before).collect::<Vec<_>>());
        site.assert_told_truly();
        let is_partly = matches!(
            wrong,
            Misbehaviour::FirstHalf | Misbehaviour::SecondHalf | Misbehaviour::HangsHalfway | Misbehaviour::BreaksOff
        );
        let back = gaps.iter().skip(before).filter(|gap| gap.state == "filled").count();
        let lacks = gaps.iter().skip(before).filter(|gap| gap.state == "failed").count();
        match wrong {
            _ if is_partly => assert!(back >= 1 && lacks >= 1, "{wrong:?}: {gaps:?}"),
            Misbehaviour::TooMuch(_) | Misbehaviour::NoFarewell | Misbehaviour::RealTimeOnly => {
                assert_eq!((back, lacks), (1, 0), "{wrong:?}: {gaps:?}");
            }
            _ => assert_eq!((back, lacks), (0, 1), "{wrong:?}: {gaps:?}"),
        }
        site.storage().behave();
        site.retry_failed();
        let count = site.gaps().len();
        site.wait_filled(count);
    }
    site.assert_whole();
    site.assert_told_truly();
    site.assert_nothing_is_left();
    site.assert_live_was_left_alone();
    let failed = site.site.events("gap_failed");
    assert!(failed.iter().all(|message| message.contains("Gate")), "{failed:?}");
    // Every run of the live view was ended by the test: one before each cut, and the one that is on.
    let rows = site.site.rows(GATE);
    let live: std::collections::BTreeSet<_> = rows.iter().filter(|row| !row.refilled).map(|row| &row.run).collect();
    assert_eq!(live.len(), wrongs.len() + 1, "a refill ended the live view");
}

#[test]
fn what_comes_in_part_is_kept_and_the_rest_is_a_gap_of_its_own() {
    use Misbehaviour::{BreaksOff, FirstHalf, HangsHalfway, SecondHalf};
    nothing_is_lost_to(
        Form::Onvif,
        Speed::RealTime,
        &[FirstHalf, SecondHalf, HangsHalfway, BreaksOff],
    );
}

#[test]
fn what_is_empty_broken_or_of_another_time_is_never_told_as_filled() {
    use Misbehaviour::{EndsAtOnce, Garbage, HangsAfterPlay, Nothing, OtherTime};
    let wrongs = [EndsAtOnce, Garbage, HangsAfterPlay, Nothing, OtherTime(60_000)];
    nothing_is_lost_to(Form::Hikvision, Speed::Unlimited, &wrongs);
}

#[test]
fn what_is_too_much_too_slow_or_refused_costs_no_more_than_a_try() {
    use Misbehaviour::{Busy, NoFarewell, OneSessionOnly, RealTimeOnly, TooMuch};
    let wrongs = [
        TooMuch(Duration::from_secs(4)),
        RealTimeOnly,
        OneSessionOnly,
        Busy,
        NoFarewell,
    ];
    nothing_is_lost_to(Form::Onvif, Speed::RealTime, &wrongs);
}
