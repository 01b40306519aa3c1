//! Serving a router on a socket until the service stops.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::runtime::Tasks;

/// How long open connections may take to finish after a stop; streams end at once by themselves.
const DRAIN: Duration = Duration::from_secs(20);

/// A socket this service listens on.
pub trait Socket: Listener {
    /// Sets what a fresh connection needs.
    fn prepare(connection: &mut Self::Io);
}

impl Socket for TcpListener {
    fn prepare(connection: &mut TcpStream) {
        // Answers are written whole; waiting to fill a segment would only delay them.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(error = %error, "http.nodelay refused");
        }
    }
}

impl Socket for UnixListener {
    fn prepare(_connection: &mut UnixStream) {}
}

/// Serves until `tasks` are told to stop; then accepts nothing more, answers what it accepted, and returns.
///
/// # Errors
/// What the socket answers.
pub async fn serve<L>(listener: L, router: Router, tasks: Tasks) -> io::Result<()>
where
    L: Socket,
    L::Addr: std::fmt::Debug,
{
    let stop = tasks.clone();
    let served =
        axum::serve(listener.tap_io(L::prepare), router).with_graceful_shutdown(async move { stop.stopping().await });
    tokio::select! {
        done = served.into_future() => done,
        () = async {
            tasks.stopping().await;
            tokio::time::sleep(DRAIN).await;
        } => {
            tracing::warn!("http.drain took too long; connections that are left are cut");
            Ok(())
        }
    }
}
