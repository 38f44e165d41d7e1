//! Heads and bodies of HTTP/1.1, as they travel.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No head is longer.
const LONGEST_HEAD: usize = 256 * 1024;

/// One direction of a connection, with what was read ahead. Waiting for more may be given up without a loss.
pub struct Incoming<R> {
    from: R,
    held: Vec<u8>,
}

/// The lines of a request or an answer before its body.
#[derive(Debug, Clone)]
pub struct Head {
    lines: Vec<String>,
}

/// How a body says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// In pieces; the last one is empty.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A body while it is read.
pub struct Body {
    framing: Framing,
    /// Of the body, or of the piece.
    left: u64,
    /// Between two pieces a line end is due.
    between: bool,
    ended: bool,
    /// What follows the last piece of a chunked body.
    pub trailers: String,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub fn new(from: R) -> Self {
        Self { from, held: Vec::with_capacity(64 * 1024) }
    }

    /// Reads on; `false` at the end.
    pub async fn more(&mut self) -> io::Result<bool> {
        self.held.reserve(64 * 1024);
        Ok(self.from.read_buf(&mut self.held).await? > 0)
    }

    /// The next head; `None` when the connection ends before one.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(at) = self.held.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let text = String::from_utf8(self.held.drain(..at + 4).collect()).map_err(io::Error::other)?;
                return Ok(Some(Head { lines: text.trim_end().split("\r\n").map(str::to_owned).collect() }));
            }
            if self.held.len() > LONGEST_HEAD {
                return Err(io::Error::other("a head without an end"));
            }
            if !self.more().await? {
                return if self.held.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.held.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = self.held.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).map_err(io::Error::other);
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Head {
    /// An answer of our own, with a body of that length.
    pub fn answer(status: u16, headers: &[String], length: usize) -> Self {
        let mut lines = vec![format!("HTTP/1.1 {status} Injected"), format!("content-length: {length}")];
        lines.extend_from_slice(headers);
        Self { lines }
    }

    /// A word of the first line.
    pub fn word(&self, at: usize) -> &str {
        self.lines[0].split(' ').nth(at).unwrap_or_default()
    }

    /// The status of an answer.
    pub fn status(&self) -> io::Result<u16> {
        self.word(1).parse().map_err(io::Error::other)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.lines[1..].iter().filter_map(|line| line.split_once(':'));
        values.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// Whether a header's value holds a word.
    pub fn says(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    /// The same head for a body in pieces, whatever its length was.
    pub fn chunked(mut self) -> Self {
        let told =
            |line: &String| line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("content-length"));
        self.lines.retain(|line| !told(line));
        if !self.says("transfer-encoding", "chunked") {
            self.lines.push("transfer-encoding: chunked".to_owned());
        }
        self
    }

    /// How a request's body ends.
    pub fn framing(&self) -> io::Result<Framing> {
        if self.says("transfer-encoding", "chunked") {
            return Ok(Framing::Chunked);
        }
        match self.header("content-length") {
            Some(length) => length.parse().map(Framing::Length).map_err(io::Error::other),
            None => Ok(Framing::Empty),
        }
    }

    /// How the body of the answer to a request with this method ends.
    pub fn answer_framing(&self, method: &str) -> io::Result<Framing> {
        if method == "HEAD" || matches!(self.status()?, 100..=199 | 204 | 304) {
            return Ok(Framing::Empty);
        }
        match self.framing()? {
            Framing::Empty => Ok(Framing::UntilClose),
            told @ (Framing::Length(_) | Framing::Chunked | Framing::UntilClose) => Ok(told),
        }
    }

    pub async fn send(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(format!("{}\r\n\r\n", self.lines.join("\r\n")).as_bytes()).await
    }
}

impl Body {
    pub fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        let ended = matches!(framing, Framing::Empty | Framing::Length(0));
        Self { framing, left, between: false, ended, trailers: String::new() }
    }

    /// The next bytes; `None` at the end.
    pub async fn piece<R: AsyncRead + Unpin>(&mut self, from: &mut Incoming<R>) -> io::Result<Option<Vec<u8>>> {
        if self.framing == Framing::Chunked && self.left == 0 && !self.ended {
            self.next_chunk(from).await?;
        }
        if self.ended {
            return Ok(None);
        }
        if from.held.is_empty() && !from.more().await? {
            self.ended = true;
            return if self.framing == Framing::UntilClose {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        if self.framing == Framing::UntilClose {
            return Ok(Some(std::mem::take(&mut from.held)));
        }
        let length = from.held.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= length as u64;
        self.between = self.left == 0;
        self.ended = self.left == 0 && self.framing != Framing::Chunked;
        if length == from.held.len() {
            return Ok(Some(std::mem::take(&mut from.held)));
        }
        Ok(Some(from.held.drain(..length).collect()))
    }

    async fn next_chunk<R: AsyncRead + Unpin>(&mut self, from: &mut Incoming<R>) -> io::Result<()> {
        if std::mem::take(&mut self.between) {
            from.line().await?;
        }
        let line = from.line().await?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if self.left == 0 {
            self.ended = true;
            loop {
                let line = from.line().await?;
                if line.is_empty() {
                    return Ok(());
                }
                self.trailers.push_str(&line);
                self.trailers.push_str("\r\n");
            }
        }
        Ok(())
    }
}

impl Framing {
    /// Writes bytes of a body.
    pub async fn send(self, piece: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if self != Self::Chunked {
            return to.write_all(piece).await;
        }
        to.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        to.write_all(piece).await?;
        to.write_all(b"\r\n").await
    }

    /// Writes the end of a body.
    pub async fn end(self, trailers: &str, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self == Self::Chunked {
            to.write_all(format!("0\r\n{trailers}\r\n").as_bytes()).await?;
        }
        to.flush().await
    }
}
