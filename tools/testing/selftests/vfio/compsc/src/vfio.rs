// SPDX-License-Identifier: GPL-2.0

//! A function opened through VFIO's group interface, with memory that it can reach.
//!
//! All unsafe code of the test is here: system calls with pointers to structures.

use std::ffi::CString;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use vfio_states::region::Machine;
use vfio_states::region::PAGE;

const fn request(nr: u64) -> u64 {
    0x3b00 + 100 + nr
}

const SET_IOMMU: u64 = request(2);
const GROUP_GET_STATUS: u64 = request(3);
const GROUP_SET_CONTAINER: u64 = request(4);
const GROUP_GET_DEVICE_FD: u64 = request(6);
const DEVICE_GET_REGION_INFO: u64 = request(8);
const DEVICE_SET_IRQS: u64 = request(10);
const DEVICE_RESET: u64 = request(11);
const DEVICE_FEATURE: u64 = request(17);
const GET_PRECOPY_INFO: u64 = request(21);
const IOMMU_MAP_DMA: u64 = request(13);
const IOMMU_UNMAP_DMA: u64 = request(14);
const IOMMU_DIRTY_PAGES: u64 = request(17);

const TYPE1V2_IOMMU: usize = 3;
const CONFIG_REGION: u32 = 7;
const MSIX_IRQ: u32 = 2;
const FEATURE_GET: u32 = 1 << 16;
const FEATURE_SET: u32 = 1 << 17;
const FEATURE_MIGRATION: u32 = 1;
const FEATURE_STATE: u32 = 2;
const FEATURE_DATA_SIZE: u32 = 9;

/// Interrupt vectors of a function.
pub(crate) const VECTORS: usize = compsc_regs::vf82576::VECTORS;
/// Size of the memory that a function gets, in bytes.
pub(crate) const MEMORY: usize = 2 << 20;
/// Bus address of that memory.
pub(crate) const IOVA: u64 = 0x1000_0000;

/// Migration states by VFIO's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    /// Only reported.
    Error = 0,
    /// Stopped.
    Stop = 1,
    /// Runs.
    Running = 2,
    /// Stopped, the stream is read.
    StopCopy = 3,
    /// Stopped, a stream is written.
    Resuming = 4,
    /// Starts no requests.
    RunningP2p = 5,
    /// Runs, the stream is read.
    PreCopy = 6,
    /// Starts no requests, the stream is read.
    PreCopyP2p = 7,
}

impl State {
    /// All that can be asked for.
    pub(crate) const ALL: [Self; 7] = [
        Self::Stop,
        Self::Running,
        Self::StopCopy,
        Self::Resuming,
        Self::RunningP2p,
        Self::PreCopy,
        Self::PreCopyP2p,
    ];

    fn from_number(number: u32) -> Self {
        *Self::ALL
            .iter()
            .find(|&&s| s as u32 == number)
            .unwrap_or(&Self::Error)
    }
}

/// Makes the call `nr` with a pointer to `argument`.
fn ioctl<T: ?Sized>(file: &File, nr: u64, argument: &mut T) -> io::Result<i32> {
    // SAFETY: All requests used here take a pointer to the structure that the caller passes, whose size is in
    // its first field where the kernel cannot know it.
    check(unsafe { libc::ioctl(file.as_raw_fd(), nr, (&raw mut *argument).cast::<u8>()) })
}

/// Makes the call `nr` with a number.
fn ioctl_number(file: &File, nr: u64, argument: usize) -> io::Result<i32> {
    // SAFETY: Only used for requests whose argument is no pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), nr, argument) })
}

fn check(ret: i32) -> io::Result<i32> {
    match ret {
        -1 => Err(io::Error::last_os_error()),
        ret => Ok(ret),
    }
}

fn own(fd: RawFd) -> File {
    // SAFETY: The kernel has just handed the descriptor to us.
    unsafe { File::from_raw_fd(fd) }
}

/// Memory shared with the kernel and the function, aligned to pages.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: Vec<AtomicU8>,
    start: usize,
}

impl Memory {
    fn new() -> Self {
        let bytes: Vec<AtomicU8> = (0..MEMORY + PAGE).map(|_| AtomicU8::new(0)).collect();
        let start = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, start }
    }

    fn address(&self) -> u64 {
        (&raw const self.bytes[self.start]) as u64
    }

    /// Writes bytes at an offset.
    pub(crate) fn put(&self, offset: usize, data: &[u8]) {
        for (to, &byte) in self.bytes[self.start + offset..].iter().zip(data) {
            to.store(byte, Ordering::Relaxed);
        }
    }

    /// Reads bytes at an offset.
    pub(crate) fn get(&self, offset: usize, len: usize) -> Vec<u8> {
        self.bytes[self.start + offset..][..len]
            .iter()
            .map(|b| b.load(Ordering::Relaxed))
            .collect()
    }

    /// Reads a 32-bit number.
    pub(crate) fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.get(offset, 4).try_into().unwrap_or_default())
    }
}

