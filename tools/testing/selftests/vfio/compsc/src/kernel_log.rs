// SPDX-License-Identifier: GPL-2.0

//! Whatever the tests do, the kernel must not complain about itself.

use crate::ensure;
use crate::ktap::Result;
use crate::ktap::Test;
use crate::Context;
use compsc_kernel_log::complaints;
use compsc_kernel_log::kmemleak;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;

// The last of all tests.
pub(crate) const TESTS: &[Test<Context>] = &[("kernel.quiet", quiet), ("kernel.leaks", leaks)];

/// The kernel's log from some moment on.
#[derive(Debug)]
pub(crate) struct KernelLog(Option<File>);

impl KernelLog {
    /// From now on. Only root can read it.
    pub(crate) fn new() -> Self {
        let open = || {
            let mut file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open("/dev/kmsg")?;
            file.seek(SeekFrom::End(0))?;
            std::io::Result::Ok(file)
        };
        Self(open().ok())
    }

    /// The messages since then, without their headers. Some may be missing if there were very many.
    fn lines(&self) -> Result<Vec<String>> {
        let mut file = self.0.as_ref().ok_or("/dev/kmsg cannot be read")?;
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match file.read(&mut record) {
                Ok(0) => return Ok(lines),
                Ok(n) => {
                    let text = String::from_utf8_lossy(&record[..n]).into_owned();
                    lines.push(
                        text.split_once(';')
                            .map_or(String::new(), |(_, t)| t.to_owned()),
                    );
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(lines),
                // Older messages were overwritten meanwhile.
                Err(e) if e.raw_os_error() == Some(libc::EPIPE) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn quiet(c: &Context) -> Result {
    let lines = c.log.lines()?;
    let complaints = complaints(&lines.concat());
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    println!("# {} messages", lines.len());
    Ok(())
}

/// On a kernel that looks for leaked memory: none is the driver's.
fn leaks(_: &Context) -> Result {
    let Some(leaks) = kmemleak::scan()? else {
        println!("# this kernel has no leak detector");
        return Ok(());
    };
    let (ours, others): (Vec<_>, Vec<_>) = leaks.into_iter().partition(|leak| leak.ours);
    for line in others.iter().flat_map(|leak| leak.text.lines()) {
        println!("# {line}");
    }
    ensure!(ours.is_empty(), "{} leaks, first\n{}", ours.len(), ours[0]);
    Ok(())
}
