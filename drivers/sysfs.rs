// SPDX-License-Identifier: GPL-2.0

//! Attributes of devices: files in sysfs that show one value each.
//!
//! A driver names its attributes when it is registered, and the driver core makes the files after probe and
//! before user space hears of the binding, and removes them, waiting for readers, before remove. So a file
//! never shows a device that is not bound, and nobody who was told of a device misses its files.

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    ffi::c_char,
    fmt,
    prelude::*,
    str::CStr, //
};

/// What the attributes of a driver's devices show.
///
/// # Safety
///
/// `of` returns a value that lives as long as the device is bound.
pub unsafe trait Owner: Sized + 'static {
    /// The value that belongs to a device.
    ///
    /// # Safety
    ///
    /// The device is bound to the driver that has the attributes, and stays so for the returned lifetime.
    unsafe fn of<'a>(dev: *mut bindings::device) -> &'a Self;
}

/// Where an attribute's value is written to: at most one page.
pub struct Page {
    at: *mut u8,
    left: usize,
    written: usize,
}

impl Page {
    /// Writes a value and the end of its line.
    pub fn show(&mut self, value: impl fmt::Display) -> fmt::Result {
        fmt::Write::write_fmt(self, fmt!("{value}\n"))
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > self.left {
            return Err(fmt::Error);
        }
        // SAFETY: `left` bytes are free behind what was written.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.at.add(self.written), text.len()) };
        self.left -= text.len();
        self.written += text.len();
        Ok(())
    }
}

/// A file that root and others may read.
#[repr(C)]
pub struct Attribute<T: Owner> {
    /// First, because the driver core hands its address to `read`.
    raw: bindings::device_attribute,
    show: fn(&T, &mut Page) -> fmt::Result,
}

impl<T: Owner> Attribute<T> {
    /// An attribute called `name`; `show` writes its value.
    pub const fn new(name: &'static CStr, show: fn(&T, &mut Page) -> fmt::Result) -> Self {
        let mut raw: bindings::device_attribute = pin_init::zeroed();
        raw.attr.name = name.to_bytes_with_nul().as_ptr().cast();
        raw.attr.mode = 0o444;
        raw.__bindgen_anon_1.show = Some(Self::read);
        Self { raw, show }
    }

    /// For the list of a [`Group`].
    pub const fn listed(&'static self) -> Listed<T> {
        Listed(&raw const self.raw.attr, PhantomData)
    }

    extern "C" fn read(
        dev: *mut bindings::device,
        attribute: *mut bindings::device_attribute,
        buffer: *mut c_char,
    ) -> isize {
        // SAFETY: The attribute is one made by `new`, of which it is the first member; the driver core calls
        // while the device is bound.
        let (this, owner) = unsafe { (&*attribute.cast::<Self>(), T::of(dev)) };
        let mut page = Page {
            at: buffer.cast(),
            // A full page would make the driver core complain.
            left: kernel::page::PAGE_SIZE - 1,
            written: 0,
        };
        match (this.show)(owner, &mut page) {
            // CAST: A page is small.
            Ok(()) => page.written as isize,
            Err(fmt::Error) => EIO.to_errno() as isize,
        }
    }
}

/// An attribute's place in a list, or the list's end.
#[repr(transparent)]
pub struct Listed<T: Owner>(*const bindings::attribute, PhantomData<fn(&T)>);

impl<T: Owner> Listed<T> {
    /// Ends a list.
    pub const END: Self = Self(ptr::null(), PhantomData);
}

/// A folder with attributes.
#[repr(transparent)]
pub struct Group<T: Owner>(bindings::attribute_group, PhantomData<fn(&T)>);

impl<T: Owner> Group<T> {
    /// A folder called `name`.
    ///
    /// # Panics
    ///
    /// At compile time, if the list's last entry is not its end.
    pub const fn new(name: &'static CStr, list: &'static [Listed<T>]) -> Self {
        assert!(matches!(list.last(), Some(last) if last.0.is_null()));
        let mut raw: bindings::attribute_group = pin_init::zeroed();
        raw.name = name.to_bytes_with_nul().as_ptr().cast();
        raw.__bindgen_anon_2.attrs_const = list.as_ptr().cast();
        Self(raw, PhantomData)
    }
}

/// The list of groups that a driver is registered with.
#[repr(C)]
pub struct Groups<T: Owner>(
    *const bindings::attribute_group,
    /// The list's end.
    *const bindings::attribute_group,
    PhantomData<fn(&T)>,
);

impl<T: Owner> Groups<T> {
    /// As the C structures of drivers hold it. The driver must be one whose devices [`Owner::of`] knows.
    pub const fn as_raw(&'static self) -> *mut *const bindings::attribute_group {
        // CAST: The driver core does not write.
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// An owner of devices that all have the same group of attributes.
pub trait HasGroup: Owner {
    /// The folder of the attributes.
    const GROUP: &'static Group<Self>;
    /// The list that has nothing else.
    const GROUPS: &'static Groups<Self> =
        &Groups(&raw const Self::GROUP.0, ptr::null(), PhantomData);
}