/// An open function. Its fields are closed in this order.
#[derive(Debug)]
pub(crate) struct Function {
    device: File,
    _group: File,
    container: File,
    /// The memory mapped at [`IOVA`].
    pub(crate) memory: Memory,
    config: u64,
}

/// `struct vfio_device_feature` with the data of the features used here.
#[repr(C)]
struct Feature {
    argsz: u32,
    flags: u32,
    data: u64,
}

#[repr(C)]
struct Map {
    argsz: u32,
    flags: u32,
    vaddr: u64,
    iova: u64,
    size: u64,
}

#[repr(C)]
struct Unmap {
    argsz: u32,
    flags: u32,
    iova: u64,
    size: u64,
}

#[repr(C)]
struct DirtyBitmap {
    argsz: u32,
    flags: u32,
    iova: u64,
    size: u64,
    pgsize: u64,
    bitmap_size: u64,
    data: u64,
}

#[repr(C)]
#[derive(Default)]
struct RegionInfo {
    argsz: u32,
    flags: u32,
    index: u32,
    cap_offset: u32,
    size: u64,
    offset: u64,
}

#[repr(C)]
struct IrqSet {
    argsz: u32,
    flags: u32,
    index: u32,
    start: u32,
    count: u32,
    events: [i32; VECTORS],
}

fn size<T>() -> u32 {
    std::mem::size_of::<T>() as u32
}

/// PCI addresses of the virtual functions bound to the driver; the tests know no others.
pub(crate) fn functions() -> Vec<String> {
    let folder = Path::new("/sys/bus/pci/drivers/compsc_vfio_pci");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| {
            let id = std::fs::read_to_string(folder.join(n).join("device"));
            id.is_ok_and(|id| id.trim() == "0x10ca")
        })
        .collect();
    names.sort();
    names
}

