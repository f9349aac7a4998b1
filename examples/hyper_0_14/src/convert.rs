//! Between the types of `http` 0.2, which hyper 0.14 has, and those of `http` 1.

use crate::body::InFlightBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

/// An error of either `http`.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The headers that the gate and the probes read. Predicates of the layer may need more.
const READ: [http::HeaderName; 2] = [http::header::ACCEPT, http::header::CONTENT_TYPE];

/// Copies a head without its body, and of its headers only those that are read.
pub fn head_of<B>(request: &hyper::Request<B>) -> Result<http::Request<String>, Error> {
    let mut head = http::Request::builder()
        .method(request.method().as_str())
        .uri(request.uri().to_string())
        .version(match request.version() {
            hyper::Version::HTTP_10 => http::Version::HTTP_10,
            hyper::Version::HTTP_2 => http::Version::HTTP_2,
            _ => http::Version::HTTP_11,
        });
    for name in READ {
        for value in request.headers().get_all(name.as_str()) {
            head = head.header(&name, value.as_bytes());
        }
    }
    Ok(head.body(String::new())?)
}

/// Copies the response of a probe or a refusal.
pub async fn response_of(
    response: http::Response<Full<Bytes>>,
) -> Result<hyper::Response<InFlightBody>, Error> {
    let (head, body) = response.into_parts();
    let mut response = hyper::Response::builder().status(head.status.as_u16());
    for (name, value) in &head.headers {
        response = response.header(name.as_str(), value.as_bytes());
    }
    let Ok(body) = body.collect().await;
    let body = InFlightBody::new(body.to_bytes().into(), None);
    Ok(response.body(body)?)
}
