use crate::{outcome, readiness, run};

#[test]
fn wrong_usage_exits_with_64_and_names_the_argument() {
    for (arguments, says) in [
        (&[][..], "check, watch, pause"),
        (&["chekc"], "chekc"),
        (&["check", "--redy"], "--redy"),
        (&["check", "-x"], "-x"),
        (&["check", "localhost:1"], "no host name"),
        (&["check", "127.0.0.1"], "127.0.0.1"),
        (&["check", "127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:2"),
        (&["check", "127.0.0.1:1", "--addr", "127.0.0.1:2"], "--addr"),
        (&["check", "--timeout"], "--timeout"),
        (&["check", "--timeout", "0"], "--timeout"),
        (&["check", "--timeout", "-1"], "--timeout"),
        (&["check", "--timeout", "1e3"], "--timeout"),
        (&["check", "--timeout", "."], "--timeout"),
        (&["check", "--timeout", "86401"], "--timeout"),
        (
            &["check", "--timeout", "99999999999999999999999"],
            "--timeout",
        ),
        (&["check", "--ready", "--live"], "--live"),
        (&["check", "--scope", "a", "--scope", "b"], "--scope once"),
        (&["check", "--scope", "a", "--startup"], "--startup"),
        (&["check", "--scope", "a b"], "a b"),
        (&["check", "--scope", ""], "at least one"),
        (&["check", "--exclude", "a/../b"], "a/../b"),
        (&["check", "--exclude"], "--exclude"),
        (&["check", "--ready=yes"], "--ready"),
        (&["check", "--wait"], "--wait"),
        (&["watch", "--ready"], "watch"),
        (&["watch", "--timeout", "3"], "--timeout"),
        (&["watch", "127.0.0.1:1", "--addr", "127.0.0.1:2"], "--addr"),
        (&["watch", "nowhere"], "nowhere"),
        (&["pause", "--ready", "--addr", "/x"], "pause"),
        (&["pause"], "unix socket"),
        (&["resume", "--addr", "127.0.0.1:1"], "unix socket"),
        (&["resume", "now", "--addr", "/x"], "now"),
        (&["drain", "now", "--addr", "/x"], "now"),
        (&["drain", "--wait", "--json", "--addr", "/x"], "drain"),
    ] {
        let (code, out, err) = outcome(&mut readiness(arguments));
        assert_eq!((code, &*out), (64, ""), "{arguments:?}");
        assert!(err.contains(says), "{arguments:?}: {err}");
        assert!(err.contains("--help"), "{err}");
    }
    let excludes = ["check", "--exclude=a"].iter().copied();
    let many: Vec<_> = excludes.chain(["--exclude=a"; 64]).collect();
    assert_eq!(outcome(&mut readiness(&many)).0, 64);
}

#[test]
fn help_and_version_exit_with_0() {
    for arguments in [&["--help"][..], &["-h"], &["check", "--help"]] {
        let (code, out) = run(arguments);
        assert_eq!(code, 0);
        assert!(out.contains("readiness check [ADDR]"), "{out}");
        let (for_all, others) = out.split_once("Options of all but watch:").unwrap();
        assert!(!for_all.contains("--timeout") && others.contains("--timeout"));
    }
    let (code, out) = run(&["--version"]);
    assert_eq!(code, 0);
    assert_eq!(out, format!("readiness {}\n", env!("CARGO_PKG_VERSION")));
}
