//! Talking to the server that has the data directory: the same HTTP API on a socket that only its owner can open.
//!
//! `DIR/control` (0600) names the socket and a key that lives as long as the server.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::Failure;

/// Name of the file in a data directory.
pub(super) const FILE: &str = "control";
/// Longest path that a Unix socket can have on every system we know.
const SOCKET_PATH_MAX: usize = 100;

/// Bytes of an upload sent at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Control {
    /// The socket.
    pub socket: PathBuf,
    /// Admin key of this run.
    pub key: String,
}

impl Control {
    /// Where a server listens for commands on this directory: inside it, or under a short name when that is too long.
    pub fn socket_path(folder: &Path, run: &str) -> PathBuf {
        let inside = folder.join("control.sock");
        if inside.as_os_str().len() <= SOCKET_PATH_MAX {
            inside
        } else {
            crate::config::temporary_folder().join(format!("tallystick-{run}.sock"))
        }
    }

    /// The running server of a data directory, if one answers.
    pub async fn find(folder: &Path) -> Option<Connection> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        let control: Control = serde_json::from_slice(&text).ok()?;
        Connection::open(control).await.ok()
    }
}

/// A connection to the running server.
pub(super) struct Connection {
    sender: http1::SendRequest<UnsyncBoxBody<Bytes, std::io::Error>>,
    key: String,
}

/// An answer: status and body.
pub(super) struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Connection {
    async fn open(control: Control) -> Result<Connection, Failure> {
        let stream = UnixStream::connect(&control.socket).await.map_err(super::failed)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(super::failed)?;
        crate::runtime::Tasks::default().spawn(async move {
            // Ends when the sender is dropped; an error shows in the next request.
            let _ended = connection.await;
        });
        Ok(Connection { sender, key: control.key })
    }

    /// Fetches something large into a file, piece by piece; its length, or the answer that is no success.
    pub async fn download(&mut self, path: &str, file: &mut std::fs::File) -> Result<Result<u64, Answer>, Failure> {
        let response = self.send("GET", path, "application/json", whole(Bytes::new())).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        if status != 200 {
            let body = body.collect().await.map_err(super::failed)?.to_bytes();
            return Ok(Err(Answer { status, body }));
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(super::failed)?;
            if let Some(piece) = frame.data_ref() {
                file.write_all(piece).map_err(super::failed)?;
                length += piece.len() as u64;
            }
        }
        Ok(Ok(length))
    }

    /// One request.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        self.answer(method, path, content_type, whole(body)).await
    }

    /// Posts something large, piece by piece.
    pub async fn upload(
        &mut self,
        path: &str,
        content_type: &str,
        file: impl Read + Send + 'static,
    ) -> Result<Answer, Failure> {
        let pieces = stream::try_unfold(file, async |mut file| {
            let mut piece = vec![0; PIECE_BYTES];
            // A local file: a read does not wait long enough to be worth a thread of its own.
            let read = file.read(&mut piece)?;
            piece.truncate(read);
            Ok::<_, std::io::Error>((read > 0).then(|| (Frame::data(Bytes::from(piece)), file)))
        });
        self.answer("POST", path, content_type, StreamBody::new(pieces).boxed_unsync()).await
    }

    async fn answer(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: UnsyncBoxBody<Bytes, std::io::Error>,
    ) -> Result<Answer, Failure> {
        let response = self.send(method, path, content_type, body).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(super::failed)?.to_bytes();
        Ok(Answer { status, body })
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: UnsyncBoxBody<Bytes, std::io::Error>,
    ) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "control")
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", content_type)
            .body(body)
            .map_err(super::failed)?;
        self.sender.send_request(request).await.map_err(super::failed)
    }
}

fn whole(body: Bytes) -> UnsyncBoxBody<Bytes, std::io::Error> {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The text of a problem document, for a person.
pub(super) fn problem_text(answer: &Answer) -> String {
    let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let field = |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let mut text = format!("the server answered {} {}: {}", answer.status, field("code"), field("detail"));
    for error in value.get("errors").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let of = |name: &str| error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        text.push_str(&format!("\n  {} {}", of("pointer"), of("detail")));
    }
    text
}
