use super::table::Table;
use crate::state::{State, text::Thousands};
use std::fmt::{self, Write as _};

/// How many members of each state the summary names.
const NAMED: usize = 3;

/// Describes the members: `4,870 of 5,000 ready; 12 failing: a, b, c…; 118 starting`.
pub(super) fn summary(table: &Table, at_least: usize) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, table, at_least);
    text
}

fn write(text: &mut String, table: &Table, at_least: usize) -> fmt::Result {
    let counts = table.counts();
    let number = |count: usize| Thousands(count as u64);
    let (ready, total) = (number(counts.ready()), number(counts.total()));
    write!(text, "{ready} of {total} ready")?;
    if counts.ready() < at_least {
        write!(text, ", needs {}", number(at_least))?;
    }
    let down = [State::Dead, State::Failing, State::Stale];
    for state in down.into_iter().chain([State::Starting, State::Degraded]) {
        let count = counts.in_state(state);
        if count == 0 {
            continue;
        }
        write!(text, "; {} {state}", number(count))?;
        if down.contains(&state) {
            write_names(text, table, state, count)?;
        }
    }
    Ok(())
}

fn write_names(text: &mut String, table: &Table, state: State, count: usize) -> fmt::Result {
    let (mut next, mut named) = (Some(0), 0);
    while let Some(from) = next.filter(|_| named < NAMED) {
        next = table.next_in(Some(state), from, |_, member| {
            text.push_str(if named == 0 { ": " } else { ", " });
            text.push_str(&member.name);
            named += 1;
        });
    }
    text.write_str(if count > NAMED { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_first_members_that_are_down_are_named() {
        let (mut table, at) = (Table::default(), Instant::now());
        assert_eq!(summary(&table, 0), "0 of 0 ready");
        assert_eq!(summary(&table, 2), "0 of 0 ready, needs 2");
        for number in 0..1_005 {
            let slot = table.add(&format!("m-{number}"), at).unwrap();
            let state = match number {
                0..=3 => State::Failing,
                4..=6 => State::Dead,
                7 => State::Degraded,
                8 => continue,
                _ => State::Ready,
            };
            table.report(slot, state, None, at);
        }
        assert_eq!(
            summary(&table, 0),
            "997 of 1,005 ready; 3 dead: m-4, m-5, m-6; 4 failing: m-0, m-1, m-2…; 1 starting; \
             1 degraded"
        );
    }
}
