// SPDX-License-Identifier: GPL-2.0

//! Traffic between the guest and an endpoint outside it, and what became of it.
//!
//! Five streams, named from the guest's side: `tcp_in` and `tcp_out` (bulk TCP, generated content,
//! hashed at both ends), `rr` (one small TCP request at a time, answered with the guest's time),
//! `udp_in` and `udp_out` (numbered and checksummed datagrams at a fixed rate).
//!
//! The guest is always the one that listens, so that a single start command per side is enough.

pub mod content;
pub mod timeline;

use anyhow::Context;
use anyhow::Result;
use compsc_report::STREAMS;
use content::Generator;
use content::StreamHash;
use serde::Deserialize;
use serde::Serialize;
use socket2::Domain;
use socket2::Protocol;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use timeline::Packed;
use timeline::Timeline;
use timeline::now_ns;

/// Both sides get the same.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Config {
    /// The endpoint outside the guest.
    pub host: IpAddr,
    /// The guest.
    pub guest: IpAddr,
    /// First of five ports in a row.
    pub port: u16,
    /// Seed of all content.
    pub seed: u64,
    /// Datagrams per second, each way.
    pub udp_rate: u32,
    /// Bytes per datagram.
    pub udp_size: usize,
    /// Limit of each bulk stream in bytes per second; 0 is none.
    pub tcp_rate: u64,
    /// Microseconds between two requests.
    pub rr_interval_us: u64,
}

impl Config {
    fn address(&self, guest: bool, offset: u16) -> SocketAddr {
        SocketAddr::new(
            if guest { self.guest } else { self.host },
            self.port + offset,
        )
    }
}

/// How long a TCP stream may stand still before it counts as broken.
const STALL: Duration = Duration::from_secs(60);
/// How often a waiting thread looks whether it shall stop.
const TICK: Duration = Duration::from_millis(100);
/// Size of one write of a bulk stream in bytes.
const CHUNK: usize = 64 << 10;

/// What a sender of a bulk stream, or its receiver, has seen.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Bulk {
    /// Bytes.
    pub bytes: u64,
    /// Hash after each [`content::CHECKPOINT`] bytes.
    pub checkpoints: Vec<u64>,
    /// Hash of everything.
    pub hash: u64,
    /// Why it ended, unless in the orderly way.
    pub error: Option<String>,
}

/// Datagrams that never arrived.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lost {
    /// Number of the first of them.
    pub first: u64,
    /// How many in a row.
    pub count: u64,
    /// Receiver's time at which the next one arrived, in nanoseconds; 0 if none did.
    pub noticed_ns: u64,
}

/// What a datagram receiver has seen.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Datagrams {
    /// Different ones that arrived.
    pub received: u64,
    /// Arrived more than once: the receiver's times of the further arrivals in nanoseconds.
    pub duplicated_ns: Vec<u64>,
    /// Arrived with a wrong checksum: the receiver's times in nanoseconds.
    pub corrupted_ns: Vec<u64>,
    /// Arrived after one with a higher number.
    pub reordered: u64,
    /// Missing below the highest number seen.
    pub lost: Vec<Lost>,
    /// Highest number seen, plus one.
    pub next: u64,
}

/// Everything one side knows about the traffic.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Bulk streams sent by this side.
    pub sent: BTreeMap<String, Bulk>,
    /// Bulk streams received by this side.
    pub received: BTreeMap<String, Bulk>,
    /// Datagrams sent by this side, per stream.
    pub datagrams_sent: BTreeMap<String, u64>,
    /// Datagrams received by this side.
    pub datagrams: BTreeMap<String, Datagrams>,
    /// Arrivals by this side's clock.
    pub timelines: BTreeMap<String, Packed>,
    /// Whatever ended a thread early.
    pub errors: Vec<String>,
}

/// A request/response exchange as the host saw it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Host's time at sending, in nanoseconds.
    pub sent_ns: u64,
    /// Host's time when the answer was there.
    pub received_ns: u64,
    /// Guest's time in the answer.
    pub guest_ns: u64,
}

