//! Writes records to a server.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tidemill_state::Epoch;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Endpoint;
use crate::changelog::ChangeBatch;
use crate::connect::{Encoder, Format, Sink, TableDefinition, Writer};
use crate::error::{Error, Result};
use crate::operator::ShardContext;

/// As much is kept before it is sent within an epoch.
const BYTES_KEPT: usize = 64 << 10;

pub(super) struct SocketSink {
    pub endpoint: Endpoint,
    pub delimiter: u8,
    pub table: TableDefinition,
    pub format: Arc<dyn Format>,
}

impl fmt::Debug for SocketSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket({}, format={})", self.endpoint, self.format.name())
    }
}

#[async_trait]
impl Sink for SocketSink {
    fn accepts_updates(&self) -> bool {
        self.format.encodes_updates()
    }

    /// One connection, so that rows arrive in order.
    fn max_parallelism(&self) -> Option<u16> {
        Some(1)
    }

    async fn open(&self, _context: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(SocketWriter {
            encoder: self.format.encoder(&self.table)?,
            stream: self.endpoint.connect().await?,
            endpoint: self.endpoint.clone(),
            delimiter: self.delimiter,
            bytes: Vec::new(),
        }))
    }
}

struct SocketWriter {
    endpoint: Endpoint,
    delimiter: u8,
    encoder: Box<dyn Encoder>,
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl SocketWriter {
    async fn send(&mut self) -> Result<()> {
        let sent = self.stream.write_all(&self.bytes).await;
        self.bytes.clear();
        sent.map_err(|error| {
            Error::new(format!("could not write to {}", self.endpoint))
                .why(format!("the connection is broken: {error}"))
                .fix("check the program that listens there")
        })
    }
}

#[async_trait]
impl Writer for SocketWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        let from = self.bytes.len();
        self.encoder.encode(&changes, &mut self.bytes)?;
        // Some formats end records with the delimiter by themselves; the newlines of others are only ends.
        if self.delimiter != b'\n' && self.bytes.ends_with(b"\n") {
            self.bytes[from..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = self.delimiter);
        }
        if self.bytes.len() >= BYTES_KEPT { self.send().await } else { Ok(()) }
    }

    async fn flush(&mut self, _epoch: Epoch) -> Result<()> {
        self.send().await
    }

    async fn finish(&mut self) -> Result<()> {
        self.send().await?;
        // The peer learns that nothing follows. That it may have gone already is no loss.
        let _ = self.stream.shutdown().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::super::Socket;
    use super::*;
    use crate::connect::Connector;
    use crate::connectors::testing::{changes, lines_table, registry};

    async fn writer(options: &[(&str, &str)]) -> (Box<dyn Writer>, TcpStream, TableDefinition) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut table, _) = lines_table(options);
        table.options.set("hostname", "127.0.0.1");
        table.options.set("port", listener.local_addr().unwrap().port().to_string());
        let sink = Socket.sink(&table, &registry()).unwrap();
        let writer = sink.open(&ShardContext::SINGLE).await.unwrap();
        (writer, listener.accept().await.unwrap().0, table)
    }

    #[tokio::test]
    async fn an_epoch_is_sent_when_it_ends() {
        let (mut writer, mut peer, table) = writer(&[("byte-delimiter", "59")]).await;
        writer.write(changes(&table, &["a", "b"])).await.unwrap();
        writer.flush(Epoch(1)).await.unwrap();
        let mut received = [0; 4];
        peer.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"a;b;");
        writer.finish().await.unwrap();
        assert_eq!(peer.read(&mut received).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_peer_that_went_away_is_an_error_that_names_it() {
        let (mut writer, peer, table) = writer(&[]).await;
        drop(peer);
        let line = "x".repeat(1 << 20);
        let error = loop {
            if let Err(error) = writer.write(changes(&table, &[&line])).await {
                break error;
            }
        };
        assert!(error.what().starts_with("could not write to 127.0.0.1:"), "{error}");
    }

    #[test]
    fn a_sink_cannot_listen() {
        let (table, _) = lines_table(&[("hostname", "h"), ("port", "1"), ("mode", "listen")]);
        let error = Socket.sink(&table, &registry()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("fix: use 'mode' = 'connect'"));
    }
}
