//! Before the answer.

use crate::sent::{
    MILLISECOND, Sender, Sent, application, body, is_refusal, options, others_run, pass, post,
    refusing,
};
use crate::support::starting;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame};
use http_body_util::Full;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{Phase, ReadinessLayer, gate::UnreadBody};

#[tokio::test(start_paused = true)]
async fn a_body_that_has_ended_does_not_make_the_answer_wait() {
    let service = refusing(UnreadBody::default()).layer(service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let response = service.oneshot(Request::post("/").body(String::new()).unwrap());
    let response = response.now_or_never().unwrap().unwrap();
    assert!(is_refusal(&response));
    assert!(options(&response).is_empty());
}

#[tokio::test(start_paused = true)]
async fn keep_alive_is_promised_once_the_body_has_ended() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (mut sender, body) = body();
    let mut call = task::spawn(service.call(post(body)));
    for _ in 0..3 {
        assert_pending!(call.poll());
        pass(200 * MILLISECOND).await;
        sender.send(10);
    }
    assert_pending!(call.poll());
    sender.end();
    let response = assert_ready_ok!(call.poll());
    assert!(is_refusal(&response));
    assert!(options(&response).is_empty());
    assert!(sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_is_answered_after_300_ms_with_close() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (sender, body) = body();
    let mut call = task::spawn(service.call(post(body)));
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    sender.send(10);
    pass(250 * MILLISECOND).await;
    assert_pending!(call.poll());
    pass(299 * MILLISECOND).await;
    assert_pending!(call.poll());
    pass(MILLISECOND).await;
    let response = assert_ready_ok!(call.poll());
    assert!(is_refusal(&response));
    assert_eq!(options(&response), ["close"]);
    assert!(!sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_answered_after_2_seconds_with_close() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (sender, body) = body();
    let begin = Instant::now();
    let mut call = task::spawn(service.call(post(body)));
    let response = loop {
        if let Poll::Ready(response) = call.poll() {
            break response.unwrap();
        }
        sender.send(1);
        pass(100 * MILLISECOND).await;
    };
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    assert_eq!(options(&response), ["close"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_always_there_is_answered_in_time_too() {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
        }
    }
    let layer = refusing(UnreadBody::builder().max_lingering(0).build().unwrap());
    let mut service = layer.layer(service_fn(async |_: Request<Endless>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let mut call = task::spawn(service.call(Request::new(Endless)));
    assert_pending!(call.poll());
    assert!(call.is_woken());
    pass(Duration::from_secs(2)).await;
    assert_eq!(options(&assert_ready_ok!(call.poll())), ["close"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_up_to_so_many_bytes_before_its_answer() {
    let mut service = refusing(UnreadBody::builder().drain_bytes(100).build().unwrap())
        .layer(service_fn(application));
    for (length, expected) in [(100, &[] as &[&str]), (101, &["close"])] {
        let (mut sender, body) = body();
        sender.send(length);
        sender.end();
        let response = service.call(post(body)).await.unwrap();
        assert_eq!(options(&response), expected, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_too_much_is_answered_first() {
    for (length, expected, polls_before) in [(100_u8, &[][..], 2), (101, &["close"][..], 0)] {
        let mut service = refusing(UnreadBody::builder().drain_bytes(100).build().unwrap())
            .layer(service_fn(application));
        let (mut sender, mut body) = body();
        body.length = Some(length.into());
        sender.send(length.into());
        sender.end();
        let mut call = task::spawn(service.call(post(body)));
        assert_eq!(options(&assert_ready_ok!(call.poll())), expected);
        assert_eq!(sender.polls(), polls_before);
        others_run().await;
        assert!(sender.is_dropped(), "it is read to its end");
        assert_eq!(sender.polls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_100_is_answered_without_asking_for_its_body() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (sender, body) = body();
    let mut request = post(body);
    let expect = header::HeaderValue::from_static("100-Continue");
    request.headers_mut().insert(header::EXPECT, expect);
    let mut call = task::spawn(service.call(request));
    let response = assert_ready_ok!(call.poll());
    assert_eq!(options(&response), ["close"]);
    // A layer outside may still be busy with the answer.
    pass(Duration::from_secs(1)).await;
    assert_eq!(sender.polls(), 0);
    drop(response);
    others_run().await;
    assert_ne!(sender.polls(), 0, "it lingers");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_ends_it() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (sender, broken) = body();
    sender.fail();
    let response = service.call(post(broken)).await.unwrap();
    assert_eq!(options(&response), ["close"]);
    assert!(sender.is_dropped());

    // Servers drop the future of a client that hung up.
    let (sender, body) = body();
    let mut call = task::spawn(service.call(post(body)));
    assert_pending!(call.poll());
    drop(call);
    assert!(sender.is_dropped());
}

fn http2(length: Option<u64>) -> (Sender, Request<Sent>) {
    let (sender, mut body) = body();
    body.length = length;
    let mut request = post(body);
    *request.version_mut() = Version::HTTP_2;
    (sender, request)
}

#[tokio::test(start_paused = true)]
async fn on_http2_a_body_that_is_on_its_way_is_read_before_the_answer() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (mut sender, request) = http2(Some(65_535));
    let mut call = task::spawn(service.call(request));
    assert_pending!(call.poll());
    sender.send(65_535);
    assert_pending!(call.poll());
    sender.end();
    let response = assert_ready_ok!(call.poll());
    assert!(is_refusal(&response));
    assert!(options(&response).is_empty());
    assert!(sender.is_dropped());

    let (sender, request) = http2(Some(5));
    let mut call = task::spawn(service.call(request));
    assert_pending!(call.poll());
    pass(300 * MILLISECOND).await;
    let response = assert_ready_ok!(call.poll(), "it sends less than it announced");
    assert!(options(&response).is_empty());
    assert!(sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn on_http2_any_other_body_is_left_to_the_server() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    for (length, expect) in [(None, ""), (Some(65_536), ""), (Some(5), "100-continue")] {
        let (sender, mut request) = http2(length);
        let headers = request.headers_mut();
        headers.insert(header::EXPECT, HeaderValue::from_static(expect));
        let response = service.call(request).now_or_never().unwrap().unwrap();
        assert!(options(&response).is_empty());
        assert_eq!(sender.polls(), 0, "{length:?} {expect}");
        assert!(sender.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn it_can_be_turned_off() {
    let mut service = refusing(UnreadBody::ignore()).layer(service_fn(application));
    let (sender, body) = body();
    let response = service.call(post(body)).now_or_never().unwrap().unwrap();
    assert!(options(&response).is_empty());
    assert_eq!(sender.polls(), 0);
    assert!(sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn close_is_added_to_the_header_of_a_responder() {
    let layer = refusing(UnreadBody::default()).respond_with(|_, _, mut response| {
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        let option = header::HeaderValue::from_static("keep-alive");
        response.headers_mut().insert(header::CONNECTION, option);
        response
    });
    let mut service = layer.layer(service_fn(application));
    let (sender, body) = body();
    let response = service.call(post(body)).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(options(&response), ["keep-alive", "close"]);
    assert!(!sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn close_is_said_once() {
    let (readiness, _storage) = starting();
    readiness.advance(Phase::Closed);
    let mut service = ReadinessLayer::new(&readiness).layer(service_fn(application));
    let (_sender, body) = body();
    let response = service.call(post(body)).await.unwrap();
    assert_eq!(options(&response), ["close"]);
}
