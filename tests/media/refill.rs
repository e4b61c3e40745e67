//! Gaps that come back from the camera's own storage: the real program, a camera with storage, and a referee that decodes
//! every stamp of what was kept.

mod site;

use std::time::Duration;

use camkeep::pipeline::demo::{Speed, StorageOptions};

use site::{Form, RefillSite};

/// So long the live view is cut.
const CUT: Duration = Duration::from_secs(12);

/// The live view is cut for twelve seconds and comes back; what lacks is there again, to the frame.
#[track_caller]
fn is_filled(form: Form, options: StorageOptions, is_fast: bool) {
    let site = RefillSite::new(form, options);
    site.cut_for(CUT);
    let gaps = site.wait_filled(1);
    let gap = &gaps[0];
    assert!((gap.recovered - gap.seconds).abs() <= 1.0, "{gap:?}");
    assert!(gap.seconds >= CUT.as_secs_f64() - 1.0, "{gap:?}");
    assert_eq!(gap.attempts, 1, "{gap:?}");
    let after = (gap.filled_ns.unwrap() - gap.end_ns) as f64 / 1e9;
    eprintln!(
        "{form:?}: {:.1} s were there again {after:.1} s after the camera was back",
        gap.recovered
    );
    assert!(!is_fast || after < gap.seconds / 2.0, "{after} s for {gap:?}");
    site.assert_whole();
    site.assert_a_clip_is_exact(gap);
    site.assert_nothing_is_left();
    site.assert_live_was_left_alone();
}

#[test]
fn a_gap_comes_back_by_profile_g() {
    is_filled(Form::Onvif, StorageOptions::default(), true);
}

#[test]
fn a_gap_comes_back_by_hikvision_s_addresses() {
    is_filled(
        Form::Hikvision,
        StorageOptions {
            speed: Speed::Unlimited,
            ..StorageOptions::default()
        },
        true,
    );
}

#[test]
fn a_gap_comes_back_by_dahua_s_addresses() {
    is_filled(
        Form::Dahua,
        StorageOptions {
            speed: Speed::Times(4),
            zone_minutes: 120,
            ..StorageOptions::default()
        },
        false,
    );
}

#[test]
fn a_gap_comes_back_by_a_template_in_real_time() {
    is_filled(Form::Template, StorageOptions::default(), false);
}
