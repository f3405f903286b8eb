//! One caller's connection.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::frame::{FRAME_BYTES_MAX, Frames, HELLO_BYTES_MAX};
use super::holders::{Holders, Seat};
use super::listen::SocketOptions;
use super::message::{Hello, Request, RequestId, Response, Welcome};
use super::service::{Caller, Service};
use crate::model::{Error, Result};

/// What a connection needs.
pub(super) struct Connection {
    pub(super) service: Arc<dyn Service>,
    pub(super) options: Arc<SocketOptions>,
    pub(super) holders: Holders,
}

/// Why a connection ends without more to say.
struct Gone;

/// Says why a caller is not let in, as far as its end takes it without waiting.
pub(super) fn refuse_at_once(stream: &UnixStream, error: &Error) {
    if let Err(unsent) = stream.try_write(&Response::refused(None, error).framed()) {
        tracing::debug!(error = %unsent, "a caller did not hear why it is refused");
    }
}

impl Connection {
    /// Serves it until the caller goes, breaks the rules or is too slow.
    pub(super) async fn serve(self, stream: UnixStream) {
        let (mut from, mut to) = stream.into_split();
        let mut frames = Frames::new();
        let (caller, _seat, welcome) =
            match timeout(self.options.hello_within, self.greet(&mut from, &mut frames)).await {
                Ok(Ok(greeted)) => greeted,
                Ok(Err(None)) => return,
                Ok(Err(Some(refusal))) => return self.last_word(&mut to, &refusal).await,
                Err(_) => {
                    let said = "the first message did not come in time";
                    let error =
                        Error::exhausted("hello_late", said).with("within_ms", self.options.hello_within.as_millis());
                    return self.last_word(&mut to, &Response::refused(None, &error)).await;
                }
            };
        if self.write(&mut to, &welcome.framed()).await.is_err() {
            return;
        }
        self.answer(caller, from, to, frames).await;
    }

    /// Takes the first message, and says who the caller is.
    async fn greet(
        &self,
        from: &mut OwnedReadHalf,
        frames: &mut Frames,
    ) -> Result<(Arc<dyn Caller>, Seat, Response), Option<Box<Response>>> {
        let refused = |id: Option<RequestId>, error: &Error| Some(Box::new(Response::refused(id, error)));
        let frame = match next(from, frames, HELLO_BYTES_MAX, None).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(None),
            Err(error) => return Err(refused(None, &error)),
        };
        let request = Request::read(&frame).map_err(Some)?;
        let id = request.id.clone();
        let (hello, version) = Hello::read(request).map_err(|error| refused(Some(id.clone()), &error))?;
        let caller = self.service.admit(&hello.token).await.map_err(|error| refused(Some(id.clone()), &error))?;
        let seat = self.holders.take(&caller.holder(), self.options.connections_of_token_max);
        let seat = seat.map_err(|error| refused(Some(id.clone()), &error))?;
        let welcome = Welcome {
            version,
            gastown: env!("CARGO_PKG_VERSION").to_owned(),
            requests_max: self.options.requests_max,
            frame_bytes_max: FRAME_BYTES_MAX,
            principal: caller.principal(),
        };
        let welcome = serde_json::to_value(welcome).expect("a welcome is JSON");
        Ok((caller, seat, Response::done(id, welcome)))
    }

    /// Answers requests, each when it is done.
    async fn answer(
        &self,
        caller: Arc<dyn Caller>,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        mut frames: Frames,
    ) {
        let places = Arc::new(Semaphore::new(self.options.requests_max));
        let under_way = Arc::new(Mutex::new(HashSet::new()));
        // A request holds its place until its answer is written, so there are never more answers than places.
        let (answers, mut answered) = mpsc::channel::<(Vec<u8>, Option<tokio::sync::OwnedSemaphorePermit>)>(1);
        let reading = async move {
            let mut requests = JoinSet::new();
            let last = loop {
                while requests.try_join_next().is_some() {}
                let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
                let frame = match next(&mut from, &mut frames, FRAME_BYTES_MAX, Some(self.options.read_within)).await {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break None,
                    Err(error) => break Some(Response::refused(None, &error)),
                };
                let request = match Request::read(&frame).map_err(|refusal| *refusal).and_then(|request| {
                    let is_new = lock(&under_way).insert(request.id.clone());
                    if is_new { Ok(request) } else { Err(Response::refused(Some(request.id), &id_taken())) }
                }) {
                    Ok(request) => request,
                    Err(refusal) => {
                        if answers.send((refusal.framed(), Some(place))).await.is_err() {
                            return;
                        }
                        continue;
                    }
                };
                let (caller, answers, under_way) = (Arc::clone(&caller), answers.clone(), Arc::clone(&under_way));
                requests.spawn(async move {
                    let id = request.id.clone();
                    let response = work(caller.as_ref(), request).await;
                    lock(&under_way).remove(&id);
                    // Where nobody writes any more, the caller is gone.
                    let _ = answers.send((response.framed(), Some(place))).await;
                });
            };
            if let Some(refusal) = last {
                let _ = answers.send((refusal.framed(), None)).await;
                return;
            }
            // The caller says no more; what it asked is still answered.
            drop(answers);
            while requests.join_next().await.is_some() {}
        };
        let writing = async {
            while let Some((frame, place)) = answered.recv().await {
                if self.write(&mut to, &frame).await.is_err() {
                    return;
                }
                let is_last = place.is_none();
                drop(place);
                if is_last {
                    return;
                }
            }
        };
        // Where the writing ends, the reading is dropped, and with it what is still worked on.
        tokio::pin!(reading, writing);
        tokio::select! {
            () = &mut reading => writing.await,
            () = &mut writing => {}
        }
    }

    async fn last_word(&self, to: &mut OwnedWriteHalf, refusal: &Response) {
        // Whether it is heard or not, the connection ends.
        let _ = self.write(to, &refusal.framed()).await;
    }

    async fn write(&self, to: &mut OwnedWriteHalf, frame: &[u8]) -> Result<(), Gone> {
        match timeout(self.options.read_within, to.write_all(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::warn!("a caller of the socket does not read its answers; it is let go");
                Err(Gone)
            }
        }
    }
}

