// SPDX-License-Identifier: GPL-2.0

//! Random guests. The fuzz target in ../fuzz looks further; scripts/fuzz-82599 runs it.

mod suite;

use proptest::prelude::ProptestConfig;
use proptest::prelude::any;
use proptest::prelude::prop;
use proptest::proptest;
use suite::Bench;
use suite::PF;
use suite::hostile;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks(data in prop::collection::vec(any::<u8>(), 0..4000)) {
        hostile::run(&data);
    }
}

/// The same guests in every run, with the checks of debug builds. OPERATIONS asks for another number.
#[test]
fn ten_million_operations() {
    let wanted = std::env::var("OPERATIONS").map_or(10_000_000, |n| n.parse().unwrap());
    let (mut state, mut done, mut guests) = (82599u64, 0, 0u32);
    while done < wanted {
        let data: Vec<u8> = (0..4000)
            .map(|_| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        done += hostile::run(&data);
        guests += 1;
    }
    println!("{done} operations of {guests} guests");
}

#[test]
fn every_register_survives_every_value() {
    for value in [0, 1, !0, 0x8000_0000, 0x5A5A_5A5A] {
        let mut bench = Bench::new();
        bench.device.set_num_vfs(64);
        for offset in (0..0x2_0000).step_by(4) {
            bench.write(PF, offset, value);
            bench.read(PF, offset);
        }
        for n in [0, 31, 63] {
            for offset in (0..0x4000).step_by(4) {
                bench.write(model_82599::Function::Vf(n), offset, value);
                bench.read(model_82599::Function::Vf(n), offset);
            }
        }
        let _ = bench.receive(&[0xFF; 200]);
        bench.pass(1_000_000_000);
    }
}
