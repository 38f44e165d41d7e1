//! Hears of other servers' commits: one connection, made again when it was cut.
//!
//! What was missed while it was cut is made good by ringing: whoever hears the bell looks by itself.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::{oneshot, watch};
use tokio_postgres::{AsyncMessage, Notification};
use tracing::{debug, warn};

use super::fault::Fault;
use super::writer::Desk;
use crate::store::Calls;

/// While nothing can be heard, the bell is rung so often; between words, a silent connection is asked whether it lives.
const POLL: Duration = Duration::from_secs(1);

/// How often a silent connection is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(10);

/// Rings for what others have done.
pub(super) struct Listener {
    desk: Desk,
    ring: watch::Sender<()>,
    calls: watch::Sender<Calls>,
    /// Told when it hears, or could not the first time.
    began: Option<oneshot::Sender<()>>,
}

impl Listener {
    /// Starts the task, and returns when it hears; it ends when nobody has the bell any more.
    pub(super) async fn start(desk: Desk, ring: watch::Sender<()>, calls: watch::Sender<Calls>) {
        let (began, hears) = oneshot::channel();
        let mut listener = Self { desk, ring, calls, began: Some(began) };
        tokio::spawn(async move {
            let gone = listener.ring.clone();
            tokio::select! { () = gone.closed() => {}, () = listener.run() => {} }
        });
        // Whoever could not is heard of in the log, and tries again.
        let _hears = hears.await;
    }

    async fn run(&mut self) {
        let mut is_cut = false;
        loop {
            match self.listen(&mut is_cut).await {
                Ok(()) => debug!("the connection that listens was closed"),
                Err(fault) if !is_cut => {
                    warn!(
                        "other servers cannot be heard, so it is looked every second: {}",
                        fault.told(&self.desk.address.place)
                    );
                }
                Err(_) => {}
            }
            is_cut = true;
            self.began = None;
            self.ring_for_all();
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whatever may have happened.
    fn ring_for_all(&self) {
        self.ring.send_replace(());
        self.calls.send_modify(|calls| {
            calls.queued += 1;
            calls.canceled += 1;
        });
    }

    async fn listen(&mut self, is_cut: &mut bool) -> Result<(), Fault> {
        let (client, mut connection) = self.desk.address.config.connect(self.desk.address.tls.clone()).await?;
        let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
        let driving = async move {
            let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message? {
                    let _gone = heard.send(notification);
                }
            }
            Ok::<(), Fault>(())
        };
        let minding = async {
            client.batch_execute(&format!("LISTEN {}", self.desk.channel)).await?;
            // From here on nothing is missed; what was before is looked for.
            self.began = None;
            if std::mem::take(is_cut) {
                tracing::info!("other servers are heard again");
                self.ring_for_all();
            }
            loop {
                match tokio::time::timeout(SILENCE, hearing.recv()).await {
                    Ok(Some(notification)) => self.hear(&notification),
                    Ok(None) => return Ok(()),
                    Err(_) => {
                        let alive = tokio::time::timeout(SILENCE, client.batch_execute("")).await;
                        alive.map_err(|_| Fault::NotReached("it did not answer in time".to_owned()))??;
                    }
                }
            }
        };
        tokio::select! { ended = driving => ended, ended = minding => ended }
    }

    fn hear(&self, notification: &Notification) {
        let mut words = notification.payload().split(' ');
        if words.next() == Some(self.desk.voice.as_str()) {
            return;
        }
        self.ring.send_replace(());
        let mut count = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0_u64);
        let (queued, canceled) = (count(), count());
        if queued + canceled > 0 {
            self.calls.send_modify(|calls| {
                calls.queued += queued;
                calls.canceled += canceled;
            });
        }
    }
}