struct DatagramState {
    /// Arrival per number: milliseconds since `base_ns`, plus one; 0 if it has not arrived.
    arrival: Vec<u32>,
    base_ns: u64,
    seen: Datagrams,
}

impl DatagramState {
    fn note(&mut self, seq: u64, now: u64) {
        let index = usize::try_from(seq).unwrap_or(usize::MAX);
        // No run sends that many; a forged number must not eat all memory.
        if index > 100_000_000 {
            self.seen.corrupted_ns.push(now);
            return;
        }
        if index >= self.arrival.len() {
            self.arrival.resize(index + 1, 0);
        }
        if self.arrival[index] != 0 {
            self.seen.duplicated_ns.push(now);
            return;
        }
        let ms = now.saturating_sub(self.base_ns) / 1_000_000;
        self.arrival[index] = u32::try_from(ms).unwrap_or(u32::MAX - 1) + 1;
        self.seen.received += 1;
        if seq < self.seen.next {
            self.seen.reordered += 1;
        } else {
            self.seen.next = seq + 1;
        }
    }

    fn finish(&self) -> Datagrams {
        let mut out = self.seen.clone();
        let mut missing: Option<(usize, u64)> = None;
        for (index, &ms) in self.arrival.iter().enumerate() {
            match (ms, missing) {
                (0, None) => missing = Some((index, 1)),
                (0, Some((first, count))) => missing = Some((first, count + 1)),
                (ms, Some((first, count))) => {
                    out.lost.push(Lost {
                        first: first as u64,
                        count,
                        noticed_ns: self.base_ns + u64::from(ms - 1) * 1_000_000,
                    });
                    missing = None;
                }
                (_, None) => {}
            }
        }
        out
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The guest's side: the host is there.
    go: AtomicBool,
    sent: Mutex<BTreeMap<String, Bulk>>,
    received: Mutex<BTreeMap<String, Bulk>>,
    datagrams_sent: Mutex<BTreeMap<String, u64>>,
    datagrams: Mutex<BTreeMap<String, DatagramState>>,
    timelines: Mutex<BTreeMap<String, Timeline>>,
    exchanges: Mutex<Vec<Exchange>>,
    /// Second handles of all TCP streams, to end those that do not end by themselves.
    streams: Mutex<Vec<TcpStream>>,
    errors: Mutex<Vec<String>>,
}

/// A panic in another thread is reported by its own join; the data stay readable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn keep_handle(&self, stream: &TcpStream) -> Result<()> {
        lock(&self.streams).push(stream.try_clone()?);
        Ok(())
    }

    fn arrived(&self, stream: &str, bytes: usize) {
        let now = now_ns();
        if let Some(line) = lock(&self.timelines).get_mut(stream) {
            line.add(now, bytes);
        }
    }
}

