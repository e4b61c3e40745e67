//! What the ONVIF service says: device, search and replay, as far as a recorder asks for them.

use std::sync::atomic::Ordering;

use chrono::{Datelike, Timelike};

use crate::model::Timestamp;

use super::super::options::VideoCodec;
use super::conduct::Misbehaviour;
use super::form::{RECORDING, REPLAY_PATH};
use super::message::Answer;
use super::service::DEVICE_PATH;
use super::vault::Vault;
use super::xml;

const SEARCH_PATH: &str = "/onvif/search_service";
const REPLAY_SERVICE_PATH: &str = "/onvif/replay_service";
const DEVICE: &str = "http://www.onvif.org/ver10/device/wsdl";
const SEARCH: &str = "http://www.onvif.org/ver10/search/wsdl";
const REPLAY: &str = "http://www.onvif.org/ver10/replay/wsdl";
const KIND: &str = "application/soap+xml; charset=utf-8";
const TRACK: &str = "VIDEO_1";
const SEARCH_TOKEN: &str = "SEARCH_1";

/// Answers one operation. `host` is how the client calls this camera.
pub(super) fn answer(operation: &str, message: &str, host: &str, vault: &Vault) -> Answer {
    let said = match operation {
        "GetSystemDateAndTime" => date_and_time(vault),
        "GetServices" => services(host),
        "GetCapabilities" => capabilities(host),
        "GetDeviceInformation" => device_information(),
        "FindRecordings" => format!(
            "<tse:FindRecordingsResponse><tse:SearchToken>{SEARCH_TOKEN}</tse:SearchToken></tse:FindRecordingsResponse>"
        ),
        "GetRecordingSearchResults" => match xml::text_of(message, "SearchToken").as_deref() {
            Some(SEARCH_TOKEN) => search_results(vault),
            _ => return wrong("ter:InvalidToken", "there is no such search"),
        },
        "EndSearch" => format!(
            "<tse:EndSearchResponse><tse:Endpoint>{}</tse:Endpoint></tse:EndSearchResponse>",
            write(vault.clock.now())
        ),
        "GetRecordingSummary" => summary(vault),
        "GetRecordingInformation" | "GetReplayUri"
            if xml::text_of(message, "RecordingToken").as_deref() != Some(RECORDING) =>
        {
            return wrong("ter:InvalidToken", "there is no such recording");
        }
        "GetRecordingInformation" => format!(
            "<tse:GetRecordingInformationResponse>{}</tse:GetRecordingInformationResponse>",
            recording(vault)
        ),
        "GetReplayUri" => replay_uri(host, vault),
        _ => return wrong("ter:ActionNotSupported", "this camera does not do that"),
    };
    Answer::ok().with_body(KIND, envelope(&said))
}

/// A SOAP fault.
pub(super) fn fault(status: &'static str, code: &str, detail: &str, reason: &str) -> Answer {
    let body = fault_text(code, detail, reason);
    Answer::new(status).with_body(KIND, body)
}

/// The fault of those who are not admitted, over an answer that asks for a login.
pub(super) fn not_authorised(ask: Answer) -> Answer {
    let text = fault_text("s:Sender", "ter:NotAuthorized", "sender not authorized");
    ask.with_body(KIND, text)
}

fn wrong(detail: &str, reason: &str) -> Answer {
    fault("400 Bad Request", "s:Sender", detail, reason)
}

fn fault_text(code: &str, detail: &str, reason: &str) -> String {
    let reason = xml::escape(reason);
    envelope(&format!(
        "<s:Fault><s:Code><s:Value>{code}</s:Value><s:Subcode><s:Value>{detail}</s:Value></s:Subcode></s:Code>\
         <s:Reason><s:Text xml:lang=\"en\">{reason}</s:Text></s:Reason></s:Fault>"
    ))
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:tds=\"{DEVICE}\" \
         xmlns:tse=\"{SEARCH}\" xmlns:trp=\"{REPLAY}\" xmlns:tt=\"http://www.onvif.org/ver10/schema\" \
         xmlns:ter=\"http://www.onvif.org/ver10/error\"><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn write(time: Timestamp) -> String {
    time.to_string()
}

fn date_and_time(vault: &Vault) -> String {
    let now = vault.clock.now();
    let local = now.offset(i64::from(vault.zone_minutes) * 60_000_000_000);
    let [utc, local] = [("UTC", now), ("Local", local)].map(|(name, time)| {
        let time = time.to_utc();
        format!(
            "<tt:{name}DateTime><tt:Time><tt:Hour>{}</tt:Hour><tt:Minute>{}</tt:Minute><tt:Second>{}</tt:Second>\
             </tt:Time><tt:Date><tt:Year>{}</tt:Year><tt:Month>{}</tt:Month><tt:Day>{}</tt:Day></tt:Date>\
             </tt:{name}DateTime>",
            time.hour(),
            time.minute(),
            time.second(),
            time.year(),
            time.month(),
            time.day()
        )
    });
    format!(
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>\
         <tt:DaylightSavings>false</tt:DaylightSavings>{utc}{local}</tds:SystemDateAndTime>\
         </tds:GetSystemDateAndTimeResponse>"
    )
}

