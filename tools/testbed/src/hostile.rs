// SPDX-License-Identifier: GPL-2.0

//! A hostile guest: a program in user space, without any driver, that announces regions to the host and
//! forges everything in them while they are read.

use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use std::fs;
use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use vfio_states::random::Random;
use vfio_states::region;
use vfio_states::region::Guest;
use vfio_states::region::Machine;
use vfio_states::region::PAGE;

/// Size of a huge page, which is contiguous for the function as well.
const MEMORY: usize = 2 << 20;

/// A thread that misbehaves until it is stopped.
#[derive(Debug)]
pub struct Hostile {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Hostile {
    /// Starts on the first function that has the capability.
    ///
    /// # Errors
    ///
    /// If there is none, or no memory that it can reach.
    pub fn start(seed: u64) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let function = PciFunction::open()?;
        let flag = stop.clone();
        let thread = thread::spawn(move || misbehave(&function, seed, &flag));
        Ok(Self { stop, thread })
    }

    /// Ends it. Returns how many regions were announced.
    ///
    /// # Errors
    ///
    /// If it could not do what it was to do.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("the hostile thread died"))?
    }
}

fn misbehave(function: &PciFunction, seed: u64, stop: &AtomicBool) -> Result<u64> {
    let mut random = Random::new(seed);
    let base = region::find_capability(function).map_err(|e| anyhow!("{e}"))?;
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        // Each round begins with what a driver would say, so that the host listens at all.
        let guest = Guest::announced(function).map_err(|e| anyhow!("{e}"))?;
        rounds += 1;
        for _ in 0..random.below(300) {
            match random.below(8) {
                0 => guest.forge(function, &mut random),
                1 => region::scribble(function, base, &mut random)?,
                2 => thread::sleep(Duration::from_millis(random.below(20))),
                _ => guest.flicker(function, &mut random),
            }
        }
    }
    Ok(rounds)
}

/// A function without a driver, by its files in sysfs, and a huge page.
struct PciFunction {
    config: File,
    memory: &'static [AtomicU8],
    address: u64,
}

impl PciFunction {
    fn open() -> Result<Self> {
        let device = fs::read_dir("/sys/bus/pci/devices")?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| {
                let id = |name| fs::read_to_string(path.join(name)).unwrap_or_default();
                id("vendor").trim() == "0x8086" && id("device").trim() == "0x10ca"
            })
            .context("the guest has no virtual function")?;
        let config = File::options()
            .read(true)
            .write(true)
            .open(device.join("config"))
            .with_context(|| format!("cannot open {}/config", device.display()))?;
        fs::write("/proc/sys/vm/nr_hugepages", "1")?;
        let (memory, address) = huge_page()?;
        Ok(Self {
            config,
            memory,
            address,
        })
    }
}

/// A huge page for ever, and its address in the machine's memory.
fn huge_page() -> Result<(&'static [AtomicU8], u64)> {
    use nix::sys::mman::MapFlags;
    use nix::sys::mman::ProtFlags;
    // SAFETY: A new private mapping.
    let start: NonNull<libc::c_void> = unsafe {
        nix::sys::mman::mmap_anonymous(
            None,
            NonZero::new(MEMORY).context("no size")?,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE | MapFlags::MAP_HUGETLB | MapFlags::MAP_POPULATE,
        )
    }
    .context("the guest has no huge page")?;
    // SAFETY: The mapping is that long, is never unmapped, and nothing else refers to it.
    let memory = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU8>().as_ptr(), MEMORY) };
    let mut entry = [0; 8];
    File::open(Path::new("/proc/self/pagemap"))?
        .read_exact_at(&mut entry, (start.as_ptr() as usize / PAGE * 8) as u64)?;
    // The page frame number; the guest has no IOMMU, so this is the bus address as well.
    let frame = u64::from_le_bytes(entry) & ((1 << 55) - 1);
    if frame == 0 {
        bail!("the guest's kernel does not tell where a page is");
    }
    Ok((memory, frame * PAGE as u64))
}

impl Machine for PciFunction {
    fn bus_address(&self) -> u64 {
        self.address
    }

    fn put(&self, offset: usize, data: &[u8]) {
        for (to, &byte) in self.memory[offset..].iter().zip(data) {
            to.store(byte, Ordering::Relaxed);
        }
    }

    fn get(&self, offset: usize, len: usize) -> Vec<u8> {
        self.memory[offset..][..len]
            .iter()
            .map(|b| b.load(Ordering::Relaxed))
            .collect()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) -> std::io::Result<usize> {
        self.config.read_at(data, offset)
    }

    fn write_config(&self, offset: u64, data: &[u8]) -> std::io::Result<usize> {
        self.config.write_at(data, offset)
    }
}
