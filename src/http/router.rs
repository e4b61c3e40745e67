//! Every route on one screen.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, patch, post};

use super::app::App;
use super::guard::guard;
use super::problem::Problem;
use super::{
    cameras, clips, events, exports, footage, health, holds, media, metrics, mirror, refill, schedules, snapshot,
    storage, system, trial, trigger, web,
};

/// The whole of it. Served with the peer's address at hand: see [`super::serve`].
pub fn router(app: App) -> Router {
    let api = Router::new()
        .route("/cameras", get(cameras::list).post(cameras::add))
        .route(
            "/cameras/{id}",
            get(cameras::show).patch(cameras::change).delete(cameras::remove),
        )
        .route("/cameras/{id}/health", get(health::camera))
        .route("/cameras/{id}/test", post(trial::test))
        .route("/cameras/{id}/record-trigger", post(trigger::trigger))
        .route("/cameras/{id}/schedules", get(schedules::list).post(schedules::add))
        .route(
            "/schedules/{schedule}",
            get(schedules::show).patch(schedules::change).delete(schedules::remove),
        )
        .route("/cameras/{id}/snapshot", get(snapshot::snapshot))
        .route("/cameras/{id}/segments", get(footage::segments))
        .route("/cameras/{id}/timeline", get(footage::timeline))
        .route("/cameras/{id}/gaps", get(footage::gaps))
        .route("/cameras/{id}/recording-gaps", get(footage::kept_gaps))
        .route("/cameras/{id}/recording-gaps/{gap}/retry", post(footage::retry_gap))
        .route("/cameras/{id}/refill", post(refill::order))
        .route("/cameras/{id}/coverage", get(footage::coverage))
        .route("/cameras/{id}/days", get(footage::days))
        .route("/cameras/{id}/clip", post(clips::make))
        .route("/cameras/{id}/clip.mp4", get(clips::stream))
        .route("/clips", get(clips::list))
        .route("/clips/{clip}", get(clips::show).delete(clips::remove))
        .route("/clips/{clip}/manifest", get(clips::manifest))
        .route("/clips/{clip}/manifest.sig", get(clips::signature))
        .route("/exports", get(exports::list).post(exports::order))
        .route("/exports/{export}", get(exports::show).delete(exports::cancel))
        .route("/timeline", get(footage::lanes))
        .route("/holds", get(holds::list).post(holds::add))
        .route("/holds/{hold}", get(holds::show).delete(holds::remove))
        .route(
            "/segments/{segment}/evidence-lock",
            post(holds::hold_segment).delete(holds::release_segment),
        )
        .route("/segments/{segment}/incident", patch(holds::set_incident))
        .route("/incidents", get(holds::incidents))
        .route("/incidents/{incident}/segments", get(holds::incident_segments))
        .route("/health/cameras", get(health::cameras))
        .route("/events", get(events::list))
        .route("/system", get(storage::system))
        .route("/system/retention", get(storage::rules).put(storage::set_rules))
        .route("/system/public-key", get(system::public_key))
        .route("/system/mirror", get(mirror::show))
        .route("/system/mirror/verify", post(mirror::verify))
        .route("/system/mirror/restore", post(mirror::restore))
        .route("/system/mirror/replace", post(mirror::replace));
    Router::new()
        .nest("/api/v1", api)
        .route("/media/recordings/{id}/{file}", get(media::recording))
        .route("/media/clips/{file}", get(clips::file))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/", get(web::page))
        .route("/web/{file}", get(web::part))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_this_way)
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(say_how_to_take_it))
        .with_state(app)
}

async fn nowhere() -> Problem {
    Problem::not_found("there is nothing at this address")
}

async fn not_this_way(method: Method) -> Problem {
    Problem::method_not_allowed(&method)
}

/// What holds for every answer: take it for what it says it is, keep none of it, and no other page may have it.
async fn say_how_to_take_it(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
