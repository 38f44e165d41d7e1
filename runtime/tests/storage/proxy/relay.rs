//! One connection, request by request.

use std::io;
use std::pin::pin;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use super::rule::Fault;
use super::server::{Asked, State};
use super::wire::{Body, Framing, Head, Incoming};

/// What an endless body repeats, at most.
const REPEATED: usize = 64 * 1024;

/// Both directions.
struct Peer {
    incoming: Incoming<OwnedReadHalf>,
    outgoing: OwnedWriteHalf,
}

/// Whether the connections serve another request.
#[derive(PartialEq, Eq)]
enum After {
    GoesOn,
    Ends,
}

/// How sending a request's body ended.
enum Sent {
    Whole,
    Cut,
    CallerGone(io::Error),
    ServerGone,
}

impl Peer {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (incoming, outgoing) = stream.into_split();
        Ok(Self { incoming: Incoming::new(incoming), outgoing })
    }
}

/// Serves a caller until one side has had enough.
pub(super) async fn connection(stream: TcpStream, state: &State) -> io::Result<()> {
    let mut caller = Peer::new(stream)?;
    let mut server: Option<Peer> = None;
    loop {
        let head = match &mut server {
            None => caller.incoming.head().await?,
            Some(server) => tokio::select! {
                head = caller.incoming.head() => head?,
                // A server that says anything now says that it hangs up.
                _ = server.incoming.more() => None,
            },
        };
        let Some(head) = head else { return Ok(()) };
        let (asked, fault) = state.asked(head.word(0), head.word(1), head.header("range"));
        match &fault {
            Some(Fault::HangUp) => return Ok(()),
            Some(Fault::Answer { status, retry_after_s }) => {
                asked.answered(*status);
                if answer(&mut caller, &head, *status, *retry_after_s, "").await? == After::Ends {
                    return Ok(());
                }
                continue;
            }
            Some(Fault::Say { status, body }) => {
                asked.answered(*status);
                if answer(&mut caller, &head, *status, None, body).await? == After::Ends {
                    return Ok(());
                }
                continue;
            }
            Some(Fault::Delay(time)) => sleep(*time).await,
            Some(Fault::First(act)) => act(),
            Some(
                Fault::CutRequest(_)
                | Fault::CutAnswer(_)
                | Fault::Stall(_)
                | Fault::Trickle { .. }
                | Fault::FlipInRequest(_)
                | Fault::FlipInAnswer(_)
                | Fault::Endless,
            )
            | None => {}
        }
        let server = match &mut server {
            Some(server) => server,
            none @ None => none.insert(Peer::new(TcpStream::connect(state.server).await?)?),
        };
        if exchange(&mut caller, server, &head, &asked, fault.as_ref()).await? == After::Ends {
            return Ok(());
        }
    }
}

/// Answers in the server's place.
async fn answer(
    caller: &mut Peer,
    head: &Head,
    status: u16,
    retry_after_s: Option<u32>,
    words: &str,
) -> io::Result<After> {
    let mut headers: Vec<String> = retry_after_s.map(|seconds| format!("retry-after: {seconds}")).into_iter().collect();
    // Who waits to be asked for the body is not asked.
    let after = if head.says("expect", "100-continue") {
        headers.push("connection: close".to_owned());
        After::Ends
    } else {
        let mut body = Body::new(head.framing()?);
        while body.piece(&mut caller.incoming).await?.is_some() {}
        After::GoesOn
    };
    let words = if head.word(0) == "HEAD" { "" } else { words };
    Head::answer(status, &headers, words.len()).send(&mut caller.outgoing).await?;
    caller.outgoing.write_all(words.as_bytes()).await?;
    Ok(after)
}