fn services(host: &str) -> String {
    let services = [
        (DEVICE, DEVICE_PATH),
        (SEARCH, SEARCH_PATH),
        (REPLAY, REPLAY_SERVICE_PATH),
    ]
    .map(|(space, path)| {
        format!(
            "<tds:Service><tds:Namespace>{space}</tds:Namespace><tds:XAddr>http://{host}{path}</tds:XAddr>\
             <tds:Version><tt:Major>2</tt:Major><tt:Minor>60</tt:Minor></tds:Version></tds:Service>"
        )
    });
    format!(
        "<tds:GetServicesResponse>{}</tds:GetServicesResponse>",
        services.concat()
    )
}

fn capabilities(host: &str) -> String {
    format!(
        "<tds:GetCapabilitiesResponse><tds:Capabilities>\
         <tt:Device><tt:XAddr>http://{host}{DEVICE_PATH}</tt:XAddr></tt:Device><tt:Extension>\
         <tt:Search><tt:XAddr>http://{host}{SEARCH_PATH}</tt:XAddr><tt:MetadataSearch>false</tt:MetadataSearch></tt:Search>\
         <tt:Replay><tt:XAddr>http://{host}{REPLAY_SERVICE_PATH}</tt:XAddr></tt:Replay>\
         </tt:Extension></tds:Capabilities></tds:GetCapabilitiesResponse>"
    )
}

fn device_information() -> String {
    format!(
        "<tds:GetDeviceInformationResponse><tds:Manufacturer>camkeep</tds:Manufacturer><tds:Model>demo camera</tds:Model>\
         <tds:FirmwareVersion>{}</tds:FirmwareVersion><tds:SerialNumber>1</tds:SerialNumber>\
         <tds:HardwareId>demo</tds:HardwareId></tds:GetDeviceInformationResponse>",
        env!("CARGO_PKG_VERSION")
    )
}

/// From and to when there is footage, as the camera tells it.
fn told_extent(vault: &Vault) -> Option<[String; 2]> {
    let extent = vault.shelf.extent()?;
    let is_empty = vault.conduct.does(Misbehaviour::Nothing);
    (!is_empty).then(|| [extent.start, extent.end].map(|time| write(vault.clock.tell(time))))
}

fn recording(vault: &Vault) -> String {
    let Some([from, to]) = told_extent(vault) else {
        return String::new();
    };
    let codec = match vault.codec {
        VideoCodec::H264 => "H264",
        VideoCodec::H265 => "H265",
    };
    let title = xml::escape(&vault.title);
    format!(
        "<tt:RecordingInformation><tt:RecordingToken>{RECORDING}</tt:RecordingToken><tt:Source>\
         <tt:SourceId>SOURCE_1</tt:SourceId><tt:Name>{title}</tt:Name><tt:Location></tt:Location>\
         <tt:Description>{codec}</tt:Description><tt:Address></tt:Address></tt:Source>\
         <tt:EarliestRecording>{from}</tt:EarliestRecording><tt:LatestRecording>{to}</tt:LatestRecording>\
         <tt:Content>continuous</tt:Content><tt:Track><tt:TrackToken>{TRACK}</tt:TrackToken>\
         <tt:TrackType>Video</tt:TrackType><tt:Description></tt:Description><tt:DataFrom>{from}</tt:DataFrom>\
         <tt:DataTo>{to}</tt:DataTo></tt:Track><tt:RecordingStatus>Recording</tt:RecordingStatus>\
         </tt:RecordingInformation>"
    )
}

fn search_results(vault: &Vault) -> String {
    format!(
        "<tse:GetRecordingSearchResultsResponse><tse:ResultList><tt:SearchState>Completed</tt:SearchState>{}\
         </tse:ResultList></tse:GetRecordingSearchResultsResponse>",
        recording(vault)
    )
}

fn summary(vault: &Vault) -> String {
    let now = write(vault.clock.now());
    let (number, [from, to]) = match told_extent(vault) {
        Some(extent) => (1, extent),
        None => (0, [now.clone(), now]),
    };
    format!(
        "<tse:GetRecordingSummaryResponse><tse:Summary><tt:DataFrom>{from}</tt:DataFrom><tt:DataUntil>{to}</tt:DataUntil>\
         <tt:NumberRecordings>{number}</tt:NumberRecordings></tse:Summary></tse:GetRecordingSummaryResponse>"
    )
}

fn replay_uri(host: &str, vault: &Vault) -> String {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let port = vault.rtsp_port.load(Ordering::SeqCst);
    format!("<trp:GetReplayUriResponse><trp:Uri>rtsp://{name}:{port}{REPLAY_PATH}</trp:Uri></trp:GetReplayUriResponse>")
}
