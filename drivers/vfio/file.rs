// SPDX-License-Identifier: GPL-2.0

//! The file descriptors that the migration stream passes through.
//!
//! A file may outlive the transfer, the open device and even the binding: user space decides when it
//! is closed. So a file shares nothing with the device but its own content, and the state machine
//! ends it ([`SaveFile::end`], [`ResumeFile::end`]) whenever the protocol leaves the transfer.

use crate::Show;
use compsc::bindings;
use compsc_core::stream::{
    DeviceState,
    Identity,
    Parser,
    StreamError,
    HEADER_LEN,
    MAX_STREAM, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    device::Device,
    error::{
        from_err_ptr,
        Error, //
    },
    ffi::{c_char, c_int, c_long, c_uint, c_ulong},
    ioctl::_IO,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow,
        Mutex, //
    },
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader,
        UserSliceWriter, //
    },
};

/// `VFIO_MIG_GET_PRECOPY_INFO`.
const GET_PRECOPY_INFO: u32 = _IO(bindings::VFIO_TYPE as u32, bindings::VFIO_BASE + 21);

/// Bytes copied between user memory and a stream at a time. The copy goes over the stack and without the
/// file's mutex: user memory may be a mapped BAR, whose faults wait for resets, which wait for the mutex.
const PIECE: usize = 256;

/// A reference to an open file.
pub(crate) struct OwnedFile(NonNull<bindings::file>);

impl OwnedFile {
    /// Hands the reference to C.
    pub(crate) fn into_raw(self) -> *mut bindings::file {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for OwnedFile {
    fn drop(&mut self) {
        // SAFETY: This reference is ours.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}

/// What a stream's file does. One direction only, so each implements one of `read` and `write`.
trait Stream: Send + Sync + Sized + 'static {
    const NAME: &'static CStr;
    const FLAGS: c_int;

    fn read(&self, _to: &mut UserSliceWriter) -> Result<usize> {
        Err(EBADF)
    }

    fn write(&self, _from: &mut UserSliceReader) -> Result<usize> {
        Err(EBADF)
    }

    fn precopy_info(&self) -> Result<u64> {
        Err(ENOTTY)
    }

    /// The user has closed the last descriptor.
    fn closed(&self) {}
}

struct Operations<T>(PhantomData<T>);

impl<T: Stream> Operations<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        owner: kernel::module::this_module::<crate::LocalModule>().as_ptr(),
        read: Some(Self::read),
        write: Some(Self::write),
        unlocked_ioctl: Some(Self::ioctl),
        compat_ioctl: Some(bindings::compat_ptr_ioctl),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    /// Makes a file that holds a reference to `stream`.
    fn open(stream: Arc<T>) -> Result<OwnedFile> {
        let private = stream.into_foreign();
        // SAFETY: The name and the table are static, `private` is what the operations expect.
        let file = from_err_ptr(unsafe {
            bindings::anon_inode_getfile(
                T::NAME.as_char_ptr(),
                const { &Self::TABLE },
                private,
                T::FLAGS,
            )
        });
        match file.map(NonNull::new) {
            Ok(Some(file)) => {
                // SAFETY: The file is valid and not shared yet.
                unsafe { bindings::stream_open((*file.as_ptr()).f_inode, file.as_ptr()) };
                Ok(OwnedFile(file))
            }
            other => {
                // SAFETY: No file took it over.
                drop(unsafe { Arc::<T>::from_foreign(private) });
                Err(other.err().unwrap_or(ENOMEM))
            }
        }
    }

    /// # Safety
    ///
    /// `file` is a file made by [`open`](Self::open) that is not released during `'a`.
    unsafe fn stream<'a>(file: *mut bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: `open` stored the pointer, `release` takes it back.
        unsafe { Arc::<T>::borrow((*file).private_data) }
    }

    extern "C" fn read(
        file: *mut bindings::file,
        user: *mut c_char,
        len: usize,
        _pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: The VFS calls on an open file.
        let stream = unsafe { Self::stream(file) };
        let mut to = UserSlice::new(UserPtr::from_ptr(user.cast()), len).writer();
        // CAST: at most `len`, which the VFS limits to `MAX_RW_COUNT`.
        stream
            .read(&mut to)
            .map_or_else(|e| e.to_errno() as isize, |n| n as isize)
    }

    extern "C" fn write(
        file: *mut bindings::file,
        user: *const c_char,
        len: usize,
        _pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: The VFS calls on an open file.
        let stream = unsafe { Self::stream(file) };
        let mut from = UserSlice::new(UserPtr::from_ptr(user.cast_mut().cast()), len).reader();
        // CAST: as in `read`.
        stream
            .write(&mut from)
            .map_or_else(|e| e.to_errno() as isize, |n| n as isize)
    }

    extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The VFS calls on an open file.
        let stream = unsafe { Self::stream(file) };
        let result = if cmd == GET_PRECOPY_INFO {
            precopy_info(&*stream, UserPtr::from_addr(arg))
        } else {
            Err(ENOTTY)
        };
        match result {
            Ok(()) => 0,
            // CAST: small and negative.
            Err(e) => e.to_errno() as c_long,
        }
    }

    extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The last reference is gone, so nobody borrows the stream through the file any more.
        let stream = unsafe { Arc::<T>::from_foreign((*file).private_data) };
        stream.closed();
        0
    }
}

/// Answers `VFIO_MIG_GET_PRECOPY_INFO`: `struct vfio_precopy_info` is argsz, flags (32 bit each),
/// initial_bytes, dirty_bytes (64 bit each). There never is dirty data: all that changes is sent
/// when the function has stopped. So flags stay as they are, in both versions of the ioctl.
fn precopy_info<T: Stream>(stream: &T, user: UserPtr) -> Result {
    const SIZE: usize = 24;
    let (mut reader, mut writer) = UserSlice::new(user, SIZE).reader_writer();
    let mut head = [0u8; 8];
    reader.read_slice(&mut head)?;
    let [a, b, c, d, ..] = head;
    if (u32::from_ne_bytes([a, b, c, d]) as usize) < SIZE {
        return Err(EINVAL);
    }
    let initial = stream.precopy_info()?;
    writer.write_slice(&head)?;
    writer.write_slice(&initial.to_ne_bytes())?;
    writer.write_slice(&0u64.to_ne_bytes())
}

/// Where a stream that is being saved stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saving {
    /// The guest runs; only the identity is there.
    PreCopy,
    /// The stream is complete.
    Complete,
    /// The transfer is over or has failed with this error.
    Ended(Error),
}

struct Save {
    stream: KVec<u8>,
    read: usize,
    phase: Saving,
}

/// The source's end of the stream: the user reads.
#[pin_data]
pub(crate) struct SaveFile {
    #[pin]
    inner: Mutex<Save>,
}

