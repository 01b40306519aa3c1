//! On a real socket: keep-alive, streams, stopping.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tallystick::policy::access::Role;
use tokio::net::{TcpListener, TcpStream};

use super::{Served, served};
use crate::support::consent;

async fn listen(served: &Served) -> (std::net::SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = served.bench.tasks.clone();
    let serving = tasks.spawn(tallystick::http::serve(listener, served.router.clone(), tasks.clone()));
    (address, serving)
}

async fn connect(served: &Served, address: std::net::SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    served.bench.tasks.spawn(connection);
    sender
}

fn request(served: &Served, role: Role, method: &str, path: &str, body: String) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "ledger.example.test")
        .header("authorization", format!("Bearer {}", served.key(role)))
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_requests() {
    let served = served(901).await;
    let (address, _) = listen(&served).await;
    let mut sender = connect(&served, address).await;
    for id in 0..20 {
        let body = consent(&id.to_string(), "lead-1", "+16145550101").to_string();
        sender.ready().await.unwrap();
        let response = sender.send_request(request(&served, Role::Recorder, "POST", "/v1/events", body)).await.unwrap();
        assert_eq!(response.status(), 201);
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(served.bench.ledger.size(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_catches_up_follows_and_ends_with_the_service() {
    let served = served(902).await;
    let (address, serving) = listen(&served).await;
    super::Served::post(&served, &consent("a", "lead-1", "+16145550101")).await.ok(201);
    let mut sender = connect(&served, address).await;
    let asked = request(&served, Role::Reader, "GET", "/v1/events/stream?from=0", String::new());
    let response = sender.send_request(asked).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    while text.matches("\n\n").count() < 3 {
        let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    served.post(&consent("b", "lead-1", "+16145550101")).await.ok(201);
    while text.matches("\n\n").count() < 4 {
        let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["0", "1", "2", "3"]);
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    assert_eq!(serde_json::from_str::<Value>(last).unwrap()["type"], "consent.granted");
    assert!(text.contains("event: ledger.created"));

    served.bench.tasks.signal_stop();
    let rest = tokio::time::timeout(Duration::from_secs(5), body.collect()).await;
    assert!(rest.is_ok(), "the stream ends when the service stops");
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nothing is accepted any more");
}