/// One request to the server and its answer back.
async fn exchange(
    caller: &mut Peer,
    server: &mut Peer,
    head: &Head,
    asked: &Asked,
    fault: Option<&Fault>,
) -> io::Result<After> {
    head.send(&mut server.outgoing).await?;
    let (mut whole, answer) = {
        let mut whole = false;
        let mut sending = pin!(send(&mut caller.incoming, &mut server.outgoing, head.framing()?, fault));
        // A server may answer before it has read everything, and asks some callers for the body.
        let answer = loop {
            tokio::select! {
                sent = &mut sending, if !whole => match sent {
                    Sent::Whole | Sent::ServerGone => whole = true,
                    Sent::Cut => return Ok(After::Ends),
                    Sent::CallerGone(error) => return Err(error),
                },
                head = server.incoming.head() => {
                    let Some(head) = head? else { return Ok(After::Ends) };
                    if head.status()? >= 200 {
                        break head;
                    }
                    head.send(&mut caller.outgoing).await?;
                }
            }
        };
        (whole, answer)
    };
    asked.answered(answer.status()?);
    let framing = answer.answer_framing(head.word(0))?;
    whole &= framing != Framing::UntilClose && !head.says("connection", "close") && !answer.says("connection", "close");
    if give(caller, server, answer, framing, fault).await? == After::Ends || !whole {
        return Ok(After::Ends);
    }
    Ok(After::GoesOn)
}

async fn send(
    from: &mut Incoming<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    framing: Framing,
    fault: Option<&Fault>,
) -> Sent {
    let mut body = Body::new(framing);
    let mut at = 0;
    loop {
        let mut piece = match body.piece(from).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => return Sent::CallerGone(error),
        };
        let (begins, ends) = (at, at + piece.len() as u64);
        at = ends;
        match fault {
            Some(Fault::FlipInRequest(which)) => flip(&mut piece, begins, *which),
            Some(Fault::CutRequest(length)) if ends >= *length => {
                piece.truncate((length - begins) as usize);
                let _ = framing.send(&piece, to).await;
                return Sent::Cut;
            }
            Some(_) | None => {}
        }
        if framing.send(&piece, to).await.is_err() {
            return Sent::ServerGone;
        }
    }
    match framing.end(&body.trailers, to).await {
        Ok(()) => Sent::Whole,
        Err(_) => Sent::ServerGone,
    }
}

/// Gives the caller the answer, or what the fault makes of it.
async fn give(
    caller: &mut Peer,
    server: &mut Peer,
    answer: Head,
    framing: Framing,
    fault: Option<&Fault>,
) -> io::Result<After> {
    let to = &mut caller.outgoing;
    let endless = matches!(fault, Some(Fault::Endless)) && framing != Framing::Empty;
    let (answer, out) = if endless { (answer.chunked(), Framing::Chunked) } else { (answer, framing) };
    answer.send(to).await?;
    let mut body = Body::new(framing);
    let mut repeated = Vec::new();
    let mut at = 0;
    // Not even the first byte is due.
    if let Some(Fault::CutAnswer(0)) = fault {
        return Ok(After::Ends);
    }
    while let Some(mut piece) = body.piece(&mut server.incoming).await? {
        let (begins, ends) = (at, at + piece.len() as u64);
        at = ends;
        match fault {
            Some(Fault::FlipInAnswer(which)) => flip(&mut piece, begins, *which),
            Some(Fault::CutAnswer(length)) if ends >= *length => {
                piece.truncate((length - begins) as usize);
                out.send(&piece, to).await?;
                to.shutdown().await?;
                return Ok(After::Ends);
            }
            Some(Fault::Stall(length)) if ends >= *length => {
                piece.truncate((length - begins) as usize);
                out.send(&piece, to).await?;
                while caller.incoming.more().await? {}
                return Ok(After::Ends);
            }
            Some(Fault::Trickle { bytes, pause }) => {
                for part in piece.chunks((*bytes).max(1)) {
                    sleep(*pause).await;
                    out.send(part, to).await?;
                }
                continue;
            }
            Some(Fault::Endless) if repeated.len() < REPEATED => repeated.extend_from_slice(&piece),
            Some(_) | None => {}
        }
        out.send(&piece, to).await?;
    }
    if endless {
        if repeated.is_empty() {
            repeated.push(0);
        }
        // Ends with an error, once the caller has gone.
        loop {
            out.send(&repeated, to).await?;
        }
    }
    out.end(&body.trailers, to).await?;
    Ok(After::GoesOn)
}

fn flip(piece: &mut [u8], begins: u64, which: u64) {
    if let Some(byte) = which.checked_sub(begins).and_then(|at| piece.get_mut(usize::try_from(at).ok()?)) {
        *byte ^= 1;
    }
}