impl SaveFile {
    /// Opens a file that holds the first bytes of a stream, for PRE_COPY.
    pub(crate) fn open(header: &[u8]) -> Result<(Arc<Self>, OwnedFile)> {
        let mut stream = KVec::with_capacity(header.len(), GFP_KERNEL_ACCOUNT)?;
        stream.extend_from_slice(header, GFP_KERNEL_ACCOUNT)?;
        let this = Arc::pin_init(
            pin_init!(Self {
                inner <- new_mutex!(Save { stream, read: 0, phase: Saving::PreCopy }),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let file = Operations::open(this.clone())?;
        Ok((this, file))
    }

    /// Replaces the content by the whole stream, which begins with the same header.
    pub(crate) fn complete(&self, stream: KVec<u8>) {
        let mut save = self.inner.lock();
        if save.phase == Saving::PreCopy && stream.len() >= save.stream.len() {
            save.stream = stream;
            save.phase = Saving::Complete;
        }
    }

    /// Takes the next bytes of the stream; none at its end.
    fn take(&self, piece: &mut [u8]) -> Result<usize> {
        let mut save = self.inner.lock();
        if let Saving::Ended(error) = save.phase {
            return Err(error);
        }
        let rest = save.stream.get(save.read..).unwrap_or(&[]);
        let len = rest.len().min(piece.len());
        if len == 0 && save.phase == Saving::PreCopy {
            // VFIO's mark for "no more before the function stops".
            return Err(Error::from_errno(-(bindings::ENOMSG as c_int)));
        }
        piece[..len].copy_from_slice(&rest[..len]);
        save.read += len;
        Ok(len)
    }

    /// Ends the transfer: reads fail with `error` from now on, unless they already do.
    pub(crate) fn end(&self, error: Error) {
        let mut save = self.inner.lock();
        if !matches!(save.phase, Saving::Ended(_)) {
            save.phase = Saving::Ended(error);
            save.stream = KVec::new();
            save.read = 0;
        }
    }
}

impl Stream for SaveFile {
    const NAME: &'static CStr = c"compsc_vfio_save";
    const FLAGS: c_int = bindings::O_RDONLY as c_int;

    fn read(&self, to: &mut UserSliceWriter) -> Result<usize> {
        let mut done = 0;
        let mut piece = [0; PIECE];
        while !to.is_empty() {
            let want = to.len().min(PIECE);
            let len = match self.take(&mut piece[..want]) {
                Ok(0) => break,
                Ok(len) => len,
                Err(_) if done != 0 => break,
                Err(error) => return Err(error),
            };
            if let Err(error) = to.write_slice(&piece[..len]) {
                // These bytes are lost, and with them the stream.
                self.end(error);
                return Err(error);
            }
            done += len;
        }
        Ok(done)
    }

    fn precopy_info(&self) -> Result<u64> {
        let save = self.inner.lock();
        match save.phase {
            Saving::PreCopy => Ok((save.stream.len() - save.read) as u64),
            Saving::Complete => Err(EINVAL),
            Saving::Ended(error) => Err(error),
        }
    }

    fn closed(&self) {
        self.end(ENODEV);
    }
}

struct Resume {
    stream: KVec<u8>,
    identified: bool,
    /// Why nothing more is taken.
    ended: Option<Error>,
}

/// The target's end of the stream: the user writes.
#[pin_data]
pub(crate) struct ResumeFile {
    target: Identity,
    dev: ARef<Device>,
    #[pin]
    inner: Mutex<Resume>,
}

impl ResumeFile {
    /// Opens a file for a stream to the function `target`; `dev` is named in messages.
    pub(crate) fn open(target: Identity, dev: &Device) -> Result<(Arc<Self>, OwnedFile)> {
        let this = Arc::pin_init(
            pin_init!(Self {
                target,
                dev: dev.into(),
                inner <- new_mutex!(Resume {
                    stream: KVec::new(),
                    identified: false,
                    ended: None,
                }),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let file = Operations::open(this.clone())?;
        Ok((this, file))
    }

    /// Checks the stream that has arrived, and takes no more. Returns what `read` makes of what it says, and its length.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a stream that is damaged, not complete or not for this function (a message tells
    /// more), those of `read`, `ENOMEM`, or why the transfer was ended before.
    #[inline(never)]
    pub(crate) fn finish<T>(
        &self,
        read: impl FnOnce(&DeviceState) -> Result<T>,
    ) -> Result<(T, usize)> {
        let mut resume = self.inner.lock();
        if let Some(error) = resume.ended {
            return Err(error);
        }
        resume.ended = Some(ENODEV);
        let stream = core::mem::take(&mut resume.stream);
        drop(resume);
        let mut buffer = KVec::from_elem(0u8, stream.len(), GFP_KERNEL_ACCOUNT)?;
        let mut parser = Parser::new(&mut buffer, self.target);
        // What it says is large: it is looked at where it lies, and no adapter copies it.
        match &parser.push(&stream).and_then(|()| parser.finish()) {
            Ok(state) => Ok((read(state)?, stream.len())),
            Err(e) => Err(self.refuse(e)),
        }
    }

    /// Ends the transfer: writes fail with `error` from now on, unless they already do.
    pub(crate) fn end(&self, error: Error) {
        let mut resume = self.inner.lock();
        if resume.ended.is_none() {
            resume.ended = Some(error);
            resume.stream = KVec::new();
        }
    }

    fn refuse(&self, error: &StreamError) -> Error {
        user_err!(
            self.dev,
            "refused a migration to this function: {}\n",
            Show(error)
        );
        EINVAL
    }

    /// Checks the header as soon as it is there: what cannot work fails before the source stops.
    fn identify(&self, resume: &mut Resume) -> Result {
        let Some(header) = resume.stream.get(..HEADER_LEN) else {
            return Ok(());
        };
        let mut buffer = [0; HEADER_LEN];
        Parser::new(&mut buffer, self.target)
            .push(header)
            .map_err(|e| self.refuse(&e))?;
        resume.identified = true;
        Ok(())
    }

    fn take(&self, piece: &[u8]) -> Result {
        let mut resume = self.inner.lock();
        if let Some(error) = resume.ended {
            return Err(error);
        }
        if resume.stream.len() + piece.len() > MAX_STREAM {
            // CAST: 64 KiB.
            return Err(self.refuse(&StreamError::TooLong {
                limit: MAX_STREAM as u32,
            }));
        }
        resume.stream.extend_from_slice(piece, GFP_KERNEL_ACCOUNT)?;
        if !resume.identified {
            self.identify(&mut resume)?;
        }
        Ok(())
    }
}

impl Stream for ResumeFile {
    const NAME: &'static CStr = c"compsc_vfio_resume";
    const FLAGS: c_int = bindings::O_WRONLY as c_int;

    fn write(&self, from: &mut UserSliceReader) -> Result<usize> {
        let mut done = 0;
        let mut piece = [0; PIECE];
        while !from.is_empty() {
            let len = from.len().min(PIECE);
            let result = from
                .read_slice(&mut piece[..len])
                .and_then(|()| self.take(&piece[..len]));
            if let Err(error) = result {
                self.end(error);
                return Err(error);
            }
            done += len;
        }
        Ok(done)
    }

    // What has arrived outlives the file: where a guest does not start at once (QEMU with -S, as libvirt
    // runs it), QEMU closes the file long before the function leaves RESUMING.
}
