//! Reads records from a server, or from every client that connects.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Endpoint, OPTIONS};
use crate::connect::{Format, Offset, Reader, Source, SplitId, TableDefinition};
use crate::connectors::pump::{Feed, Halt, Pump};
use crate::connectors::records::Records;
use crate::error::{Error, Result};

pub(super) struct SocketSource {
    pub endpoint: Endpoint,
    pub listens: bool,
    pub reconnects: bool,
    pub table: TableDefinition,
    pub projection: Vec<usize>,
    pub format: Arc<dyn Format>,
}

impl fmt::Debug for SocketSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.listens { ", mode=listen" } else { "" };
        write!(f, "socket({}{mode}, format={})", self.endpoint, self.format.name())
    }
}

#[async_trait]
impl Source for SocketSource {
    /// The peer may close, but nothing says that it will.
    fn bounded(&self) -> bool {
        false
    }

    fn retracts(&self) -> bool {
        self.format.decodes_updates()
    }

    /// One split, not connected to yet: a server such as `nc -l` serves a single connection.
    fn can_be_replayed(&self) -> bool {
        false
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new(self.endpoint.to_string())])
    }

    /// Connects or binds. What a socket sent before a restart is gone, so offsets are not looked at.
    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let Some((split, _)) = splits.into_iter().next() else {
            return Ok(Box::new(Pump::spawn(|_feed| async { Ok(()) })));
        };
        if self.listens {
            let listener =
                TcpListener::bind((self.endpoint.host.as_str(), self.endpoint.port)).await.map_err(|error| {
                    Error::new(format!("cannot listen on {}", self.endpoint))
                        .why(error.to_string())
                        .fix("choose a free port, or stop the program that uses this one")
                })?;
            return Ok(Box::new(self.accept(listener, split)));
        }
        let stream = self.endpoint.connect().await?;
        let connection = self.connection(split)?;
        let endpoint = self.endpoint.clone();
        let reconnects = self.reconnects;
        Ok(Box::new(Pump::spawn(move |feed| read_server(connection, stream, endpoint, reconnects, feed))))
    }
}

impl SocketSource {
    fn connection(&self, split: SplitId) -> Result<Connection> {
        let records = Records::new(&self.table, OPTIONS, self.format.as_ref(), &self.projection, split, 0)?;
        Ok(Connection { records, received: BytesMut::new() })
    }

    /// Reads from any number of clients at once. Half a record at a client's end is its last record.
    fn accept(&self, listener: TcpListener, split: SplitId) -> Pump {
        let table = self.table.clone();
        let projection = self.projection.clone();
        let format = Arc::clone(&self.format);
        Pump::spawn(move |feed| async move {
            let mut clients: JoinSet<Result<(), Halt>> = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut stream, client) = accepted.map_err(|error| lost(&split.to_string(), &error))?;
                        let records =
                            Records::new(&table, OPTIONS, format.as_ref(), &projection, split.clone(), 0)?;
                        let mut connection = Connection { records, received: BytesMut::new() };
                        let feed = feed.clone();
                        clients.spawn(async move {
                            // A client that breaks off is no reason to stop serving the others.
                            let _ = connection.read(&mut stream, &client.to_string(), &feed).await?;
                            connection.finish(&feed).await
                        });
                    }
                    Some(left) = clients.join_next() => {
                        left.map_err(|error| Error::new("reading a client failed").why(error.to_string()))??;
                    }
                }
            }
        })
    }
}

async fn read_server(
    mut connection: Connection,
    mut stream: TcpStream,
    endpoint: Endpoint,
    reconnects: bool,
    feed: Feed,
) -> Result<(), Halt> {
    loop {
        let broken = connection.read(&mut stream, &endpoint.to_string(), &feed).await?;
        if !reconnects {
            return match broken {
                Some(error) => Err(error.into()),
                None => connection.finish(&feed).await,
            };
        }
        connection.forget_half();
        stream = endpoint.connect().await?;
    }
}

/// So much is asked for at once. If nobody minds, less is gathered before it is decoded.
const READ_BYTES: usize = 64 << 10;

/// One connection's bytes on their way to rows.
struct Connection {
    records: Records,
    received: BytesMut,
}

impl Connection {
    /// Sends on every row until the peer closes; the error is that of a connection that broke.
    async fn read(&mut self, stream: &mut TcpStream, peer: &str, feed: &Feed) -> Result<Option<Error>, Halt> {
        // When what has been received is decoded at the latest. It is read all the same: a peer whose bytes wait would send no more.
        let mut due: Option<Instant> = None;
        loop {
            self.received.reserve(READ_BYTES);
            let read = tokio::select! {
                biased;
                read = stream.read_buf(&mut self.received) => Some(read),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            };
            if let (Some(Ok(1..)), Some(time)) = (&read, feed.gathers())
                && self.received.len() < READ_BYTES
                && Instant::now() < *due.get_or_insert_with(|| Instant::now() + time)
            {
                continue;
            }
            due = None;
            self.records.push(&self.received);
            self.received.clear();
            self.records.send_all(feed).await?;
            match read {
                Some(Ok(0)) => return Ok(None),
                Some(Err(error)) => return Ok(Some(lost(peer, &error))),
                Some(Ok(_)) | None => {}
            }
        }
    }

