// SPDX-License-Identifier: GPL-2.0

//! A cable that can be cut: passes one migration stream on, up to a given number of bytes.

use anyhow::Context;
use anyhow::Result;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::thread;

/// Listens at `from`; when a stream comes, connects to `to` and passes `limit` bytes on, in that direction, and
/// everything in the other. Then both connections end.
///
/// # Errors
///
/// If the socket `from` cannot be made.
pub fn start(from: &Path, to: &Path, limit: u64) -> Result<()> {
    let _ = std::fs::remove_file(from);
    let listener =
        UnixListener::bind(from).with_context(|| format!("cannot listen at {}", from.display()))?;
    let to = to.to_owned();
    // Ends with the connections, or with the program.
    thread::spawn(move || relay(&listener, &to, limit));
    Ok(())
}

fn relay(listener: &UnixListener, to: &PathBuf, limit: u64) -> std::io::Result<()> {
    let (source, _) = listener.accept()?;
    let destination = UnixStream::connect(to)?;
    let (mut back_from, mut back_to) = (destination.try_clone()?, source.try_clone()?);
    thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
    let (mut from, mut to) = (&source, &destination);
    let mut left = limit;
    let mut chunk = vec![0; 65536];
    while left > 0 {
        let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut chunk[..most])?;
        if read == 0 {
            break;
        }
        to.write_all(&chunk[..read])?;
        left -= read as u64;
    }
    for end in [&source, &destination] {
        // It may have been closed from the other side.
        let _ = end.shutdown(Shutdown::Both);
    }
    Ok(())
}
