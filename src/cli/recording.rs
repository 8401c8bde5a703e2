//! Recordings on disk: one JSON object a line, one file for each connection, plain or gzip.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use wirebook::decimal::parse_round;
use wirebook::json::{Cursor, JsonError};

use super::Failure;

/// The longest line that is read. Lists of all markets have some ten megabytes.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// One line of a recording.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// Unix time in seconds, as it stands there.
    pub(crate) time: String,
    /// The same in nanoseconds.
    pub(crate) time_ns: i64,
    /// The connection: `ws.N`, `http.N` or `symbols`.
    pub(crate) conn: String,
    /// `in` for received, `out` for sent.
    pub(crate) dir: String,
    /// `open`, `text`, `binary` or `http`.
    pub(crate) kind: String,
    /// The address of `open` and `http`.
    pub(crate) url: String,
    /// The payload.
    pub(crate) data: String,
}

/// Why a line could not be used.
#[derive(Debug)]
pub(crate) enum LineError {
    /// It is not JSON, or not what a line has to be.
    Json(JsonError),
    /// A member is missing.
    Missing(&'static str),
    /// The time makes no sense.
    Time(String),
    /// It is longer than [`LINE_BYTES_MAX`].
    TooLong,
    /// It is not UTF-8.
    Utf8,
    /// The file cannot be read any further.
    Io(std::io::Error),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Json(error) => write!(f, "not a line of a recording: {error}"),
            LineError::Missing(name) => write!(f, "not a line of a recording: no member {name:?}"),
            LineError::Time(text) => write!(f, "{text:?} is no Unix time in seconds"),
            LineError::TooLong => write!(f, "longer than {LINE_BYTES_MAX} bytes"),
            LineError::Utf8 => f.write_str("not UTF-8"),
            LineError::Io(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl Line {
    /// Reads one line into this.
    ///
    /// # Errors
    /// What is wrong with it; the content is undefined then.
    pub(crate) fn read(&mut self, text: &[u8]) -> Result<(), LineError> {
        for part in [&mut self.time, &mut self.conn, &mut self.dir, &mut self.kind, &mut self.url, &mut self.data] {
            part.clear();
        }
        let (mut has_time, mut has_data) = (false, false);
        let mut c = Cursor::new(text);
        c.object(|c, key| match key {
            b"t" => {
                has_time = true;
                self.time.push_str(&String::from_utf8_lossy(c.number_text()?));
                Ok(())
            }
            b"conn" => c.string(&mut self.conn),
            b"dir" => c.string(&mut self.dir),
            b"kind" => c.string(&mut self.kind),
            b"url" => c.string(&mut self.url),
            b"data" => {
                has_data = true;
                c.string(&mut self.data)
            }
            _ => c.skip(),
        })
        .and_then(|()| c.finish())
        .map_err(LineError::Json)?;
        let members = [
            ("t", has_time),
            ("conn", !self.conn.is_empty()),
            ("dir", !self.dir.is_empty()),
            ("kind", !self.kind.is_empty()),
            ("data", has_data),
        ];
        if let Some((name, _)) = members.iter().find(|(_, there)| !there) {
            return Err(LineError::Missing(name));
        }
        match parse_round(self.time.as_bytes(), 9) {
            Ok(ns) if ns >= 0 => self.time_ns = ns,
            _ => return Err(LineError::Time(self.time.clone())),
        }
        Ok(())
    }
}

/// Reads the lines of one file.
pub(crate) struct Reader {
    /// The file as it was named, for messages.
    pub(crate) name: Rc<str>,
    /// The number of the line that came last, from 1.
    pub(crate) line: u64,
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    broken: bool,
}

impl Reader {
    /// Opens a file; one whose name ends in `.gz` is unpacked.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn open(path: &Path) -> Result<Reader, Failure> {
        let file = File::open(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let reader: Box<dyn BufRead> = if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        Ok(Reader::over(path.display().to_string(), reader))
    }

    /// Reads from anything.
    pub(crate) fn over(name: String, reader: Box<dyn BufRead>) -> Reader {
        Reader { name: name.into(), line: 0, reader, buffer: Vec::new(), broken: false }
    }

    /// Goes on to the next line that is not empty.
    ///
    /// # Errors
    /// [`LineError::TooLong`], [`LineError::Io`]; nothing comes after these.
    pub(crate) fn advance(&mut self) -> Option<Result<(), LineError>> {
        loop {
            if self.broken {
                return None;
            }
            self.buffer.clear();
            self.line += 1;
            match (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.buffer) {
                Ok(0) => return None,
                Ok(count) if count as u64 == LINE_BYTES_MAX => {
                    self.broken = true;
                    return Some(Err(LineError::TooLong));
                }
                Ok(_) if self.buffer.trim_ascii().is_empty() => {}
                Ok(_) => return Some(Ok(())),
                Err(error) => {
                    self.broken = true;
                    return Some(Err(LineError::Io(error)));
                }
            }
        }
    }

    /// The line that came last, without its end.
    pub(crate) fn text(&self) -> &[u8] {
        self.buffer.trim_ascii()
    }

    /// Reads the next line into `line`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn next(&mut self, line: &mut Line) -> Option<Result<(), LineError>> {
        if let Err(error) = self.advance()? {
            return Some(Err(error));
        }
        if std::str::from_utf8(self.text()).is_err() {
            return Some(Err(LineError::Utf8));
        }
        Some(line.read(self.text()))
    }
}

/// The files of a recording by what they hold.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// WebSocket connections, by name.
    pub(crate) sockets: Vec<(String, PathBuf)>,
    /// Answers to requests.
    pub(crate) answers: Vec<PathBuf>,
    /// Lists of markets.
    pub(crate) symbols: Vec<PathBuf>,
}

impl Recording {
    /// Finds the files behind the arguments.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(crate) fn find(paths: &[PathBuf]) -> Result<Recording, Failure> {
        let mut found = Recording::default();
        for path in paths {
            if path.is_dir() {
                found.add_folder(path, true)?;
                continue;
            }
            let conn = match conn_of_name(path) {
                Some(conn) => conn,
                None => conn_of_content(path)?,
            };
            found.add(conn, path.clone());
        }
        // What was recorded beside a single file belongs to it.
        for path in paths.iter().filter(|path| !path.is_dir()) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            found.add_folder(folder, false)?;
        }
        for list in [&mut found.answers, &mut found.symbols] {
            list.sort();
            list.dedup();
        }
        found.sockets.sort_by_key(|(name, path)| (number_of(name), name.clone(), path.clone()));
        found.sockets.dedup();
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        if found.sockets.is_empty() {
            return Err(Failure::failed(format!("{}: no recorded WebSocket (ws.N.jsonl) here", named.join(", "))));
        }
        if found.symbols.is_empty() {
            let text = format!("{}: no list of markets (symbols.jsonl) here; it is needed", named.join(", "));
            return Err(Failure::failed(text));
        }
        Ok(found)
    }

    fn add(&mut self, conn: String, path: PathBuf) {
        match conn.split('.').next() {
            Some("ws") => self.sockets.push((conn, path)),
            Some("http") => self.answers.push(path),
            _ => self.symbols.push(path),
        }
    }

    fn add_folder(&mut self, folder: &Path, sockets: bool) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
        // Where answers were named by hand, those of the folder stay out.
        let (answers, symbols) = (sockets || self.answers.is_empty(), sockets || self.symbols.is_empty());
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(conn) = conn_of_name(&path) else { continue };
            let wanted = match conn.split('.').next() {
                Some("ws") => sockets,
                Some("http") => answers,
                _ => symbols,
            };
            if wanted {
                self.add(conn, path);
            }
        }
        Ok(())
    }
}

