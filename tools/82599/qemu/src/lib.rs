// SPDX-License-Identifier: GPL-2.0

//! The 82599 for stock QEMU: a plugin that registers the device types `82599` (physical function) and
//! `82599vf` (its virtual functions, made by the physical function).
//!
//! ```text
//! qemu-system-x86_64 -plugin …/82599.so -device pcie-root-port,id=port -device 82599,bus=port,netdev=…
//! ```
//!
//! All unsafe code of the model is in this crate; what the hardware does is in [`model_82599`]. Everything runs
//! with QEMU's big lock held, so there is one caller at a time; that a call may lead back into the device is dealt with in
//! `model`.

mod abi;
mod check;
mod function;
mod model;
mod pf;
mod vf;

use core::ffi::c_char;
use core::ffi::c_int;
use core::ffi::c_void;

/// Version of the plugin interface that this needs.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub static qemu_plugin_version: c_int = check::PLUGIN_INTERFACE;

/// Entry point: QEMU calls it once, before it makes devices.
///
/// # Safety
///
/// To be called by QEMU's plugin loader only.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub unsafe extern "C" fn qemu_plugin_install(
    _id: u64,
    info: *const c_void,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU passes a valid description of itself.
    let info = unsafe { &*info.cast::<abi::PluginInfo>() };
    if !info.system_emulation {
        // SAFETY: A constant message.
        unsafe { abi::error_report(c"82599: only system emulation is supported".as_ptr()) };
        return 1;
    }
    if let Err(mismatch) = check::run(info.version_cur) {
        // SAFETY: The name is a constant; what it finds has the type that the schema gives it. The arguments fit the
        // format.
        unsafe {
            let query = abi::dlsym(core::ptr::null_mut(), c"qmp_query_version".as_ptr());
            let version = check::version(query).unwrap_or(check::Version {
                major: 0,
                minor: 0,
                micro: 0,
                package: c"of unknown version",
            });
            abi::error_report(
                c"82599: this is QEMU %lld.%lld.%lld %s, and the plugin knows the layouts of QEMU 11.1 as packaged by Debian: %s is %llu, not %llu".as_ptr(),
                version.major,
                version.minor,
                version.micro,
                version.package.as_ptr(),
                mismatch.what.as_ptr(),
                mismatch.found,
                mismatch.expected,
            );
        }
        return 1;
    }
    function::register::<pf::Pf>();
    function::register::<vf::Vf>();
    0
}
