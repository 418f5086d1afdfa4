//! `'connector' = 'socket'`: records over TCP, the quickest way to try a stream: `nc -lk 9999`.
//!
//! ```sql
//! CREATE TABLE lines (line STRING) WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9999');
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::records::{self, Records, delimiter_of, format_of};
use crate::connect::{Connector, OptionKind, OptionSpec, Registry, Sink, Source, SplitId, TableDefinition};
use crate::error::{Error, Result};

mod sink;
mod source;

use sink::SocketSink;
use source::SocketSource;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::required("hostname", OptionKind::Text, "the host to connect to, or the address to listen on"),
    OptionSpec::required("port", OptionKind::Integer, "the TCP port"),
    OptionSpec::with_default(
        "mode",
        OptionKind::OneOf(&["connect", "listen"]),
        "connect",
        "connect to a server, or listen and read from every client that connects",
    ),
    OptionSpec::with_default(
        "reconnect",
        OptionKind::Boolean,
        "false",
        "connect again when the server closes the connection; otherwise that ends the table",
    ),
    OptionSpec::with_default(
        "connect.max-retries",
        OptionKind::Integer,
        "3",
        "how often a failed connection is tried again; -1 tries forever",
    ),
    OptionSpec::with_default(
        "connect.timeout",
        OptionKind::Duration,
        "10 s",
        "how long to wait for a host that does not answer",
    ),
    OptionSpec::with_default("connect.retry-delay", OptionKind::Duration, "500 ms", "how long to wait before that"),
    records::FORMAT,
    records::BYTE_DELIMITER,
    records::MAX_RECORD_SIZE,
];

pub struct Socket;

impl Connector for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], formats: &Registry) -> Result<Arc<dyn Source>> {
        let endpoint = Endpoint::of(table)?;
        let format = format_of(table, OPTIONS, formats)?;
        Records::new(table, OPTIONS, format.as_ref(), projection, SplitId::new(""), 0)?;
        Ok(Arc::new(SocketSource {
            listens: table.options.text(OPTIONS, "mode").is_some_and(|mode| mode.eq_ignore_ascii_case("listen")),
            reconnects: table.options.boolean(OPTIONS, "reconnect"),
            endpoint,
            table: table.clone(),
            projection: projection.to_vec(),
            format,
        }))
    }

    fn sink(&self, table: &TableDefinition, formats: &Registry) -> Result<Arc<dyn Sink>> {
        let endpoint = Endpoint::of(table)?;
        if table.options.text(OPTIONS, "mode").is_some_and(|mode| mode.eq_ignore_ascii_case("listen")) {
            return Err(Error::new(format!("cannot write to table {}", table.name))
                .why("rows are written to a server that is there, not to clients that may come")
                .fix(format!("use 'mode' = 'connect' and start a server with: nc -lk {}", endpoint.port)));
        }
        let format = format_of(table, OPTIONS, formats)?;
        format.encoder(table)?;
        Ok(Arc::new(SocketSink { delimiter: delimiter_of(table, OPTIONS)?, endpoint, table: table.clone(), format }))
    }
}

/// Where to connect, and how patiently.
#[derive(Clone)]
struct Endpoint {
    host: String,
    port: u16,
    /// `None` is forever.
    retries_max: Option<u64>,
    retry_delay: Duration,
    timeout: Duration,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    fn of(table: &TableDefinition) -> Result<Endpoint> {
        let number = table.options.integer(OPTIONS, "port").unwrap_or_default();
        let port = u16::try_from(number).map_err(|_| {
            Error::new(format!("option 'port' of table {} has the value '{number}'", table.name))
                .why("a TCP port is a number from 0 to 65535")
        })?;
        Ok(Endpoint {
            host: table.options.get("hostname").unwrap_or("localhost").to_string(),
            port,
            retries_max: table.options.integer(OPTIONS, "connect.max-retries").and_then(|n| u64::try_from(n).ok()),
            retry_delay: table.options.duration(OPTIONS, "connect.retry-delay").unwrap_or_default(),
            timeout: table.options.duration(OPTIONS, "connect.timeout").unwrap_or(Duration::MAX),
        })
    }

    /// Connects, again and again as the options say.
    async fn connect(&self) -> Result<TcpStream> {
        let mut retries = 0;
        loop {
            let connecting = TcpStream::connect((self.host.as_str(), self.port));
            let connected = tokio::time::timeout(self.timeout, connecting).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    // Rows are flushed as whole epochs; waiting for more to fill a packet only delays them.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) if self.retries_max.is_some_and(|max| retries >= max) => return Err(self.refused(&error)),
                Err(_) => tokio::time::sleep(self.retry_delay).await,
            }
            retries += 1;
        }
    }

    fn refused(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Error::new(format!("nothing listens on {self}"))
                .why(error.to_string())
                .fix(format!("start one with: nc -lk {}", self.port)),
            _ => Error::new(format!("could not connect to {self}"))
                .why(error.to_string())
                .fix("check 'hostname' and 'port'; 'connect.max-retries' = '10' tries again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines_table, registry};
    use super::*;

    #[tokio::test]
    async fn nobody_listening_is_said_with_the_command_that_helps() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let (table, _) = lines_table(&[
            ("connector", "socket"),
            ("hostname", "127.0.0.1"),
            ("port", &port),
            ("connect.max-retries", "1"),
            ("connect.retry-delay", "1 ms"),
        ]);
        registry().connector(&table).unwrap();
        let source = Socket.source(&table, &[0], &registry()).unwrap();
        let splits = source.splits().await.unwrap().into_iter().map(|split| (split, None)).collect();
        let error = source.open(splits).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("nothing listens on 127.0.0.1:{port}\n")), "{error}");
        assert!(error.ends_with(&format!("fix: start one with: nc -lk {port}")), "{error}");
    }

    #[test]
    fn a_port_that_is_none_is_refused() {
        let (table, _) = lines_table(&[("hostname", "h"), ("port", "70000")]);
        let error = Socket.source(&table, &[0], &registry()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("a TCP port is a number from 0 to 65535"), "{error}");
    }
}