/// One side of the traffic: its threads and what they have seen.
///
/// Threads end after [`Side::stop`]; dropping a side asks them to stop without waiting.
pub struct Side {
    shared: Arc<Shared>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
    config: Config,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Side {
    /// Starts the guest's side: listens, and returns once it does.
    ///
    /// # Errors
    ///
    /// If an address or port cannot be used.
    pub fn start_guest(config: &Config) -> Result<Self> {
        let mut side = Self::new(config);
        let bulk_in = listen(config.address(true, 0))?;
        side.spawn("tcp_in", move |shared, _| {
            let stream = accept(&bulk_in, shared)?;
            receive_bulk(stream, "tcp_in", shared)
        });
        let bulk_out = listen(config.address(true, 1))?;
        side.spawn("tcp_out", move |shared, config| {
            let stream = accept(&bulk_out, shared)?;
            send_bulk(stream, "tcp_out", config, shared)
        });
        let rr = listen(config.address(true, 2))?;
        side.spawn("rr", move |shared, _| {
            let stream = accept(&rr, shared)?;
            shared.go.store(true, Ordering::Relaxed);
            answer(stream, shared)
        });
        let udp_in = datagram_socket(config.address(true, 3))?;
        let udp_out = udp_in
            .try_clone()
            .context("cannot share the datagram socket")?;
        side.spawn("udp_in", move |shared, config| {
            receive_datagrams(&udp_in, "udp_in", config, shared)
        });
        side.spawn("udp_out", move |shared, config| {
            // The host connects when its datagram socket is open.
            while !shared.go.load(Ordering::Relaxed) && !shared.stopping() {
                std::thread::sleep(Duration::from_millis(1));
            }
            send_datagrams(
                &udp_out,
                config.address(false, 4),
                "udp_out",
                config,
                shared,
            )
        });
        Ok(side)
    }

    /// Starts the host's side: connects to a guest that has been started.
    ///
    /// # Errors
    ///
    /// If the guest cannot be reached.
    pub fn start_host(config: &Config) -> Result<Self> {
        let mut side = Self::new(config);
        let udp_out = datagram_socket(config.address(false, 4))?;
        let udp_in = udp_out
            .try_clone()
            .context("cannot share the datagram socket")?;
        let bulk_in = connect(config.address(true, 0))?;
        side.spawn("tcp_in", move |shared, config| {
            send_bulk(bulk_in, "tcp_in", config, shared)
        });
        let bulk_out = connect(config.address(true, 1))?;
        side.spawn("tcp_out", move |shared, _| {
            receive_bulk(bulk_out, "tcp_out", shared)
        });
        let rr = connect(config.address(true, 2))?;
        side.spawn("rr", move |shared, config| ask(rr, config, shared));
        side.spawn("udp_out", move |shared, config| {
            receive_datagrams(&udp_out, "udp_out", config, shared)
        });
        side.spawn("udp_in", move |shared, config| {
            send_datagrams(&udp_in, config.address(true, 3), "udp_in", config, shared)
        });
        Ok(side)
    }

    fn new(config: &Config) -> Self {
        let shared = Shared::default();
        let base = now_ns();
        for stream in STREAMS {
            lock(&shared.timelines).insert(stream.to_owned(), Timeline::new(base));
        }
        Self {
            shared: Arc::new(shared),
            threads: Vec::new(),
            config: config.clone(),
        }
    }

    fn spawn<F>(&mut self, name: &'static str, work: F)
    where
        F: FnOnce(&Shared, &Config) -> Result<()> + Send + 'static,
    {
        let shared = self.shared.clone();
        let config = self.config.clone();
        let thread = std::thread::spawn(move || {
            if let Err(e) = work(&shared, &config) {
                lock(&shared.errors).push(format!("{name}: {e:#}"));
            }
        });
        self.threads.push((name, thread));
    }

    /// Asks this side's senders to finish. Receivers end when the other side's senders have, or
    /// (datagrams) a moment after this.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for all threads; call [`Side::stop`] on both sides before. Streams that have not ended
    /// within `patience` are cut, which their report tells.
    pub fn join(&mut self, patience: Duration) {
        let deadline = now_ns() + u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX / 2);
        while now_ns() < deadline && self.threads.iter().any(|(_, t)| !t.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for stream in lock(&self.shared.streams).drain(..) {
            // An error says that it has ended already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        for (name, thread) in self.threads.drain(..) {
            if thread.join().is_err() {
                lock(&self.shared.errors).push(format!("{name}: its thread panicked"));
            }
        }
    }

    /// What ended threads early so far.
    pub fn errors(&self) -> Vec<String> {
        lock(&self.shared.errors).clone()
    }

    /// Request/response exchanges (host's side only).
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.exchanges).clone()
    }

