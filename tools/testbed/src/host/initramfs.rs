// SPDX-License-Identifier: GPL-2.0

//! Adds files to the guest's initramfs: the kernel unpacks archives in a row one after the other.

use anyhow::Context;
use anyhow::Result;
use std::io::Write;
use std::path::Path;

/// One entry of a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/
/// buffer-format.rst of the kernel).
fn entry(out: &mut Vec<u8>, inode: u32, name: &str, mode: u32, data: &[u8]) {
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(b"070701");
    // ino, mode, uid, gid, nlink, mtime, filesize, device (2), special device (2), name size, check
    for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Writes `target`: the archive `base` followed by one with `files` (path in the guest without the
/// leading slash, file on this machine). All files are executable; folders are made as needed.
///
/// # Errors
///
/// If a file cannot be read or written.
pub fn extend(base: &Path, files: &[(String, &Path)], target: &Path) -> Result<()> {
    let mut archive =
        std::fs::read(base).with_context(|| format!("cannot read {}", base.display()))?;
    archive.resize(archive.len().next_multiple_of(512), 0);
    let mut inode = 0x1000_0000;
    let mut folders = Vec::new();
    let mut more = Vec::new();
    for (name, path) in files {
        let data =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if let Some((folder, _)) = name.rsplit_once('/') {
            if !folders.contains(&folder.to_owned()) {
                folders.push(folder.to_owned());
                inode += 1;
                entry(&mut more, inode, folder, 0o040_755, &[]);
            }
        }
        inode += 1;
        entry(&mut more, inode, name, 0o100_755, &data);
    }
    entry(&mut more, 0, "TRAILER!!!", 0, &[]);
    archive.extend_from_slice(&more);
    let mut file = std::fs::File::create(target)
        .with_context(|| format!("cannot create {}", target.display()))?;
    file.write_all(&archive)
        .with_context(|| format!("cannot write {}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_readable() {
        let mut out = Vec::new();
        entry(&mut out, 1, "init", 0o100_755, b"hello");
        entry(&mut out, 0, "TRAILER!!!", 0, &[]);
        assert_eq!(out.len() % 4, 0);
        let field = |i: usize| {
            let text = std::str::from_utf8(&out[6 + 8 * i..14 + 8 * i]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        assert_eq!((field(1), field(6), field(11)), (0o100_755, 5, 5));
        assert_eq!(&out[110..115], b"init\0");
        assert_eq!(&out[116..121], b"hello");
        assert_eq!(&out[124..130], b"070701");
    }
}
