//! HTTP/2 from bytes (RFC 9113), as a client library would not write it.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The setting SETTINGS_INITIAL_WINDOW_SIZE.
pub(crate) const INITIAL_WINDOW: u16 = 4;

/// A frame, whatever its parts are.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The beginning of a connection, with these settings.
pub(crate) fn begin(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

/// The head of a request, as HPACK (RFC 7541): indexes of the static table and literals.
pub(crate) fn head(method: &str, path: &str) -> Vec<u8> {
    // :method GET or POST, and :scheme http.
    let mut block = vec![if method == "GET" { 0x82 } else { 0x83 }, 0x86];
    // :path and :authority, as literals without indexing.
    for (name, value) in [(4, path), (1, "localhost")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.bytes());
    }
    block
}

/// A header field of about `length` bytes, with a name of its own.
pub(crate) fn field(number: usize, length: usize) -> Vec<u8> {
    let (name, value) = (format!("x-{number:05}"), "v".repeat(length.min(100)));
    let mut block = vec![0, u8::try_from(name.len()).unwrap()];
    block.extend(name.bytes());
    block.push(u8::try_from(value.len()).unwrap());
    block.extend(value.bytes());
    block
}

/// The identifiers of the streams that a client opens.
pub(crate) fn streams() -> impl Iterator<Item = u32> {
    (1..i32::MAX as u32).step_by(2)
}
