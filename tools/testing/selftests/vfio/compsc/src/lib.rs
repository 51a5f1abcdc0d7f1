// SPDX-License-Identifier: GPL-2.0

//! A guest that writes what it likes: used by the selftest of the variant driver, which is guest and VMM in one,
//! and by the test bed inside a real guest.

pub mod random;
pub mod region;
