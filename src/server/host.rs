use http::{Request, header::HOST, uri::Authority};
use std::net::IpAddr;

/// Whether a request names a host that is not this machine's loopback.
///
/// A web page can make the name of its own site resolve to 127.0.0.1 (DNS
/// rebinding), and so read the answers of a loopback listener through a browser on
/// this machine. The browser still sends the name of that site, as `Host` or
/// `:authority`. Browsers always send one of them, so a request without either is
/// not foreign.
pub(super) fn is_foreign<B>(request: &Request<B>) -> bool {
    let in_uri = request.uri().authority().map(Authority::as_str);
    // A header value that is not text counts as foreign.
    let in_headers = request.headers().get_all(HOST).into_iter();
    in_uri
        .into_iter()
        .chain(in_headers.map(|host| host.to_str().unwrap_or("?")))
        .any(|host| !is_loopback(host))
}

/// Whether `host`, with or without a port, is a loopback address or a name that
/// resolves only to loopback addresses (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let (_, last_label) = name.rsplit_once('.').unwrap_or(("", name));
    last_label.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_the_loopback_interface_are_not_foreign() {
        for host in [
            "localhost",
            "LocalHost:28080",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.9.9.9:28080",
            "[::1]",
            "[::1]:28080",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "?",
            "evil.example",
            "evil.example:28080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "user@localhost.evil.example",
            "0.0.0.0:28080",
            "10.0.0.1",
            "[::]:28080",
            "[fe80::1]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn every_host_of_a_request_counts() {
        let asked = |uri: &str, hosts: &[&[u8]]| {
            let mut request = Request::get(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            is_foreign(&request.body(()).unwrap())
        };
        assert!(!asked("/statusz", &[]));
        assert!(!asked("/statusz", &[b"localhost"]));
        assert!(asked("/statusz", &[b"evil.example"]));
        assert!(asked("/statusz", &[b"localhost", b"evil.example"]));
        assert!(asked("/statusz", &[b"\xff"]));
        assert!(asked("http://evil.example/statusz", &[b"localhost"]));
        assert!(!asked("http://127.0.0.1:28080/statusz", &[]));
    }
}
