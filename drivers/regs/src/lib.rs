// SPDX-License-Identifier: GPL-2.0

//! What software sees of the Intel 82576 and 82599: register maps, descriptor formats, mailbox messages.
//!
//! Pure data and constant functions over [`compsc_core`]; no kernel, no hardware access, no unsafe code. The facts come
//! from the datasheets and from the sources of the Linux drivers igb, igbvf, ixgbe and ixgbevf.
//!
//! | module | content |
//! |---|---|
//! | [`i82576`] | what the functions of an 82576 have in common |
//! | [`pf82576`] | registers of an 82576 physical function |
//! | [`vf82576`] | registers of an 82576 virtual function |
//! | [`clock`] | the time of an 82576's clock, and what its time stamps are taken of |
//! | [`desc`] | advanced receive and transmit descriptors of both chips |
//! | [`exchange`] | steps of an exchange over the mailbox |
//! | [`mailbox`] | messages between an 82576 virtual function and its physical function |
//! | [`sriov`] | what a physical function grants its virtual functions, and the filters that follow from it |

#![cfg_attr(not(any(test, CONFIG_RUST)), no_std)]
#![forbid(unsafe_code)]

pub mod clock;
pub mod desc;
pub mod exchange;
#[macro_use]
pub mod i82576;
pub mod mailbox;
pub mod pf82576;
pub mod sriov;
pub mod vf82576;

use compsc_core::regs::{
    Map,
    RegisterDesc, //
};

/// Chip ids in the shared region and in the migration stream.
pub mod chip {
    /// Intel 82576 Gigabit Ethernet controller.
    pub const I82576: u16 = 1;
    /// Intel 82599 10 Gigabit Ethernet controller.
    pub const I82599: u16 = 2;

    /// The name of a chip id.
    pub const fn name(chip: u16) -> Option<&'static str> {
        match chip {
            I82576 => Some("82576"),
            I82599 => Some("82599"),
            _ => None,
        }
    }
}

/// The register table for a chip id and [role](compsc_core::region::role), for tools that decode a log.
pub fn table(chip: u16, role: u16) -> Option<&'static [RegisterDesc]> {
    fn of<M: Map>(chip: u16, role: u16) -> Option<&'static [RegisterDesc]> {
        (chip == M::CHIP && role == M::ROLE).then_some(M::TABLE)
    }
    of::<vf82576::Vf82576>(chip, role).or_else(|| of::<pf82576::Pf82576>(chip, role))
}
