//! Attacks with frames of HTTP/2.

use crate::{
    attack::{Attack, PAUSE},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW, PING, RST_STREAM,
        SETTINGS, WINDOW_UPDATE, begin, field, frame, head, setting, streams,
    },
};
use tokio::time::sleep;

/// The frames of a block of an attack.
const FRAMES: usize = 50;

const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

#[test]
fn probes_are_answered_while_peers_reset_each_stream_at_once() {
    Attack {
        name: "rapid reset",
        peers: 4,
        memory: 8 << 10,
        is_ended: true,
    }
    .on_both_ports(async |mut peer| {
        peer.write(&begin(&[])).await?;
        let (head, mut streams) = (head("GET", "/livez"), streams());
        let block = || {
            let streams = streams.by_ref().take(FRAMES);
            let flags = END_STREAM | END_HEADERS;
            let reset = streams.flat_map(|stream| {
                let mut frames = frame(HEADERS, flags, stream, &head);
                frames.extend(frame(RST_STREAM, 0, stream, &CANCEL));
                frames
            });
            Some(reset.collect())
        };
        peer.flood(block, true).await
    });
}

#[test]
fn probes_are_answered_while_heads_continue_without_end() {
    Attack {
        name: "CONTINUATION without end",
        peers: 4,
        memory: 8 << 10,
        is_ended: true,
    }
    .on_both_ports(async |mut peer| {
        peer.write(&begin(&[])).await?;
        let head = head("GET", "/livez");
        peer.write(&frame(HEADERS, END_STREAM, 1, &head)).await?;
        let mut number = 0;
        let block = || {
            number += 1;
            Some(frame(CONTINUATION, 0, 1, &field(number % 100_000, 100)))
        };
        peer.flood(block, true).await
    });
}

#[test]
fn probes_are_answered_while_empty_continuations_never_end() {
    Attack {
        name: "empty CONTINUATION without end",
        peers: 4,
        memory: 8 << 10,
        is_ended: true,
    }
    .on_both_ports(async |mut peer| {
        peer.write(&begin(&[])).await?;
        let head = head("GET", "/livez");
        peer.write(&frame(HEADERS, END_STREAM, 1, &head)).await?;
        let block = frame(CONTINUATION, 0, 1, &[]).repeat(FRAMES);
        peer.flood(|| Some(block.clone()), true).await
    });
}

#[test]
fn probes_are_answered_while_peers_flood_settings_and_read_nothing() {
    flood("SETTINGS", false, frame(SETTINGS, 0, 0, &setting(1, 4096)));
}

#[test]
fn probes_are_answered_while_peers_flood_settings() {
    flood(
        "SETTINGS, read",
        true,
        frame(SETTINGS, 0, 0, &setting(1, 4096)),
    );
}

#[test]
fn probes_are_answered_while_peers_flood_pings_and_read_nothing() {
    flood("PING", false, frame(PING, 0, 0, &[7; 8]));
}

#[test]
fn probes_are_answered_while_peers_flood_pings() {
    flood("PING, read", true, frame(PING, 0, 0, &[7; 8]));
}

fn flood(name: &'static str, reads: bool, frame: Vec<u8>) {
    let block = frame.repeat(FRAMES);
    Attack {
        name,
        peers: 4,
        memory: 8 << 10,
        is_ended: false,
    }
    .on_both_ports(move |mut peer| {
        let block = block.clone();
        async move {
            peer.write(&begin(&[])).await?;
            peer.flood(|| Some(block.clone()), reads).await
        }
    });
}

#[test]
fn probes_are_answered_while_peers_send_empty_data() {
    data("empty DATA", &[]);
}

#[test]
fn probes_are_answered_while_peers_send_data_of_one_byte() {
    data("DATA of a byte", &[0]);
}

/// Requests whose bodies consist of frames with this payload, to a handler that keeps them
/// without reading.
fn data(name: &'static str, payload: &'static [u8]) {
    Attack {
        name,
        peers: 4,
        memory: 8 << 10,
        is_ended: true,
    }
    .on_both_ports(async move |mut peer| {
        peer.write(&begin(&[])).await?;
        let head = head("POST", "/keep");
        peer.write(&frame(HEADERS, END_HEADERS, 1, &head)).await?;
        let block = frame(DATA, 0, 1, payload).repeat(FRAMES);
        peer.flood(|| Some(block.clone()), true).await
    });
}

#[test]
fn probes_are_answered_while_peers_open_no_window_for_their_answers() {
    Attack {
        name: "stalled windows",
        peers: 32,
        memory: 32 << 10,
        is_ended: false,
    }
    .on_both_ports(async |mut peer| {
        peer.write(&begin(&setting(INITIAL_WINDOW, 0))).await?;
        let (head, flags) = (head("GET", "/big"), END_STREAM | END_HEADERS);
        for stream in streams().take(200) {
            peer.write(&frame(HEADERS, flags, stream, &head)).await?;
        }
        // A byte of the window of each stream, now and then.
        loop {
            sleep(PAUSE).await;
            for stream in streams().take(200) {
                let one = 1_u32.to_be_bytes();
                peer.write(&frame(WINDOW_UPDATE, 0, stream, &one)).await?;
            }
        }
    });
}