impl Function {
    /// Opens a function in a container of its own, with [`MEMORY`] bytes mapped for it.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let link = std::fs::read_link(format!("/sys/bus/pci/devices/{name}/iommu_group"))?;
        let group: PathBuf = Path::new("/dev/vfio").join(link.file_name().unwrap_or_default());
        let rw = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let container = rw(Path::new("/dev/vfio/vfio"))?;
        let group = rw(&group)?;
        let mut status = [8u32, 0];
        ioctl(&group, GROUP_GET_STATUS, &mut status)?;
        let mut fd = container.as_raw_fd();
        ioctl(&group, GROUP_SET_CONTAINER, &mut fd)?;
        ioctl_number(&container, SET_IOMMU, TYPE1V2_IOMMU)?;
        let name = CString::new(name)?;
        let mut bytes = name.into_bytes_with_nul();
        let device = own(ioctl(&group, GROUP_GET_DEVICE_FD, &mut bytes[..])?);
        let mut info = RegionInfo {
            argsz: size::<RegionInfo>(),
            index: CONFIG_REGION,
            ..RegionInfo::default()
        };
        ioctl(&device, DEVICE_GET_REGION_INFO, &mut info)?;
        let function = Self {
            device,
            _group: group,
            container,
            memory: Memory::new(),
            config: info.offset,
        };
        function.map()?;
        Ok(function)
    }

    /// Maps the memory at [`IOVA`].
    pub(crate) fn map(&self) -> io::Result<()> {
        let mut map = Map {
            argsz: size::<Map>(),
            flags: 3,
            vaddr: self.memory.address(),
            iova: IOVA,
            size: MEMORY as u64,
        };
        ioctl(&self.container, IOMMU_MAP_DMA, &mut map).map(drop)
    }

    /// Takes the memory away from the function.
    pub(crate) fn unmap(&self) -> io::Result<()> {
        let mut unmap = Unmap {
            argsz: size::<Unmap>(),
            flags: 0,
            iova: IOVA,
            size: MEMORY as u64,
        };
        ioctl(&self.container, IOMMU_UNMAP_DMA, &mut unmap).map(drop)
    }

    /// Starts the container's dirty tracking.
    pub(crate) fn start_tracking(&self) -> io::Result<()> {
        let mut start = [8u32, 1];
        ioctl(&self.container, IOMMU_DIRTY_PAGES, &mut start).map(drop)
    }

    /// The pages of the memory that are dirty, as page numbers; clean afterwards.
    pub(crate) fn dirty(&self) -> io::Result<Vec<usize>> {
        let mut bits = vec![0u64; MEMORY / PAGE / 64];
        let mut get = DirtyBitmap {
            argsz: size::<DirtyBitmap>(),
            flags: 4,
            iova: IOVA,
            size: MEMORY as u64,
            pgsize: PAGE as u64,
            bitmap_size: (bits.len() * 8) as u64,
            data: bits.as_mut_ptr() as u64,
        };
        ioctl(&self.container, IOMMU_DIRTY_PAGES, &mut get)?;
        let page = |i: usize| std::hint::black_box(&bits)[i / 64] >> (i % 64) & 1 != 0;
        Ok((0..MEMORY / PAGE).filter(|&i| page(i)).collect())
    }

    /// Goes to a state; returns the file for the stream if that opened one.
    pub(crate) fn set_state(&self, state: State) -> io::Result<Option<File>> {
        self.set_state_number(state as u32)
    }

    /// Asks for any state number.
    pub(crate) fn set_state_number(&self, state: u32) -> io::Result<Option<File>> {
        let mut feature = Feature {
            argsz: size::<Feature>(),
            flags: FEATURE_SET | FEATURE_STATE,
            data: u64::from(state) | u64::from(u32::MAX) << 32,
        };
        ioctl(&self.device, DEVICE_FEATURE, &mut feature)?;
        let fd = (feature.data >> 32) as i32;
        Ok((fd >= 0).then(|| own(fd)))
    }

    fn feature(&self, feature: u32) -> io::Result<u64> {
        let mut feature = Feature {
            argsz: size::<Feature>(),
            flags: FEATURE_GET | feature,
            data: 0,
        };
        ioctl(&self.device, DEVICE_FEATURE, &mut feature)?;
        Ok(feature.data)
    }

    /// The state.
    pub(crate) fn state(&self) -> io::Result<State> {
        let data = self.feature(FEATURE_STATE)?;
        Ok(State::from_number(data as u32))
    }

    /// Flags of the migration feature.
    pub(crate) fn migration_flags(&self) -> io::Result<u64> {
        self.feature(FEATURE_MIGRATION)
    }

    /// Estimated length of the stream.
    pub(crate) fn data_size(&self) -> io::Result<u64> {
        self.feature(FEATURE_DATA_SIZE)
    }

    /// Resets the function, as a machine reset does.
    pub(crate) fn reset(&self) -> io::Result<()> {
        ioctl_number(&self.device, DEVICE_RESET, 0).map(drop)
    }

    /// Connects each interrupt vector to an event.
    pub(crate) fn events(&self) -> io::Result<Vec<File>> {
        let events = (0..VECTORS)
            .map(|_| {
                // SAFETY: No pointers.
                check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) }).map(own)
            })
            .collect::<io::Result<Vec<_>>>()?;
        let mut set = IrqSet {
            argsz: size::<IrqSet>(),
            // Event files, trigger.
            flags: 1 << 2 | 1 << 5,
            index: MSIX_IRQ,
            start: 0,
            count: VECTORS as u32,
            events: std::array::from_fn(|n| events[n].as_raw_fd()),
        };
        ioctl(&self.device, DEVICE_SET_IRQS, &mut set)?;
        Ok(events)
    }

    /// Reads a register of BAR 0.
    pub(crate) fn register(&self, offset: u64) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.device.read_at(&mut bytes, offset)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Writes a register of BAR 0.
    pub(crate) fn set_register(&self, offset: u64, value: u32) -> io::Result<()> {
        self.device.write_at(&value.to_le_bytes(), offset).map(drop)
    }

    /// Whether bus mastering is on.
    pub(crate) fn is_bus_master(&self) -> io::Result<bool> {
        Ok(self.config_u8(4)? & 4 != 0)
    }
}

impl Machine for Function {
    fn bus_address(&self) -> u64 {
        IOVA
    }

    fn put(&self, offset: usize, data: &[u8]) {
        self.memory.put(offset, data);
    }

    fn get(&self, offset: usize, len: usize) -> Vec<u8> {
        self.memory.get(offset, len)
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        self.device.read_at(data, self.config + offset)
    }

    fn write_config(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.device.write_at(data, self.config + offset)
    }
}

/// Bytes that a stream will still give before the function stops: (initial, dirty).
pub(crate) fn precopy_info(file: &File) -> io::Result<(u64, u64)> {
    let mut info = [24u64, 0, 0];
    ioctl(file, GET_PRECOPY_INFO, &mut info)?;
    Ok((info[1], info[2]))
}

/// Asks for precopy information with a structure that is too short.
pub(crate) fn short_precopy_info(file: &File) -> io::Result<i32> {
    let mut info = [8u64, 0, 0];
    ioctl(file, GET_PRECOPY_INFO, &mut info)
}
