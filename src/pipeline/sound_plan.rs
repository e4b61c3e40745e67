//! Which pipeline makes a camera's sound fit for a file, by what the camera says of it.

use gstreamer as gst;

use super::template::Filling;

/// Encoders of AAC, the best known first, each with the samples by which what it makes is late.
const ENCODERS: [(&str, i64); 2] = [("voaacenc", 1600), ("avenc_aac", 1024)];

/// How sound is made fit for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) pipeline: &'static str,
    pub(super) filling: Filling,
    /// By how much it comes out late, ns.
    pub(super) late: i64,
}

/// How the sound of these caps is made fit for a file, or why it cannot be.
pub(super) fn plan(caps: &gst::CapsRef) -> Result<Plan, String> {
    let structure = caps.structure(0).ok_or("the camera does not say what its sound is")?;
    let payload = structure.get::<i32>("payload").unwrap_or(-1);
    // The numbers below 96 have had their meaning since RFC 3551, and cameras leave the name out.
    let name = match structure.get::<&str>("encoding-name") {
        Ok(name) => name.to_ascii_uppercase(),
        Err(_) => match payload {
            0 => "PCMU".to_owned(),
            8 => "PCMA".to_owned(),
            10 | 11 => "L16".to_owned(),
            _ => format!("number {payload}"),
        },
    };
    let rate = structure.get::<i32>("clock-rate").unwrap_or(8000);
    match name.as_str() {
        "MPEG4-GENERIC" => Ok(as_it_is("sound-aac", Some("mp4g"))),
        "MP4A-LATM" => Ok(as_it_is("sound-aac", Some("mp4a"))),
        "OPUS" | "X-GST-OPUS-DRAFT-SPITTKA-00" => Ok(as_it_is("sound-opus", None)),
        "PCMU" => Ok(as_aac("sound-pcmu", rate)),
        "PCMA" => Ok(as_aac("sound-pcma", rate)),
        "L16" => Ok(as_aac("sound-l16", rate)),
        name if name.contains("G726") => Ok(as_aac("sound-g726", rate)),
        name => Err(format!(
            "it sends sound as {name}, which cannot be recorded; set it to AAC or G.711"
        )),
    }
}

fn as_it_is(pipeline: &'static str, depay: Option<&str>) -> Plan {
    let holes = depay.map(|depay| ("depay".to_owned(), depay.to_owned()));
    Plan {
        pipeline,
        filling: holes.into_iter().collect(),
        late: 0,
    }
}

fn as_aac(samples: &str, rate: i32) -> Plan {
    let is_there = |(encoder, _): &&(&str, i64)| gst::ElementFactory::find(encoder).is_some();
    // When there is none at all, building it says which package has the first.
    let (encoder, late) = ENCODERS.iter().find(is_there).unwrap_or(&ENCODERS[0]);
    let rate = if rate > 16_000 { 48_000 } else { 16_000 };
    let holes = [
        ("samples", samples.to_owned()),
        ("rate", rate.to_string()),
        ("encoder", (*encoder).to_owned()),
    ];
    Plan {
        pipeline: "sound-other",
        filling: holes
            .into_iter()
            .map(|(hole, value)| (hole.to_owned(), value))
            .collect(),
        late: late * 1_000_000_000 / rate,
    }
}

/// No packet of any codec lasts longer, in nanoseconds: the longest is one of HE-AAC of 8000 samples a second.
const LONGEST: u64 = 300_000_000;

/// How long a packet lasts: as it is told, where that can be, or the 1024 samples that one of AAC has. GStreamer 1.26 reckons what
/// it tells from the timestamps of packets, which may be anything.
pub(super) fn packet_length(told: Option<u64>, caps: &gst::CapsRef) -> Option<u64> {
    if told.is_some_and(|told| (1..=LONGEST).contains(&told)) {
        return told;
    }
    let structure = caps.structure(0).filter(|structure| structure.name() == "audio/mpeg")?;
    let rate = structure
        .get::<i32>("rate")
        .ok()
        .and_then(|rate| u64::try_from(rate).ok())?;
    1_024_000_000_000u64.checked_div(rate)
}
