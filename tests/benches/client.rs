//! A load generator's HTTP: one blocking connection, requests written whole, answers read whole.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub struct Connection {
    stream: TcpStream,
    key: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr, key: &str) -> Connection {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("nodelay");
        Connection { stream, key: key.to_owned(), request: Vec::new(), answer: Vec::new() }
    }

    /// Posts a body; returns status and body of the answer.
    pub fn post(&mut self, content_type: &str, body: &[u8]) -> (u16, &[u8]) {
        self.send("POST", "/v1/events", content_type, body)
    }

    pub fn get(&mut self, path: &str) -> (u16, &[u8]) {
        self.send("GET", path, "application/json", b"")
    }

    pub fn send(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, &[u8]) {
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.key,
            body.len()
        )
        .expect("memory");
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).expect("request");
        self.read()
    }

    fn read(&mut self) -> (u16, &[u8]) {
        self.answer.clear();
        let mut chunk = [0; 65_536];
        loop {
            if let Some(end) = find(&self.answer, b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.answer[..end]).expect("header");
                let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("status");
                let length: usize = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok())
                    .unwrap_or(0);
                let start = end + 4;
                while self.answer.len() < start + length {
                    let count = self.stream.read(&mut chunk).expect("answer");
                    assert!(count > 0, "the server closed the connection");
                    self.answer.extend_from_slice(&chunk[..count]);
                }
                return (status, &self.answer[start..start + length]);
            }
            let count = self.stream.read(&mut chunk).expect("answer");
            assert!(count > 0, "the server closed the connection");
            self.answer.extend_from_slice(&chunk[..count]);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A number that follows `"name":` in a JSON text.
pub fn number(body: &[u8], name: &str) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let at = text.rfind(&format!("\"{name}\":"))? + name.len() + 3;
    let digits: String = text[at..].trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