    /// Everything this side knows.
    pub fn report(&self) -> Report {
        let shared = &self.shared;
        Report {
            sent: lock(&shared.sent).clone(),
            received: lock(&shared.received).clone(),
            datagrams_sent: lock(&shared.datagrams_sent).clone(),
            datagrams: lock(&shared.datagrams)
                .iter()
                .map(|(name, state)| (name.clone(), state.finish()))
                .collect(),
            timelines: lock(&shared.timelines)
                .iter()
                .map(|(name, line)| (name.clone(), line.pack()))
                .collect(),
            errors: self.errors(),
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket
        .bind(&SockAddr::from(address))
        .with_context(|| format!("cannot bind {address}"))?;
    socket.listen(1)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &TcpListener, shared: &Shared) -> Result<TcpStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && !shared.stopping() => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e).context("nobody connected"),
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect_timeout(&address, Duration::from_secs(20))
        .with_context(|| format!("cannot connect to the guest at {address}"))
}

fn datagram_socket(address: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // Room for a burst: a datagram that the socket drops is none that the adapter lost.
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_reuse_address(true)?;
    socket
        .bind(&SockAddr::from(address))
        .with_context(|| format!("cannot bind {address}"))?;
    socket.set_read_timeout(Some(TICK))?;
    // A driver that sends nothing more leaves the socket full.
    socket.set_write_timeout(Some(TICK))?;
    Ok(UdpSocket::from(socket))
}

/// Sends at the configured rate until told to stop, then closes the stream.
fn send_bulk(mut stream: TcpStream, name: &str, config: &Config, shared: &Shared) -> Result<()> {
    stream.set_write_timeout(Some(STALL))?;
    shared.keep_handle(&stream)?;
    let mut generator = Generator::new(config.seed);
    let mut hash = StreamHash::new();
    // About a hundred writes per second at a limited rate, so that it flows instead of jumping.
    let size = match usize::try_from(config.tcp_rate / 100)? {
        0 => CHUNK,
        size => size.clamp(4096, CHUNK),
    };
    let mut chunk = vec![0; size];
    let begin = now_ns();
    let mut sent = 0_u64;
    let mut result = Ok(());
    while !shared.stopping() {
        generator.fill(&mut chunk);
        if let Err(e) = stream.write_all(&chunk) {
            result = Err(e).with_context(|| format!("sending stopped after {sent} bytes"));
            break;
        }
        hash.update(&chunk);
        sent += size as u64;
        if config.tcp_rate > 0 {
            let due = begin + sent.saturating_mul(1_000_000_000) / config.tcp_rate;
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let (bytes, checkpoints, digest) = hash.finish();
    lock(&shared.sent).insert(
        name.to_owned(),
        Bulk {
            bytes,
            checkpoints,
            hash: digest,
            error: result.as_ref().err().map(|e| format!("{e:#}")),
        },
    );
    result
}

/// Receives until the other side closes.
fn receive_bulk(mut stream: TcpStream, name: &str, shared: &Shared) -> Result<()> {
    stream.set_read_timeout(Some(STALL))?;
    shared.keep_handle(&stream)?;
    let mut hash = StreamHash::new();
    let mut buffer = vec![0; 4 * CHUNK];
    let result = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(n) => {
                shared.arrived(name, n);
                hash.update(&buffer[..n]);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => break Err(e).context("receiving stopped before the stream's end"),
        }
    };
    let (bytes, checkpoints, digest) = hash.finish();
    lock(&shared.received).insert(
        name.to_owned(),
        Bulk {
            bytes,
            checkpoints,
            hash: digest,
            error: result.as_ref().err().map(|e| format!("{e:#}")),
        },
    );
    result
}

/// Bytes of a request (its number) and of an answer (number and guest's time).
const REQUEST: usize = 64;

/// The guest's side of the request/response stream.
fn answer(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    shared.keep_handle(&stream)?;
    let mut message = [0; REQUEST];
    loop {
        match stream.read_exact(&mut message) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e).context("no request"),
        }
        shared.arrived("rr", REQUEST);
        message[8..16].copy_from_slice(&now_ns().to_le_bytes());
        stream.write_all(&message).context("cannot answer")?;
    }
}