fn lock(set: &Mutex<HashSet<RequestId>>) -> std::sync::MutexGuard<'_, HashSet<RequestId>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id_taken() -> Error {
    Error::conflict("request_id_taken", "a request of this id is not answered yet")
}

async fn work(caller: &dyn Caller, request: Request) -> Response {
    let deadline = request.deadline();
    let Request { id, method, params, key, .. } = request;
    // One without any time is over before it begins; a timer would let it have a first try.
    if deadline.is_zero() {
        return Response::refused(Some(id), &late(&method, deadline));
    }
    match timeout(deadline, caller.call(&method, params, key)).await {
        Ok(Ok(output)) => Response::done(id, output),
        Ok(Err(error)) => Response::refused(Some(id), &error),
        Err(_) => Response::refused(Some(id), &late(&method, deadline)),
    }
}

/// The error of an operation that took too long.
pub(super) fn late(method: &str, within: Duration) -> Error {
    let said = format!("{method} took longer than {} ms; whether it was done is not known", within.as_millis());
    Error::exhausted("deadline_exceeded", said).with("operation", method).with("within_ms", within.as_millis())
}

/// The next frame; none where the other end is closed, or breaks off. One that has begun has so long to be whole.
async fn next(
    from: &mut OwnedReadHalf,
    frames: &mut Frames,
    bytes_max: usize,
    within: Option<Duration>,
) -> Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 16 << 10];
    let mut whole_by = None;
    loop {
        if let Some(frame) = frames.next(bytes_max)? {
            return Ok(Some(frame));
        }
        let read = from.read(&mut bytes);
        let read = if let Some(within) = within.filter(|_| frames.is_inside()) {
            let by = *whole_by.get_or_insert_with(|| Instant::now() + within);
            timeout_at(by, read).await.map_err(|_| {
                Error::exhausted("frame_late", "a frame that was begun did not come to its end in time")
                    .with("within_ms", within.as_millis())
            })?
        } else {
            read.await
        };
        match read {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => frames.push(&bytes[..read]),
        }
    }
}
