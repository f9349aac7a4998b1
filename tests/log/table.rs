//! The table of events in the guide is that of the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The levels and the fields of each event.
type Events = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

/// Splits the arguments of a macro up to its closing parenthesis at the commas.
fn arguments(source: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for c in source.chars() {
        let is_quote = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        in_string ^= is_quote;
        if !in_string {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    arguments.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        arguments.last_mut().unwrap().push(c);
    }
    let arguments = arguments.iter().map(|argument| argument.trim().to_owned());
    arguments.filter(|argument| !argument.is_empty()).collect()
}

fn in_the_code(folder: &Path) -> Events {
    let (mut events, mut files) = (Events::new(), Vec::new());
    sources(folder, &mut files);
    for file in files {
        if file.ends_with("src/log.rs") {
            continue; // It defines `line!` by `event!`.
        }
        let source = fs::read_to_string(file).unwrap();
        let lines = source.match_indices("log::line!(");
        for (at, call) in source.match_indices("event!(").chain(lines) {
            // `macro_rules! event` has another bracket, and comments no level.
            let arguments = arguments(&source[at + call.len()..]);
            let [level, name, _span_or_values, fields @ ..] = &*arguments else {
                panic!("{arguments:?}");
            };
            let (levels, known) = events.entry(name.trim_matches('"').to_owned()).or_default();
            levels.insert(level.clone());
            let fields = fields.iter().filter(|field| !field.starts_with('"'));
            known.extend(fields.map(|field| {
                let field = field.split(" = ").next().unwrap();
                field.trim_start_matches(['%', '?']).to_owned()
            }));
        }
    }
    events
}

fn in_the_guide(page: &str) -> Events {
    let cell = |text: &str| -> BTreeSet<String> {
        let items = text.split(',').map(|item| item.trim().trim_matches('`'));
        items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let events = rows.map(|row| {
        let [name, levels, fields, ..] = &*row.split('|').collect::<Vec<_>>() else {
            panic!("{row}");
        };
        let name = name.trim().trim_end_matches('`').to_owned();
        (name, (cell(levels), cell(fields)))
    });
    events.collect()
}

#[test]
fn the_guide_lists_the_events_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let page = fs::read_to_string(folder.join("guide/log.rs")).unwrap();
    let code = in_the_code(&folder);
    assert!(code.len() > 30, "{code:?}");
    assert_eq!(in_the_guide(&page), code);
}