/// The host's side of the request/response stream.
fn ask(mut stream: TcpStream, config: &Config, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    shared.keep_handle(&stream)?;
    let interval = config.rr_interval_us * 1000;
    let mut generator = Generator::new(config.seed);
    let mut next = now_ns();
    let mut request = [0; REQUEST];
    let mut number = 0_u64;
    while !shared.stopping() {
        generator.fill(&mut request);
        request[0..8].copy_from_slice(&number.to_le_bytes());
        let sent_ns = now_ns();
        stream.write_all(&request).context("cannot ask")?;
        let mut answer = [0; REQUEST];
        stream.read_exact(&mut answer).context("no answer")?;
        let received_ns = now_ns();
        anyhow::ensure!(
            answer[0..8] == request[0..8] && answer[16..] == request[16..],
            "the answer to request {number} is not that request"
        );
        let mut guest = [0; 8];
        guest.copy_from_slice(&answer[8..16]);
        if let Some(line) = lock(&shared.timelines).get_mut("rr") {
            line.add(received_ns, REQUEST);
        }
        lock(&shared.exchanges).push(Exchange {
            sent_ns,
            received_ns,
            guest_ns: u64::from_le_bytes(guest),
        });
        number += 1;
        next = (next + interval).max(received_ns);
        std::thread::sleep(Duration::from_nanos(next.saturating_sub(now_ns())));
    }
    Ok(())
}

/// Sends numbered datagrams at a fixed rate until told to stop.
fn send_datagrams(
    socket: &UdpSocket,
    to: SocketAddr,
    name: &str,
    config: &Config,
    shared: &Shared,
) -> Result<()> {
    let interval = 1_000_000_000 / u64::from(config.udp_rate.max(1));
    let mut data = vec![0; config.udp_size.max(content::HEADER)];
    let mut seq = 0_u64;
    let mut next = now_ns();
    while !shared.stopping() {
        content::build_datagram(&mut data, config.seed, seq, now_ns());
        // What the local stack refuses was not sent: the number is used again.
        if socket.send_to(&data, to).is_ok() {
            seq += 1;
        }
        let now = now_ns();
        next += interval;
        // After a standstill the schedule starts anew instead of catching up in a burst.
        if now > next + 20 * interval {
            next = now;
        }
        std::thread::sleep(Duration::from_nanos(next.saturating_sub(now_ns())));
    }
    lock(&shared.datagrams_sent).insert(name.to_owned(), seq);
    Ok(())
}

/// Receives datagrams until told to stop and nothing more comes.
fn receive_datagrams(
    socket: &UdpSocket,
    name: &str,
    config: &Config,
    shared: &Shared,
) -> Result<()> {
    lock(&shared.datagrams).insert(
        name.to_owned(),
        DatagramState {
            arrival: Vec::new(),
            base_ns: now_ns(),
            seen: Datagrams::default(),
        },
    );
    let mut buffer = vec![0; 65536];
    let mut quiet = 0;
    loop {
        match socket.recv(&mut buffer) {
            Ok(n) => {
                quiet = 0;
                shared.arrived(name, n);
                let seq = content::check_datagram(&mut buffer[..n], config.seed);
                let now = now_ns();
                if let Some(state) = lock(&shared.datagrams).get_mut(name) {
                    match seq {
                        Some(seq) => state.note(seq, now),
                        None => state.seen.corrupted_ns.push(now),
                    }
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                quiet += 1;
                // The other side stops a moment later or earlier than this one.
                if shared.stopping() && quiet >= 10 {
                    return Ok(());
                }
            }
            // An ICMP error for an earlier datagram of ours, or a signal.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::Interrupted
                ) => {}
            Err(e) => return Err(e).context("cannot receive"),
        }
    }
}

/// Counters of the network stack that tell about damage on the way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct StackCounters {
    /// TCP segments sent again.
    pub tcp_retransmits: u64,
    /// TCP segments with a wrong checksum.
    pub tcp_checksum_errors: u64,
    /// Datagrams with a wrong checksum.
    pub udp_checksum_errors: u64,
    /// Datagrams dropped because the receiving socket was full.
    pub udp_socket_full: u64,
}

