use crate::{
    AttributeError, BuildError, ClaimError, DeclareError, MemberError, NameError, Quorum,
    ReconfigureError, RegistryClosed, SettingError, State, UnknownGroup, UnknownScope,
    UnknownSubsystem, WaitError,
    check::CheckHandleError,
    client::{Address, AddressError, CheckError, CommandError, ExchangeError},
    connections::ConnectionsError,
    drain::{ShutdownError, ShutdownTimeout},
    gate::RetryAfterError,
    notify::{grpc::AliasError, systemd::SystemdError},
    probe::{Probe, ProbesError},
    server::ServeError,
    testing::{Fault, FaultKind, SimulateError, WaitForError, WiringError},
    watch::WatchError,
};
use std::{error::Error, io, time::Duration};

/// Checks the message of each variant of an error: it has these parts, which are the
/// values of its fields and the remedy. Without a line for each variant it does not compile.
macro_rules! messages {
    ($($error:ident { $($variant:ident $fields:tt => $($part:literal),+;)+ })+) => { $({
        let _complete = |error: &$error| match error {
            $($error::$variant { .. } => (),)+
        };
        $(check(&$error::$variant $fields, &[$($part),+]);)+
    })+ };
}

#[track_caller]
fn check(error: &dyn Error, parts: &[&str]) {
    let mut chain = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    let message = chain.join(": ");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    for message in chain {
        assert!(message.len() <= 160, "{message:?} is long");
        assert!(!message.ends_with('.'), "{message:?} ends like a paragraph");
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn system() -> io::Error {
    io::Error::other("from the system")
}

fn twice() -> DeclareError {
    let name = text("storage");
    DeclareError::Duplicate { name }
}

fn unknown_scope() -> UnknownScope {
    UnknownScope {
        name: text("search"),
        known: text("\"index\""),
    }
}

fn unknown_subsystem() -> UnknownSubsystem {
    UnknownSubsystem {
        name: text("disk"),
        known: text("\"storage\""),
    }
}

fn address() -> Address {
    Address::Port(9_000)
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn messages_of_the_registry_name_the_value_and_the_remedy() {
    let out_of_bounds = || SettingError::OutOfBounds {
        what: "ttl",
        given: Duration::ZERO,
        least: SECOND,
        most: MINUTE,
    };
    let character = || NameError::Character { character: ' ' };
    messages! {
        NameError {
        Empty {} => "give it at least one character";
        TooLong { bytes: 129 } => "129", "at most 128";
        Character { character: ' ' } => "' '", "use only";
        Reserved {} => "choose another";
        }

        SettingError {
        OutOfBounds { what: "ttl", given: Duration::ZERO, least: SECOND, most: MINUTE }
            => "the ttl is 0ns", "give it 1s to 60s";
        LongTimeout { timeout: MINUTE, interval: SECOND } => "60s", "1s", "shorten";
        ShortBackOff { longest: SECOND, interval: MINUTE } => "1s", "60s", "longer";
        ShortTtl { ttl: SECOND, slowest: MINUTE } => "the ttl is 1s", "60s", "not shorter";
        Zero { what: "minimum" } => "the minimum is 0", "at least 1";
        Fraction { what: "jitter", given: 1.5 } => "the jitter is 1.5", "give it 0 to 1";
        ThresholdOrder { degraded: Quorum::Share(0.1), failing: Quorum::Members(9) }
            => "failing_below is 9 members", "degraded_below is 0.1", "not larger";
        TooManyMembers { what: "at_least", given: 1_001, most: 1_000 }
            => "at_least is 1001", "at most 1000", "give it fewer";
        }

        BuildError {
        Declaration (twice()) => "\"storage\"", "rename one";
        UnknownMember { scope: text("search"), member: text("index") }
            => "\"search\"", "\"index\"", "declare it";
        EmptyScope { scope: text("search") } => "\"search\"", "name at least one";
        LongHistory { transitions: 5_000, most: 4_096 } => "5000", "4096", "set fewer";
        NothingRequired {} => "call `allow_empty()`";
        NoChecksAtOnce {} => "checks_at_once is 0", "at least 1";
        }

        DeclareError {
        Name { name: text("a b"), source: character() } => "\"a b\"", "' '", "use only";
        Setting { name: text("storage"), source: out_of_bounds() }
            => "\"storage\"", "the ttl is 0ns", "give it";
        Duplicate { name: text("storage") } => "\"storage\"", "rename one";
        }

        ReconfigureError {
        Declaration (twice()) => "\"storage\"", "rename one";
        UnknownSubsystem (unknown_subsystem()) => "\"disk\"", "\"storage\"";
        UnknownScope (unknown_scope()) => "\"search\"", "there are: \"index\"";
        AlreadyMember { scope: text("search"), member: text("index") }
            => "\"search\"", "\"index\"", "leave it out";
        NotMember { scope: text("search"), member: text("index") }
            => "\"search\"", "\"index\"", "leave it out";
        Group { name: text("upstream") } => "\"upstream\"", "informative";
        EmptyScope { scope: text("search") } => "\"search\"", "add one";
        NothingRequired {} => "keep one", "allow_empty()";
        }

        ClaimError {
        Unknown (unknown_subsystem()) => "\"disk\"", "\"storage\"";
        Held { name: text("storage") } => "\"storage\"", "share it";
        LeftReady { name: text("storage") } => "\"storage\"", "keep its reporter";
        Group { name: text("upstream") } => "\"upstream\"", "claim its members";
        }

        MemberError {
        Name { name: text("a b"), source: character() } => "\"a b\"", "' '", "use only";
        Duplicate { name: text("a") } => "\"a\"", "claim it";
        Unknown { name: text("a") } => "\"a\"", "add it first";
        Held { name: text("a") } => "\"a\"", "share it";
        Full { name: text("a"), most: 1_000 } => "\"a\"", "1000", "retire another";
        }

        AttributeError {
        Key { key: text("a b"), source: character() } => "\"a b\"", "' '", "use only";
        TooMany { key: text("lag") } => "\"lag\"", "remove one";
        }

        WaitError {
        Draining {} => "draining";
        }

        CheckHandleError {
        Unknown (unknown_subsystem()) => "\"disk\"", "\"storage\"";
        Unchecked { name: text("disk") } => "\"disk\"", "Subsystem::check";
        }

        SimulateError {
        Unknown (unknown_subsystem()) => "\"disk\"", "\"storage\"";
        Ready {} => "let the reporter report it";
        }

        WiringError {
        NotReady { explanation: text("started, failing: storage failing") }
            => "storage failing", "report ready first";
        NothingRequired {} => "declare one";
        Path { path: text("late") } => "\"late\"", "begin it with a slash";
        Faults { faults: vec![Fault::for_test(FaultKind::GateUnderGate, "GET / while paused: 200")] }
            => "GET / while paused: 200", "keep only the outermost";
        }

        WaitForError {
        Unknown (unknown_subsystem()) => "\"disk\"", "\"storage\"";
        State {
            name: text("storage"),
            state: State::Ready,
            within: SECOND,
            explanation: text("storage failing (full)"),
        } => "storage is not ready within 1s", "full";
        Condition { within: SECOND, explanation: text("storage failing (full)") } => "1s", "full";
        }
    }
    let unknown = UnknownGroup {
        name: text("downstream"),
        known: text("\"upstream\""),
    };
    check(&unknown, &["\"downstream\"", "there are: \"upstream\""]);
    check(&RegistryClosed {}, &["closed"]);
}

#[test]
fn messages_of_layers_and_listeners_name_the_value_and_the_remedy() {
    let zero = || SettingError::Zero { what: "minimum" };
    messages! {
        RetryAfterError {
        Fraction { time: Duration::from_millis(1_500) } => "1.5s", "whole seconds";
        Reversed { earliest: MINUTE, latest: SECOND } => "60s", "1s", "the earlier time first";
        Long { time: Duration::from_secs(86_401) } => "86401s", "at most";
        }

        ProbesError {
        RelativePath { probe: Probe::Readiness, path: text("ready") }
            => "readiness", "\"ready\"", "begin it with `/`";
        MalformedPath { probe: Probe::Readiness, path: text("/?") }
            => "readiness", "\"/?\"", "use printable";
        TakenPath { probe: Probe::Status, path: text("/readyz"), taken_by: Probe::Readiness }
            => "status", "\"/readyz\"", "readiness", "choose another";
        }

        WatchError {
        Setting(zero()) => "the minimum is 0", "at least 1";
        Thresholds { degraded: 0.2, recovered: 0.4 } => "0.2", "0.4", "the second smaller";
        NoRuntime {} => "call `watch_runtime` on the runtime";
        AlreadyRunning { what: "traffic", source: twice() } => "the traffic", "watch it once";
        Thread(system()) => "more threads", "from the system";
        }

        ShutdownError {
        NoRuntime {} => "build it within one";
        Setting(zero()) => "the minimum is 0", "at least 1";
        ShortExtension { delay: MINUTE, up_to: SECOND } => "60s", "1s", "the delay or more";
        Signal { signal: 9, source: system() } => "signal 9", "choose one", "from the system";
        }

        ConnectionsError {
        Window { from: 0.9, to: 0.3 } => "0.9", "0.3", "the smaller first";
        Setting(zero()) => "the minimum is 0", "at least 1";
        }

        ServeError {
        Address(AddressError::Malformed { address: text("here") }) => "\"here\"", "give IP:PORT";
        Bind { address: address(), source: system() } => ":9000", "free", "from the system";
        NotASocket { address: address() } => ":9000", "choose another path";
        Setting(zero()) => "the minimum is 0", "at least 1";
        SocketMode { mode: 0o1_777 } => "1777", "at most 777";
        NamesHidden { setting: "metrics" } => "`metrics`", "set `detail`";
        SharedFolder { address: address(), mode: 0o660 } => ":9000", "660", "change the umask";
        NoRuntime {} => "`serve_on_thread`";
        Thread { address: address(), source: system() }
            => ":9000", "more threads", "from the system";
        }

        AliasError {
        Name { alias: text("a/b"), source: NameError::Character { character: '/' } }
            => "\"a/b\"", "'/'", "use only";
        Duplicate { alias: text("shop.Search") } => "\"shop.Search\"", "choose another";
        Unknown { alias: text("shop.Search"), service: text("serach"), known: text("\"search\"") }
            => "\"shop.Search\"", "\"serach\"", "there are: \"search\"";
        }

        SystemdError {
        Socket { socket: text("run") } => "\"run\"", "absolute path";
        LongSocket { bytes: 200, most: 107 } => "200", "at most 107";
        Vsock { socket: text("vsock:2") } => "\"vsock:2\"", "not supported";
        Watchdog { variable: "WATCHDOG_PID", value: text("x") }
            => "WATCHDOG_PID", "\"x\"", "greater than zero";
        Setting(zero()) => "the minimum is 0", "at least 1";
        AlreadyRunning {} => "call `notify_systemd` once";
        }
    }
    for (in_flight, part) in [(Some(3), "3 in flight"), (None, "no layer counts")] {
        let server_ended = in_flight.is_some();
        let timeout = ShutdownTimeout {
            in_flight,
            server_ended,
        };
        check(&timeout, &[part]);
    }
}

#[test]
fn messages_of_the_client_name_the_value_and_the_remedy() {
    let closed = || ExchangeError::ClosedEarly { address: address() };
    messages! {
        AddressError {
        Malformed { address: text("here") } => "\"here\"", "give IP:PORT";
        }

        ExchangeError {
        Connect { address: address(), source: system() }
            => ":9000", "is the process up", "from the system";
        NotASocket { address: address() } => ":9000", "not a socket";
        Timeout { address: address(), timeout: SECOND } => ":9000", "1s";
        ClosedEarly { address: address() } => ":9000";
        Broken { address: address(), source: system() } => ":9000", "from the system";
        NotHttp { address: address() } => ":9000", "TLS";
        Encoded { address: address() } => ":9000", "check the process itself";
        TooLong { address: address(), limit: 64 } => ":9000", "64";
        }

        CheckError {
        Exchange(closed()) => ":9000";
        InvalidName { setting: "scope", name: text(""), reason: NameError::Empty }
            => "scope", "\"\"", "give it at least";
        TooManyExcluded { count: 65, most: 64 } => "65", "at most 64";
        Redirect { address: address(), status: 301, location: text("/login") }
            => ":9000", "301", "\"/login\"", "check the address";
        NotAProbe { address: address(), path: text("/readyz"), status: 200 }
            => ":9000", "/readyz", "200", "is it the right port";
        UnknownScope { address: address(), name: text("search") } => ":9000", "\"search\"";
        UnknownExclude { address: address(), names: vec![text("a"), text("b")] }
            => ":9000", "a, b";
        NoDetails { address: address() } => ":9000", "ask the admin listener";
        Refused { address: address(), answer: text("no such name") } => ":9000", "no such name";
        }

        CommandError {
        Exchange(closed()) => ":9000";
        NotTaken { address: address(), status: 404 } => ":9000", "404", "`with_commands`";
        Refused { address: address(), answer: text("closing") } => ":9000", "closing";
        }
    }
}
