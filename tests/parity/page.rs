//! The page, as a browser without scripts shows it.

use crate::{
    folder::Folder,
    history::{Column, subsystems},
    surfaces::{Surface, Verdicts, conditions, phases, serve, states},
};
use std::{
    collections::HashMap,
    io::{Read, Write},
    os::unix::net::UnixStream,
};
use tower_readiness::{Readiness, server::AdminServer};

pub struct Page {
    readiness: Readiness,
    /// Present once the browser has asked.
    admin: Option<(AdminServer, Folder)>,
}

impl Page {
    pub fn new(readiness: &Readiness) -> Self {
        Self {
            readiness: readiness.clone(),
            admin: None,
        }
    }

    fn html(&mut self) -> String {
        let serve = || serve(self.readiness.clone());
        let (_, folder) = self.admin.get_or_insert_with(serve);
        let mut stream = UnixStream::connect(folder.socket()).unwrap();
        let head = "GET / HTTP/1.0\r\naccept: text/html\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("content-type: text/html"), "{answer}");
        answer
    }
}

/// The text between two others.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    text.split_once(begin)?.1.split_once(end).map(|(it, _)| it)
}

/// The rows of a table by name.
fn rows<'t>(html: &'t str, id: &str) -> HashMap<&'t str, &'t str> {
    let table = between(html, &format!("<tbody id=\"{id}\">"), "</tbody>").unwrap();
    let rows = table.split("<tr>").skip(1);
    let named = |row| (between(row, "<th scope=\"row\">", "<").unwrap(), row);
    rows.map(named).collect()
}

fn state(row: &str) -> &str {
    between(row, "\">", "<").unwrap()
}

impl Surface for Page {
    fn verdicts(&mut self) -> Verdicts {
        let html = self.html();
        let data = |name: &str| between(&html, &format!(" data-{name}=\"",), "\"").unwrap();
        let fact =
            |name: &str| between(&html, &format!("<dt>{name}</dt><dd>"), "<").expect(name) == "yes";
        let is_ready = data("ready") == "true";
        let heading = between(&html, "<h1 id=\"verdict\">", "<").unwrap();
        assert_eq!(!heading.starts_with("not "), is_ready, "{heading}");
        assert_eq!(data("live") == "true", fact("Live"));
        let mut verdicts = vec![
            (Column::Started, fact("Started")),
            (Column::Live, fact("Live")),
            (Column::Ready(0), is_ready),
        ];
        verdicts.extend(phases(data("phase")));
        verdicts.extend(conditions(0, |it| data("condition") == it));
        let scope = state(rows(&html, "scopes")["scope"]);
        verdicts.extend(conditions(1, |it| scope == it));
        let shown = rows(&html, "rows");
        for (index, name) in subsystems() {
            let row = shown.get(name).copied();
            let is_simulated = row.is_some_and(|row| row.contains(", simulated</td>"));
            verdicts.push((Column::Simulated(index), is_simulated));
            verdicts.extend(states(index, row.map(state)));
        }
        verdicts
    }

    fn is_slow(&self) -> bool {
        true
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some((admin, _folder)) = &self.admin {
            admin.stop();
        }
    }
}
