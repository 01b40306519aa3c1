//! The program as users run it: `tallystick init`, `tallystick serve`, and a client that speaks HTTP to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tallystick::domain::ids::LedgerId;
use tallystick::runtime::Tasks;
use tokio::net::TcpStream;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tallystick");
/// How long anything may take before the test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory that `init` made.
pub struct Data {
    pub folder: tempfile::TempDir,
    pub database: Option<String>,
    pub ledger: LedgerId,
    pub key: String,
}

impl Data {
    pub fn init(database: Option<String>) -> Data {
        Data::init_in(tempfile::tempdir().unwrap(), database, &[])
    }

    /// Makes the directory `data` inside `folder`.
    pub fn init_in(folder: tempfile::TempDir, database: Option<String>, more: &[&str]) -> Data {
        let mut command = Command::new(PROGRAM);
        command.arg("init").arg("--json").arg("--data").arg(folder.path().join("data")).args(more);
        if let Some(url) = &database {
            command.args(["--database", url]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "init: {}", String::from_utf8_lossy(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Data { folder, database, ledger: text("ledger").parse().unwrap(), key: text("admin_key") }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Rows and keys as a reading command sees them, beside a running server or after its death.
    pub async fn reading(&self) -> tallystick::app::Reading {
        tallystick::app::reading(&self.path(), &[], None).await.unwrap()
    }
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts `serve` and returns once it is ready.
    pub async fn start(data: &Data) -> Server {
        Server::start_with(&data.path(), &[]).await
    }

    /// As [`Server::start`], with variables of the environment.
    pub async fn start_with(folder: &Path, variables: &[(&str, &str)]) -> Server {
        let mut command = Command::new(PROGRAM);
        command.envs(variables.iter().copied());
        let server = Server::spawn(command, folder).await;
        server.ready().await;
        server
    }

    /// Starts a command that ends in the program; ready to be connected to, and perhaps not yet to serve.
    pub async fn spawn(mut command: Command, folder: &Path) -> Server {
        command.arg("serve").arg("--listen").arg("127.0.0.1:0").arg("--data").arg(folder);
        let (mut child, log, address) = start_logged(command);
        let found = tokio::task::spawn_blocking(move || address.recv_timeout(PATIENCE)).await.unwrap();
        let Ok(address) = found else {
            let _gone = child.kill();
            panic!("the server does not start: {}", log.lock().unwrap());
        };
        Server { child, address, log }
    }

    /// Starts `serve` and kills it after `wait`, wherever it is by then.
    pub async fn start_and_kill(data: &Data, wait: Duration) {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--listen").arg("127.0.0.1:0").arg("--data").arg(data.path());
        let (mut child, _log, _address) = start_logged(command);
        tokio::time::sleep(wait).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn ready(&self) {
        let ready = async {
            loop {
                if self.get("/readyz", "").await.is_ok_and(|(status, _)| status == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, ready).await;
        assert!(waited.is_ok(), "the server does not get ready: {}", self.log());
    }

    /// SIGKILL, and the wait for the process to be gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, the wait for the process to end by itself, and what it said to the end.
    pub async fn stop_and_log(mut self) -> String {
        self.signal("TERM");
        let child = &mut self.child;
        let ended = tokio::task::block_in_place(|| child.wait().unwrap());
        assert!(ended.success(), "{}", self.log());
        self.log()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to its log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub async fn get(&self, path: &str, key: &str) -> Result<(u16, Bytes), std::io::Error> {
        let mut client = Client::connect(self.address, key).await?;
        client.send("GET", path, "application/json", Bytes::new()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

type Started = (Child, Arc<Mutex<String>>, mpsc::Receiver<SocketAddr>);

/// Starts a command, keeps what it writes to standard error, and says where it serves once it has said so itself.
fn start_logged(mut command: Command) -> Started {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let (said, address) = mpsc::channel();
    let (kept, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(found) = line.strip_prefix("tallystick: serving on http://") {
                let _nobody = said.send(found.parse().unwrap());
            }
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
        }
    });
    (child, log, address)
}

/// One connection to a server.
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    pub key: String,
    /// The caller's clock, for a scratch ledger.
    pub now: Option<String>,
}

impl Client {
    pub async fn connect(address: SocketAddr, key: &str) -> Result<Client, std::io::Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        Tasks::default().spawn(async move {
            // Ends when the sender is dropped; an error shows in the next request.
            let _ended = connection.await;
        });
        Ok(Client { sender, key: key.to_owned(), now: None })
    }

    /// One request: status and body, or what kept the whole answer from arriving.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<(u16, Bytes), std::io::Error> {
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        if let Some(now) = &self.now {
            request = request.header("tallystick-now", now);
        }
        let request = request.header("content-type", content_type).body(Full::new(body.into())).unwrap();
        self.sender.ready().await.map_err(std::io::Error::other)?;
        let response = self.sender.send_request(request).await.map_err(std::io::Error::other)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        Ok((status, body))
    }
}
