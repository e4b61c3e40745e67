#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// A packet that carries this.
fn packet(carried: &[u8]) -> Vec<u8> {
    [&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7], carried].concat()
}

fn packets<'a>(carried: impl IntoIterator<Item = &'a [u8]>) -> Packets {
    let mut packets = Packets::default();
    for carried in carried {
        let packet = packet(carried);
        packets.push(&packet, &Header::of(&packet).unwrap());
    }
    packets
}

const SEQUENCE: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0xda];
const PICTURE: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

fn avc() -> Form {
    let mut config = vec![1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 5];
    config.extend_from_slice(SEQUENCE);
    config.extend_from_slice(&[1, 0, 4]);
    config.extend_from_slice(PICTURE);
    Form::read(Codec::H264, &config).unwrap()
}

fn unit(parts: &[&[u8]]) -> Vec<u8> {
    let with_length = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
    parts.iter().flat_map(with_length).collect()
}

#[test]
fn what_a_decoder_knows_is_left_out_and_fragments_are_one_part_again() {
    let together = [&[24, 0, 5], SEQUENCE, &[0, 4], PICTURE].concat();
    let made = avc().make(&packets([
        &[9, 0x10][..],
        &together,
        &[0x7c, 0x85, 0x88, 1],
        &[0x7c, 0x05, 2],
        &[0x7c, 0x45, 3],
    ]));
    let made = made.unwrap();
    assert_eq!(*made.unit, unit(&[&[9, 0x10], &[0x65, 0x88, 1, 2, 3]]));
    assert!(made.is_keyframe);
    let alone = avc().make(&packets([PICTURE])).unwrap();
    assert!(alone.unit.is_empty());
}

#[test]
fn what_is_out_of_the_ordinary_is_left_to_the_depayloader() {
    let (first, more) = (&[0x61, 0x9a, 1][..], &[0x61, 0x1a, 2][..]);
    let made = avc().make(&packets([first, more])).unwrap();
    assert_eq!((&*made.unit, made.is_keyframe), (&unit(&[first, more]), false));
    let other = [&PICTURE[..3], &[0x81]].concat();
    let left: [(&str, &[&[u8]]); 13] = [
        ("two pictures", &[first, first]),
        ("a picture without its beginning", &[more]),
        ("the next picture's beginning", &[first, &[9, 0x10]]),
        ("no picture", &[&[6, 5, 1]]),
        ("a fragment without a beginning", &[&[0x7c, 0x45, 3]]),
        ("a fragment without an end", &[&[0x7c, 0x85, 0x88]]),
        ("a part amid fragments", &[&[0x7c, 0x85, 0x88], more, &[0x7c, 0x45, 3]]),
        ("fragments of two parts", &[&[0x7c, 0x85, 0x88], &[0x7c, 0x41, 3]]),
        ("parts whose lengths do not fit", &[&[24, 0, 9, 0x61]]),
        ("packets with a number of their own", &[&[29, 0x85, 0, 1, 0x88]]),
        ("nothing", &[&[]]),
        ("a picture before a set", &[first, PICTURE]),
        ("a set that nobody knows", &[&other, first]),
    ];
    for (name, carried) in left {
        assert_eq!(avc().make(&packets(carried.iter().copied())), None, "{name}");
    }
}

#[test]
fn a_depayloader_is_done_with_a_picture_when_a_piece_of_it_comes_last() {
    let table: [(&str, Codec, &[u8], bool); 12] = [
        ("a piece", Codec::H264, &[0x61, 0x9a], true),
        ("a set", Codec::H264, PICTURE, false),
        ("what stands before a picture", Codec::H264, &[6, 5], false),
        ("a fragment of a piece", Codec::H264, &[0x7c, 0x45, 3], true),
        ("a fragment of a set", Codec::H264, &[0x7c, 0x47, 3], false),
        ("a set, and a piece", Codec::H264, &[24, 0, 1, 0x68, 0, 1, 0x65], true),
        ("a piece, and a set", Codec::H264, &[24, 0, 1, 0x65, 0, 1, 0x68], false),
        (
            "several that do not fit",
            Codec::H264,
            &[24, 0, 1, 0x65, 0, 9, 0x65],
            false,
        ),
        ("nothing", Codec::H264, &[], false),
        ("a piece of H.265", Codec::H265, &[19 << 1, 1, 0x80], true),
        (
            "a fragment of a set of H.265",
            Codec::H265,
            &[49 << 1, 1, 0x40 | 34],
            false,
        ),
        (
            "a set and a piece of H.265",
            Codec::H265,
            &[48 << 1, 1, 0, 2, 68, 1, 0, 2, 2, 1],
            true,
        ),
    ];
    for (name, codec, carried, is_done) in table {
        assert_eq!(completes(codec, carried), is_done, "{name}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_none() {
    assert_eq!(Form::read(Codec::H264, &[1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 5]), None);
    assert_eq!(
        Form::read(Codec::H264, &[1, 0x42, 0xc0, 0x1f, 0xfd, 0xe0, 0]),
        None,
        "lengths of two bytes"
    );
    let mut config = [0; 23];
    config[21] = 3;
    let form = Form::read(Codec::H265, &config).unwrap();
    assert_eq!(form.sets, Vec::<Bytes>::new());
    assert_eq!(Form::read(Codec::H265, &config[..22]), None);
}

#[test]
fn packets_come_out_as_they_went_in() {
    let carried: [&[u8]; 3] = [&[1, 2], &[], &[3]];
    let mut packets = packets(carried);
    assert_eq!((packets.len(), packets.count()), (39, 3));
    assert!(packets.iter().eq(carried.map(packet).iter()));
    packets.clear();
    assert!(packets.is_empty() && packets.iter().next().is_none());
}

proptest! {
    #[test]
    fn whatever_packets_carry_it_does_not_panic_and_lengths_add_up(
        carried in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(0x7c), Just(0x85), Just(0x45), Just(0), Just(4), any::<u8>()], 0..9), 0..7,
        ),
        config in proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()], 0..40),
    ) {
        let packets = packets(carried.iter().map(Vec::as_slice));
        for codec in [Codec::H264, Codec::H265] {
            let read = Form::read(codec, &config);
            let form = read.unwrap_or(Form { codec, sets: Vec::new() });
            let unit = form.make(&packets).map(|made| made.unit).unwrap_or_default();
            let mut rest = &unit[..];
            while let Some((length, after)) = rest.split_first_chunk() {
                rest = &after[u32::from_be_bytes(*length) as usize..];
            }
            prop_assert!(rest.is_empty());
            carried.iter().for_each(|carried| { let _ = (fragment(codec, carried), completes(codec, carried)); });
        }
    }
}
