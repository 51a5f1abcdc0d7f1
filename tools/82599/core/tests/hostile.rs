// SPDX-License-Identifier: GPL-2.0

//! Random guests. The fuzz target in ../fuzz looks further.

mod suite;

use proptest::prelude::ProptestConfig;
use proptest::prelude::any;
use proptest::prelude::prop;
use proptest::proptest;
use suite::Bench;
use suite::PF;
use suite::hostile;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks(data in prop::collection::vec(any::<u8>(), 0..4000)) {
        hostile::run(&data);
    }
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
