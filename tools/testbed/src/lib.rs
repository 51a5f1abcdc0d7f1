// SPDX-License-Identifier: GPL-2.0

//! Test bed of the project. One program for both sides: in the host VM it starts nested guests with
//! passed-through functions, runs traffic, migrates and reports; in the guest it is the first
//! process. See Documentation/testing.rst.

pub mod analysis;
pub mod bench;
pub mod demo;
pub mod guest;
pub mod host;
pub mod hostile;
pub mod lab;
pub mod netdev;
pub mod proto;
pub mod selftest;
pub mod session;
pub mod traffic;
