//! `wirebook venues`: which venues there are, and what each can do.

use std::io::{self, BufWriter, Write};

use serde_json::{Map, Value};
use wirebook::venue::{self, PROFILES, Profile, Support};

use super::table::Table;
use super::{Failure, Venues};

/// Runs the command.
pub(crate) fn run(arguments: &Venues) -> Result<(), Failure> {
    let chosen: Vec<&'static Profile> =
        if arguments.venues.is_empty() { PROFILES.to_vec() } else { arguments.venues.clone() };
    let columns: Vec<_> = chosen.iter().map(|profile| venue::capabilities(profile)).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        let rows = |column: &[(&str, Support)]| {
            column
                .iter()
                .map(|(method, support)| ((*method).to_owned(), support.as_str().into()))
                .collect::<Map<_, _>>()
        };
        let all = chosen.iter().zip(&columns).map(|(profile, column)| (profile.id.to_owned(), rows(column).into()));
        writeln!(out, "{}", Value::Object(all.collect()))?;
    } else {
        let names: Vec<&str> = ["METHOD"].into_iter().chain(chosen.iter().map(|profile| profile.id)).collect();
        let mut table = Table::new(&names);
        let methods = columns.first().map_or(0, Vec::len);
        for at in 0..methods {
            let method = columns[0][at].0.to_owned();
            let cells = columns.iter().map(|column| match column[at].1 {
                Support::None => "-".to_owned(),
                other => other.as_str().to_owned(),
            });
            table.row([method].into_iter().chain(cells));
        }
        table.write(&mut out)?;
    }
    out.flush()?;
    Ok(())
}
