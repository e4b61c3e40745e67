use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_millis(200);

/// What comes out when packets come a millisecond after another.
fn ordered(numbers: &[u16]) -> Vec<u16> {
    let (mut order, mut out) = (InOrder::default(), Vec::new());
    for (at, number) in numbers.iter().enumerate() {
        let now = Instant(at as u64 * 1_000_000);
        order.take(*number, *number, now, PATIENCE, |packet| out.push(packet));
    }
    order.end(|packet| out.push(packet));
    out
}

#[test]
fn what_is_in_order_is_handed_on_at_once() {
    let mut order = InOrder::default();
    for number in [65_534, 65_535, 0, 1] {
        let mut out = Vec::new();
        order.take(number, number, Instant(5), PATIENCE, |packet| out.push(packet));
        assert_eq!(out, [number]);
    }
}

#[test]
fn what_comes_too_early_waits_for_what_was_before_it() {
    assert_eq!(ordered(&[7, 9, 10, 8, 12, 11, 13]), [7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(ordered(&[65_535, 1, 0, 2]), [65_535, 0, 1, 2]);
    assert_eq!(ordered(&[1, 2, 2, 1, 4, 4, 3]), [1, 2, 3, 4], "none comes twice");
}

#[test]
fn what_never_comes_is_waited_for_only_so_long() {
    let mut order = InOrder::default();
    let mut out = Vec::new();
    let mut take = |number: u16, millis: u64| {
        order.take(number, number, Instant(millis * 1_000_000), PATIENCE, |packet| {
            out.push(packet)
        });
        std::mem::take(&mut out)
    };
    assert_eq!(take(1, 0), [1]);
    assert_eq!(take(3, 10), [0u16; 0]);
    assert_eq!(take(4, 209), [0u16; 0]);
    assert_eq!(take(5, 210), [3, 4, 5]);
    assert_eq!(take(2, 211), [0u16; 0], "too late");
    assert_eq!(take(6, 212), [6]);
}

#[test]
fn a_camera_that_counts_anew_is_followed_and_one_that_counts_at_random_is_not() {
    assert_eq!(
        ordered(&[10, 11, 30_000, 30_001, 30_002]),
        [10, 11, 30_000, 30_001, 30_002]
    );
    assert_eq!(ordered(&[10, 11, 30_000, 12, 13]), [10, 11, 12, 13]);
    assert_eq!(
        ordered(&[2000, 2001, 0, 1, 2]),
        [2000, 2001, 0, 1, 2],
        "also when it begins again soon"
    );
    assert_eq!(ordered(&[2000, 2001, 1900, 2002]), [2000, 2001, 2002]);
    let at_random: Vec<u16> = (0..1000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u16)
        .collect();
    assert!(ordered(&at_random).len() < 500);
}

#[test]
fn no_more_is_held_than_a_keyframe_or_two() {
    let mut order = InOrder::default();
    let mut out = 0;
    order.take(0, (), Instant(1), PATIENCE, |()| out += 1);
    for number in 2..=2900 {
        order.take(number, (), Instant(1), PATIENCE, |()| out += 1);
    }
    assert!(order.held.len() <= MOST_HELD);
    assert!(out > 0);
}

#[test]
fn ticks_become_time_since_the_first_packet() {
    let mut dating = Dating::by(90_000);
    assert_eq!(dating.date(4_294_960_000), (0, None));
    assert_eq!(dating.date(4_294_963_600), (40_000_000, None));
    assert_eq!(
        dating.date(4_294_960_000u32.wrapping_add(7296 + 9000)),
        (181_066_666, None),
        "it wraps"
    );
    assert_eq!(
        dating.date(4_294_960_000 - 90_000),
        (0, None),
        "before the first there is nothing"
    );
    assert_eq!(Dating::by(0).date(7), (0, None));
    let mut dating = Dating::by(90_000);
    dating.date(500_000);
    assert_eq!(dating.date(590_000), (1_000_000_000, None));
    assert_eq!(
        dating.date(1000),
        (0, None),
        "a camera that sets its ticks back begins again"
    );
    assert_eq!(dating.date(1000 + 9000), (100_000_000, None));
}

#[test]
fn a_report_tells_the_cameras_own_time_of_what_comes_after_it_and_before() {
    let mut dating = Dating::by(90_000);
    dating.date(1000);
    dating.hear_report(1000 + 9000, 50_000_000_000);
    assert_eq!(dating.date(1000 + 9000 + 90_000).1, Some(51_000_000_000));
    assert_eq!(dating.date(1000).1, Some(49_900_000_000));
    dating.hear_report(1000 + 10 * 90_000, 1);
    assert_eq!(dating.date(1000).1, Some(49_900_000_000), "a report of a time to come");
}

#[test]
fn a_report_before_the_first_packet_is_of_its_time_or_of_none() {
    let mut dating = Dating::by(90_000);
    dating.hear_report(4_294_967_295 - 8999, 50_000_000_000);
    assert_eq!(
        dating.date(0).1,
        Some(50_100_000_000),
        "the ticks went round between them"
    );
    let mut dating = Dating::by(90_000);
    dating.hear_report(90_000 * 60, 50_000_000_000);
    assert_eq!(dating.date(0).1, None, "a report of a time to come");
}

#[test]
fn reports_are_read_and_what_is_none_is_not() {
    let mut packet = vec![0x80, 200, 0, 6, 1, 2, 3, 4];
    packet.extend(3_000_000_000u32.to_be_bytes());
    packet.extend(0x8000_0000u32.to_be_bytes());
    packet.extend(77u32.to_be_bytes());
    assert_eq!(sender_report(&packet), Some((77, 3_000_000_000_500_000_000)));
    let behind_another = [&[0x80, 201, 0, 1, 1, 2, 3, 4], &packet[..]].concat();
    assert_eq!(sender_report(&behind_another), Some((77, 3_000_000_000_500_000_000)));
    assert_eq!(sender_report(&packet[..19]), None);
    assert_eq!(sender_report(&[]), None);
    packet[1] = 201;
    assert_eq!(sender_report(&packet), None);
    packet[1] = 200;
    packet[8..12].fill(0);
    assert_eq!(sender_report(&packet), None, "a camera without a clock");
}

proptest! {
    #[test]
    fn whatever_comes_nothing_is_doubled_and_what_is_shuffled_a_little_comes_out_in_order(
        first in any::<u16>(), swaps in prop::collection::vec((0usize..200, 1usize..20), 0..30),
    ) {
        let wanted: Vec<u16> = (0..200).map(|n| first.wrapping_add(n)).collect();
        let mut shuffled = wanted.clone();
        for (at, by) in swaps {
            let (at, other) = (at.max(1), (at.max(1) + by).min(199));
            shuffled.swap(at, other);
        }
        prop_assert_eq!(ordered(&shuffled), wanted);
    }

    #[test]
    fn no_packet_makes_it_panic(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), any::<bool>()), 0..300), rate in any::<u32>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (mut order, mut dating) = (InOrder::default(), Dating::by(rate));
        let (mut came, mut went) = (0, 0);
        for (number, ticks, is_report) in packets {
            came += 1;
            order.take(number, ticks, Instant(u64::from(ticks)), PATIENCE, |_| went += 1);
            if is_report {
                dating.hear_report(ticks, u64::from(number) << 48);
            } else {
                dating.date(ticks);
            }
        }
        order.end(|_| went += 1);
        prop_assert!(went <= came);
        sender_report(&bytes);
    }
}