    /// The last record may lack its delimiter.
    async fn finish(&mut self, feed: &Feed) -> Result<(), Halt> {
        self.records.end();
        self.records.send_all(feed).await
    }

    /// Half a record of a lost connection is nothing the next one could complete.
    fn forget_half(&mut self) {
        self.records.drop_rest();
    }
}

fn lost(peer: &str, error: &std::io::Error) -> Error {
    Error::new(format!("lost the connection to {peer}"))
        .why(error.to_string())
        .fix("set 'reconnect' = 'true' to connect again")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::super::Socket;
    use super::*;
    use crate::connect::Connector;
    use crate::connectors::testing::{ROWS_PER_BATCH, lines_of, lines_table, read_all, registry};

    async fn server() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        (listener, port)
    }

    async fn reader(port: &str, options: &[(&str, &str)]) -> Box<dyn Reader> {
        let (mut table, _) = lines_table(options);
        table.options.set("hostname", "127.0.0.1");
        table.options.set("port", port);
        let source = Socket.source(&table, &[0], &registry()).unwrap();
        let splits = source.splits().await.unwrap().into_iter().map(|split| (split, None)).collect();
        source.open(splits).await.unwrap()
    }

    #[tokio::test]
    async fn each_row_is_seen_at_once_and_half_lines_wait_for_their_end() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[]).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        for half in ["one\ntw", "o\r\nthr", "ee\n"] {
            peer.write_all(half.as_bytes()).await.unwrap();
            let rows = reader.next().await.unwrap().unwrap().rows;
            assert_eq!(rows.len(), 1);
        }
        peer.write_all(b"last").await.unwrap();
        drop(peer);
        assert_eq!(read_all(reader.as_mut()).await.unwrap(), ["last"]);
    }

    #[tokio::test]
    async fn a_line_cut_at_every_byte_is_one_row() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[]).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.set_nodelay(true).unwrap();
        let sending = tokio::spawn(async move {
            for byte in "grüße; welt\nzwei\n".as_bytes() {
                peer.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(read_all(reader.as_mut()).await.unwrap(), ["grüße; welt", "zwei"]);
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn where_nobody_waits_for_single_rows_they_are_gathered() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[]).await;
        reader.gather(Duration::from_secs(3600));
        let (mut peer, _) = listener.accept().await.unwrap();
        for _ in 0..20 {
            peer.write_all(b"line\n").await.unwrap();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        drop(peer);
        assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), ["line"; ROWS_PER_BATCH], "not one by one");
        assert_eq!(read_all(reader.as_mut()).await.unwrap().len(), 20 - ROWS_PER_BATCH);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gathered_is_given_in_time() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[]).await;
        reader.gather(Duration::from_secs(3600));
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"one\n").await.unwrap();
        assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), ["one"]);
    }

    #[tokio::test]
    async fn a_line_of_ten_megabytes_arrives_whole() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[]).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        let sending = tokio::spawn(async move {
            let mut line = vec![b'x'; 10 << 20];
            line.push(b'\n');
            peer.write_all(&line).await.unwrap();
        });
        let rows = reader.next().await.unwrap().unwrap().rows;
        assert_eq!(lines_of(&rows)[0].len(), 10 << 20);
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn with_reconnect_the_next_connection_goes_on_without_the_half_line() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[("reconnect", "true")]).await;
        for round in ["a", "b"] {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.write_all(format!("{round}\nhalf").as_bytes()).await.unwrap();
            assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), [round]);
        }
    }

    #[tokio::test]
    async fn clients_of_a_listening_table_are_read_together_and_one_after_another() {
        // The port is free when asked for; another program taking it before `reader` binds would be a rare coincidence.
        let (listener, port) = server().await;
        drop(listener);
        let mut reader = reader(&port, &[("mode", "listen")]).await;
        let address = format!("127.0.0.1:{port}");
        let mut first = TcpStream::connect(&address).await.unwrap();
        let mut second = TcpStream::connect(&address).await.unwrap();
        first.write_all(b"half").await.unwrap();
        second.write_all(b"two\n").await.unwrap();
        assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), ["two"]);
        drop(second);
        drop(first);
        assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), ["half"]);
        let mut third = TcpStream::connect(&address).await.unwrap();
        third.write_all(b"three\n").await.unwrap();
        assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), ["three"]);
    }

    #[tokio::test]
    async fn a_port_in_use_cannot_be_listened_on() {
        let (_listener, port) = server().await;
        let (mut table, _) = lines_table(&[("mode", "listen"), ("hostname", "127.0.0.1")]);
        table.options.set("port", &port);
        let source = Socket.source(&table, &[0], &registry()).unwrap();
        let error = source.open(vec![(SplitId::new("s"), None)]).await.map(|_| ()).unwrap_err();
        assert_eq!(error.what(), format!("cannot listen on 127.0.0.1:{port}"));
    }

    #[tokio::test]
    async fn a_bad_record_is_the_readers_error() {
        let (listener, port) = server().await;
        let mut reader = reader(&port, &[]).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"good\nbad\n").await.unwrap();
        assert_eq!(lines_of(&reader.next().await.unwrap().unwrap().rows), ["good"]);
        assert_eq!(reader.next().await.unwrap_err().what(), "bad line");
    }
}