/// `ws.1` for `ws.1.jsonl` and `ws.1.jsonl.gz`.
fn conn_of_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".jsonl")?;
    is_conn(stem).then(|| stem.to_owned())
}

fn is_conn(text: &str) -> bool {
    text == "symbols"
        || text.split_once('.').is_some_and(|(kind, number)| {
            matches!(kind, "ws" | "http") && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        })
}

/// The connection that the first line of a file names.
fn conn_of_content(path: &Path) -> Result<String, Failure> {
    let mut reader = Reader::open(path)?;
    let mut line = Line::default();
    match reader.next(&mut line) {
        Some(Ok(())) if is_conn(&line.conn) => Ok(line.conn),
        Some(Ok(())) => Err(Failure::failed(format!(
            "{}:{}: connection {:?} is neither ws.N nor http.N nor symbols",
            reader.name, reader.line, line.conn
        ))),
        Some(Err(error)) => Err(Failure::failed(format!("{}:{}: {error}", reader.name, reader.line))),
        None => Err(Failure::failed(format!("{}: an empty file", reader.name))),
    }
}

fn number_of(conn: &str) -> u64 {
    conn.split_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Line, String> {
        let mut line = Line::default();
        line.read(text.as_bytes()).map(|()| line).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_read_with_its_time_as_it_stands() {
        let line =
            read(r#"{"t":1633998512.0633569,"conn":"ws.1","dir":"in","kind":"text","data":"{\"a\":\"\u00e9\"}"}"#);
        let line = line.unwrap();
        assert_eq!((line.time.as_str(), line.time_ns), ("1633998512.0633569", 1_633_998_512_063_356_900));
        assert_eq!((line.conn.as_str(), line.data.as_str()), ("ws.1", "{\"a\":\"é\"}"));
    }

    #[test]
    fn lines_that_cannot_be_used_say_why() {
        let no_data = read(r#"{"t":1,"conn":"ws.1","dir":"in","kind":"text"}"#).unwrap_err();
        assert_eq!(no_data, "not a line of a recording: no member \"data\"");
        let early = read(r#"{"t":-1,"conn":"ws.1","dir":"in","kind":"text","data":""}"#).unwrap_err();
        assert_eq!(early, "\"-1\" is no Unix time in seconds");
        assert!(read("{\"t\":1").unwrap_err().contains("JSON ends too early at byte"));
    }

    #[test]
    fn names_say_what_a_file_holds() {
        let conn = |name: &str| conn_of_name(Path::new(name));
        assert_eq!(conn("a/ws.12.jsonl.gz").as_deref(), Some("ws.12"));
        assert_eq!(conn("symbols.jsonl").as_deref(), Some("symbols"));
        assert_eq!(conn("tardis.jsonl"), None);
        assert_eq!(conn("ws.x.jsonl"), None);
    }

    #[test]
    fn empty_lines_are_passed_over_and_lines_counted() {
        let text: &[u8] = b"\n{\"t\":1,\"conn\":\"ws.1\",\"dir\":\"in\",\"kind\":\"text\",\"data\":\"\"}\r\n\nx";
        let mut reader = Reader::over("r".to_owned(), Box::new(text));
        let mut line = Line::default();
        assert!(reader.next(&mut line).unwrap().is_ok());
        assert_eq!(reader.line, 2);
        assert!(reader.next(&mut line).unwrap().is_err());
        assert_eq!(reader.line, 4);
        assert!(reader.next(&mut line).is_none());
    }
}