impl StackCounters {
    /// Reads them from /proc/net/snmp of this network namespace.
    ///
    /// # Errors
    ///
    /// If that file cannot be read.
    pub fn read() -> Result<Self> {
        let text =
            std::fs::read_to_string("/proc/net/snmp").context("cannot read /proc/net/snmp")?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut values = BTreeMap::new();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let names = pair[0].split_whitespace();
            let mut numbers = pair[1].split_whitespace();
            let group = numbers.next().unwrap_or("");
            for (name, number) in names.skip(1).zip(numbers) {
                values.insert(format!("{group}{name}"), number.parse().unwrap_or(0));
            }
        }
        let get = |name: &str| values.get(name).copied().unwrap_or(0);
        Self {
            tcp_retransmits: get("Tcp:RetransSegs"),
            tcp_checksum_errors: get("Tcp:InCsumErrors"),
            udp_checksum_errors: get("Udp:InCsumErrors"),
            udp_socket_full: get("Udp:RcvbufErrors"),
        }
    }

    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            tcp_retransmits: self.tcp_retransmits.saturating_sub(earlier.tcp_retransmits),
            tcp_checksum_errors: self
                .tcp_checksum_errors
                .saturating_sub(earlier.tcp_checksum_errors),
            udp_checksum_errors: self
                .udp_checksum_errors
                .saturating_sub(earlier.udp_checksum_errors),
            udp_socket_full: self.udp_socket_full.saturating_sub(earlier.udp_socket_full),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagram_bookkeeping() {
        let mut state = DatagramState {
            arrival: Vec::new(),
            base_ns: 0,
            seen: Datagrams::default(),
        };
        for (seq, ms) in [(0, 1), (1, 2), (5, 9), (4, 10), (5, 11), (8, 20)] {
            state.note(seq, ms * 1_000_000);
        }
        let out = state.finish();
        assert_eq!((out.received, out.reordered, out.next), (5, 1, 9));
        assert_eq!(out.duplicated_ns, [11_000_000]);
        let lost = |first, count, ms: u64| Lost {
            first,
            count,
            noticed_ns: ms * 1_000_000,
        };
        assert_eq!(out.lost, [lost(2, 2, 10), lost(6, 2, 20)]);
    }

    #[test]
    fn snmp_columns_by_name() {
        let text = "Tcp: A RetransSegs InCsumErrors\nTcp: 1 22 3\nUdp: InCsumErrors RcvbufErrors\nUdp: 4 5\n";
        let c = StackCounters::parse(text);
        assert_eq!(
            (
                c.tcp_retransmits,
                c.tcp_checksum_errors,
                c.udp_checksum_errors,
                c.udp_socket_full
            ),
            (22, 3, 4, 5)
        );
    }

    #[test]
    fn all_streams_over_loopback() {
        let config = Config {
            host: IpAddr::from([127, 0, 0, 1]),
            guest: IpAddr::from([127, 0, 0, 1]),
            port: 45_300,
            seed: 3,
            udp_rate: 500,
            udp_size: 100,
            tcp_rate: 4 << 20,
            rr_interval_us: 1000,
        };
        let mut guest = Side::start_guest(&config).unwrap();
        let mut host = Side::start_host(&config).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        host.stop();
        guest.stop();
        host.join(Duration::from_secs(20));
        guest.join(Duration::from_secs(20));
        let (h, g) = (host.report(), guest.report());
        assert!(
            h.errors.is_empty() && g.errors.is_empty(),
            "{:?} {:?}",
            h.errors,
            g.errors
        );
        assert_eq!(h.sent["tcp_in"].hash, g.received["tcp_in"].hash);
        assert_eq!(g.sent["tcp_out"].hash, h.received["tcp_out"].hash);
        assert!(h.received["tcp_out"].bytes > 0);
        assert_eq!(h.datagrams_sent["udp_in"], g.datagrams["udp_in"].received);
        assert_eq!(g.datagrams_sent["udp_out"], h.datagrams["udp_out"].received);
        assert!(h.datagrams["udp_out"].lost.is_empty());
        assert!(host.exchanges().len() > 50);
    }
}
