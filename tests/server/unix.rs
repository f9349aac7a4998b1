use crate::{
    SECRET, VERBOSE,
    addresses::errors,
    clients::Raw,
    detail::detail_of,
    support::{ready, soon},
};
use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net,
    },
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime,
};
use tower_readiness::{
    probe::Detail,
    server::{Address, AdminListener, ServeError},
};

const CHILD: &str = "TOWER_READINESS_TEST_CHILD";

/// A new folder, which is removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("readiness-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn get(path: &Path, uri: &str) -> (u16, String) {
    let stream = UnixStream::connect(path).await.unwrap();
    Raw::on(stream).get(uri).await
}

#[tokio::test]
async fn it_tells_all_and_is_gone_when_it_is_stopped() {
    let folder = Folder::new("stop");
    let path = folder.socket();
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    let text = format!("unix:{}", path.display());
    for on_thread in [false, true] {
        let server = if on_thread {
            readiness.serve_on_thread(&text).unwrap()
        } else {
            readiness.serve(&text).await.unwrap()
        };
        assert_eq!(server.local_addr().to_string(), text);
        let (status, body) = get(&path, VERBOSE).await;
        assert_eq!(status, 503);
        assert_eq!(detail_of(&body), Detail::Full);
        server.stop();
        soon(server.stopped()).await;
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_peer_whose_reason_is_too_long_gets_its_answer_whatever_it_still_sends() {
    let folder = Folder::new("long");
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).with_commands();
    let server = listener.serve_on_thread(folder.socket()).unwrap();
    let mut peer = UnixStream::connect(folder.socket()).await.unwrap();
    let head = "POST /commands/pause HTTP/1.1\r\nhost: localhost\r\ncontent-length: 65536\r\n\r\n";
    let (first, rest) = [b'x'; 65_536].split_at(8_192);
    soon(peer.write_all(&[head.as_bytes(), first].concat()))
        .await
        .unwrap();
    // The answer has arrived, and another connection was served since.
    soon(peer.readable()).await.unwrap();
    assert_eq!(get(&folder.socket(), "/livez").await.0, 200);
    soon(peer.write_all(rest)).await.unwrap();
    let mut answer = String::new();
    soon(peer.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("the reason is too long\n"), "{answer}");
    drop(server);
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_replaced() {
    let folder = Folder::new("stale");
    let path = folder.socket();
    let (readiness, _storage) = ready();
    drop(net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = readiness.serve(path.as_path()).await.unwrap();
    assert_eq!(get(&path, "/livez").await.0, 200);
    drop(server);
}

#[tokio::test]
async fn a_socket_with_a_listener_is_in_use() {
    let folder = Folder::new("live");
    let path = folder.socket();
    let (readiness, _storage) = ready();
    let _first = readiness.serve(path.as_path()).await.unwrap();
    for error in errors(&readiness, path.as_path()).await {
        let ServeError::Bind { address, source } = error else {
            panic!("{error}");
        };
        assert_eq!(address, Address::Unix(path.clone()));
        assert_eq!(source.kind(), ErrorKind::AddrInUse);
    }
    assert_eq!(get(&path, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_socket_of_another_kind_is_in_use() {
    let folder = Folder::new("datagram");
    let path = folder.socket();
    let (readiness, _storage) = ready();
    let datagrams = net::UnixDatagram::bind(&path).unwrap();
    for error in errors(&readiness, path.as_path()).await {
        assert!(
            matches!(&error, ServeError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse),
            "{error:?}"
        );
    }
    assert!(path.exists());
    drop(datagrams);
}

#[tokio::test]
async fn a_file_that_is_not_a_socket_is_left_alone() {
    let folder = Folder::new("file");
    let (readiness, _storage) = ready();
    let file = folder.0.join("file");
    fs::write(&file, "precious").unwrap();
    let stale = folder.0.join("stale");
    drop(net::UnixListener::bind(&stale).unwrap());
    let link = folder.0.join("link");
    symlink(&stale, &link).unwrap();
    let directory = folder.0.join("directory");
    fs::create_dir(&directory).unwrap();
    for path in [&file, &link, &directory] {
        for error in errors(&readiness, path.as_path()).await {
            assert!(
                matches!(&error, ServeError::NotASocket { address } if *address == Address::Unix(path.clone())),
                "{error:?}"
            );
        }
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    assert!(stale.exists() && link.is_symlink() && directory.is_dir());

    let nowhere = folder.0.join("nowhere/admin.sock");
    for error in errors(&readiness, nowhere).await {
        assert!(
            matches!(&error, ServeError::Bind { source, .. } if source.kind() == ErrorKind::NotFound),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn the_file_of_a_successor_is_left_alone() {
    let folder = Folder::new("successor");
    let path = folder.socket();
    let (readiness, _storage) = ready();
    let first = readiness.serve(path.as_path()).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _second = readiness.serve(path.as_path()).await.unwrap();
    first.stop();
    soon(first.stopped()).await;
    assert_eq!(get(&path, "/livez").await.0, 200);
}

#[test]
fn the_file_goes_with_the_runtime() {
    let folder = Folder::new("runtime");
    let (readiness, _storage) = ready();
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let path = folder.socket();
    let _server = runtime.block_on(readiness.serve(path.as_path())).unwrap();
    assert!(path.exists());
    drop(runtime);
    assert!(!path.exists());
}

#[test]
fn the_mode_is_restored_after_the_umask_where_the_file_is_surely_its_own() {
    // In a child process, because all threads of a process share its umask.
    if std::env::var_os(CHILD).is_some() {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        return runtime.block_on(with_umasks());
    }
    let test = "unix::the_mode_is_restored_after_the_umask_where_the_file_is_surely_its_own";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn with_umasks() {
    let own = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), Permissions::from_mode(0o777)).unwrap();
    let (readiness, _storage) = ready();
    for (umask, mode) in [(0, 0o600), (0, 0o666), (0o22, 0o666), (0o77, 0o660)] {
        rustix::process::umask(umask.into());
        let listener = || AdminListener::new(&readiness).socket_mode(mode);
        let path = own.path().join("admin.sock");
        let server = listener().serve(path.as_path()).await.unwrap();
        let found = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{umask:o}");
        server.stop();
        soon(server.stopped()).await;

        let path = shared.path().join("admin.sock");
        let outcome = listener().serve(path.as_path()).await;
        if mode & umask == 0 {
            // The file has this mode from the beginning, so no later chmod by path is needed.
            outcome.unwrap().stop();
        } else {
            assert!(
                matches!(outcome, Err(ServeError::SharedFolder { mode: told, .. }) if told == mode),
                "{outcome:?}"
            );
            assert!(!path.exists());
        }
    }
}

#[test]
fn a_socket_at_a_relative_path_is_found_from_another_folder() {
    // In a child process, because the test changes the working folder.
    if std::env::var_os(CHILD).is_some() {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        return runtime.block_on(in_a_folder_that_it_leaves());
    }
    let folder = Folder::new("relative");
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    let test = "unix::a_socket_at_a_relative_path_is_found_from_another_folder";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .current_dir(&folder.0)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn in_a_folder_that_it_leaves() {
    let folder = std::env::current_dir().unwrap();
    let path = folder.join("admin.sock");
    let (readiness, _storage) = ready();
    for text in ["unix:admin.sock", "unix:./admin.sock"] {
        std::env::set_current_dir(&folder).unwrap();
        let listener = AdminListener::new(&readiness).with_commands();
        let server = listener.serve(text).await.unwrap();
        std::env::set_current_dir("/").unwrap();
        assert_eq!(server.local_addr().to_string(), text);
        let mut owner = Raw::on(UnixStream::connect(&path).await.unwrap());
        owner
            .write("POST /commands/resume HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            .await;
        let answer = owner.response().await;
        assert_eq!(answer, (200, "was not paused\n".to_owned()));
        server.stop();
        soon(server.stopped()).await;
        assert!(!path.exists());
    }
}
