// SPDX-License-Identifier: GPL-2.0

//! `status` and `log` on a folder like debugfs.

use crate::Folder;
use crate::bad;
use crate::command;
use crate::good;
use crate::good_json;
use crate::region::region;

const GUEST: &str = "\
driver igbvf_compsc
interface eth0
state up
migratable 1
region_address 0x7fff0000
region_length 45056
gate_version 3
gate_locked 0
gate_dummy_writes 1
restores 5
last_restore_ns 4200000
last_reset_ns 1000000
last_mailbox_ns 2000000
last_replay_ns 200000
last_rings_ns 1000000
";

const HOST: &str = "\
state stop_copy
region_address 0x7fff0000
region_length 45056
gate_version 3
gate_locked 1
gate_dummy_writes 1
refused 1
bad_regions 0
resets 2
stops 4
kicks 3
last_drain_ns 1500000
last_bus_ns 250000
last_freeze_ns 90000
last_unsent 0
last_pages 812
last_stream_bytes 1234
last_kick_ns 80000
";

/// A machine that is guest and host at once.
fn machine(test: &str) -> Folder {
    let folder = Folder::new(test);
    folder.write("compsc/0000:00:03.0/status", GUEST);
    folder.write("compsc/0000:00:03.0/region", region());
    folder.write("compsc_vfio_pci/0000:01:10.2/status", HOST);
    folder.write(
        "compsc_vfio_pci/0000:01:10.0/status",
        HOST.replace("stop_copy", "running"),
    );
    folder
}

#[test]
fn status_shows_both_sides() {
    let machine = machine("status");
    let json = good_json(&machine.0, &["status", "--json"]);
    assert_eq!(json["schema"], 1);
    let functions = json["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 3);
    let guest = &functions[0];
    assert_eq!(guest["function"], "0000:00:03.0");
    assert_eq!(guest["side"], "guest");
    assert_eq!(guest["driver"], "igbvf_compsc");
    assert_eq!(guest["interface"], "eth0");
    assert_eq!(guest["state"], "up");
    assert_eq!(guest["device_state"], "up");
    assert_eq!(guest["migratable"], true);
    assert_eq!(guest["region"]["address"], "0x7fff0000");
    assert_eq!(guest["region"]["length"], 45056);
    assert_eq!(guest["gate"]["version"], 3);
    assert_eq!(guest["gate"]["locked"], false);
    assert_eq!(guest["gate"]["dummy_writes"], true);
    assert_eq!(guest["figures"]["last_restore_ns"], 4_200_000);
    assert_eq!(guest["figures"]["dummy_pages"], 17);
    assert!(guest["problem"].is_null());
    let host = &functions[2];
    assert_eq!(host["function"], "0000:01:10.2");
    assert_eq!(host["side"], "host");
    assert_eq!(host["driver"], "compsc_vfio_pci");
    assert_eq!(host["state"], "stop_copy");
    assert_eq!(host["figures"]["last_pages"], 812);
    assert!(host["migratable"].is_null() && host["interface"].is_null());

    let text = good(&machine.0, &["status"]);
    for word in [
        "eth0",
        "igbvf_compsc",
        "3 dummy",
        "4200",
        "stop_copy",
        "3 locked dummy",
        "812",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn sysfs_stands_in_for_debugfs() {
    let folder = Folder::new("sysfs");
    let nowhere = folder.0.join("nowhere");
    let devices = "nowhere/sysfs/bus/pci/devices";
    for (file, value) in [
        ("0000:00:03.0/compsc/state", "up\n"),
        ("0000:00:03.0/compsc/migratable", "1\n"),
        ("0000:00:03.0/compsc/restores", "5\n"),
        ("0000:00:03.0/compsc/last_restore_us", "4200\n"),
        ("0000:00:03.0/net/eth0/mtu", "1500\n"),
        ("0000:01:10.0/compsc/state", "stop_copy\n"),
        ("0000:01:10.0/compsc/guest_driver", "1\n"),
        ("0000:01:10.0/compsc/restarts", "3\n"),
        ("0000:01:10.0/compsc/last_restart_us", "80\n"),
        ("0000:02:00.0/vendor", "0x8086\n"),
    ] {
        folder.write(&format!("{devices}/{file}"), value);
    }
    let debugfs = nowhere.join("debugfs");
    let run = |arguments: &[&str]| {
        let out = command(&debugfs)
            .env("COMPSC_SYSFS", nowhere.join("sysfs"))
            .args(arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.success(), "{errors}");
        assert!(errors.contains("mount -t debugfs"), "{errors}");
        String::from_utf8(out.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
    let functions = json["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 2);
    let (guest, host) = (&functions[0], &functions[1]);
    assert_eq!(guest["interface"], "eth0");
    assert_eq!(guest["state"], "up");
    assert_eq!(guest["migratable"], true);
    assert_eq!(guest["figures"]["last_restore_ns"], 4_200_000);
    assert!(guest["gate"].is_null() && guest["guest_driver"].is_null());
    assert_eq!(host["side"], "host");
    assert_eq!(host["guest_driver"], true);
    assert_eq!(host["figures"]["kicks"], 3);
    assert_eq!(host["figures"]["last_kick_ns"], 80_000);
    let text = run(&["status"]);
    assert!(
        text.contains("4200") && text.contains("stop_copy"),
        "{text}"
    );
    let text = run(&["status", "eth0"]);
    assert!(
        text.contains("restores") && !text.contains("gate"),
        "{text}"
    );
    // What sysfs does not have either is an error of debugfs.
    let message = bad(&debugfs, &["status", "eth7"], 1);
    assert!(message.contains("mount -t debugfs"), "{message}");
}

#[test]
fn one_function_has_several_names() {
    let machine = machine("names");
    for name in ["0000:00:03.0", "00:03.0", "eth0"] {
        let text = good(&machine.0, &["status", name]);
        assert!(
            text.contains("0000:00:03.0") && text.contains("dummy pages"),
            "{text}"
        );
        assert!(!text.contains("0000:01:10.2"));
    }
}

#[test]
fn a_broken_region_is_reported() {
    let machine = machine("broken");
    machine.write("compsc/0000:00:03.0/region", "nonsense");
    let text = good(&machine.0, &["status"]);
    assert!(text.contains("0000:00:03.0: shared region"), "{text}");
    let message = bad(&machine.0, &["log", "eth0"], 1);
    assert!(
        message.contains("the log of 0000:00:03.0 cannot be decoded"),
        "{message}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let empty = Folder::new("missing");
    let message = bad(&empty.0, &["status"], 1);
    assert!(message.contains("mount -t debugfs"), "{message}");
    let message = bad(&empty.0.join("nowhere"), &["status"], 1);
    assert!(message.contains("mount -t debugfs"), "{message}");

    empty.write("other/file", "");
    let message = bad(&empty.0, &["status"], 1);
    assert!(message.contains("load compsc.ko"), "{message}");

    std::fs::create_dir(empty.0.join("compsc")).unwrap();
    assert!(good(&empty.0, &["status"]).contains("no function is bound"));
    let json = good_json(&empty.0, &["status", "--json"]);
    assert_eq!(json["functions"].as_array().unwrap().len(), 0);
    let message = bad(&empty.0, &["log", "eth0"], 1);
    assert!(message.contains("no function is bound"), "{message}");

    let machine = machine("unknown");
    for arguments in [["status", "eth7"], ["log", "../compsc"]] {
        let message = bad(&machine.0, &arguments, 1);
        assert!(message.contains("0000:00:03.0 (guest)"), "{message}");
        assert!(message.contains("0000:01:10.2 (host)"), "{message}");
    }
    let message = bad(&machine.0, &["log", "01:10.0"], 1);
    assert!(message.contains("in the guest"), "{message}");
}

#[test]
fn log_decodes_by_phase() {
    let machine = machine("log");
    let text = good(&machine.0, &["log", "eth0"]);
    assert!(
        text.starts_with("0000:00:03.0: 82576 vf, up; gate version 3"),
        "{text}"
    );
    assert!(
        text.contains("enable\n  RXDCTL[1] = 0x02000008 PTHRESH=8 ENABLE=1\nunmask\n"),
        "{text}"
    );

    let json = good_json(&machine.0, &["log", "--json", "eth0"]);
    assert_eq!(json["schema"], 1);
    assert_eq!(json["function"], "0000:00:03.0");
    assert_eq!(json["chip"], "82576");
    let phases: Vec<_> = json["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["phase"])
        .collect();
    assert_eq!(phases, ["setup", "rings", "interrupts", "enable", "unmask"]);
    let register = &json["phases"][3]["registers"][0];
    assert_eq!(register["name"], "RXDCTL");
    assert_eq!(register["value"], 0x0200_0008);
    assert_eq!(register["fields"]["PTHRESH"], 8);
}

#[test]
fn log_decodes_files() {
    let folder = Folder::new("file");
    let path = folder.write("saved", region());
    let path = path.to_str().unwrap();
    // No driver is needed for that.
    let json = good_json(
        &folder.0.join("nowhere"),
        &["log", "--json", "--file", path],
    );
    assert!(json["function"].is_null());
    assert_eq!(json["device_state"], "up");

    let mut bytes = region();
    bytes[8] = 2;
    let path = folder.write("newer", bytes);
    let message = bad(&folder.0, &["log", "--file", path.to_str().unwrap()], 1);
    assert!(
        message.contains("newer cannot be decoded: shared region: abi"),
        "{message}"
    );
    let message = bad(&folder.0, &["log", "--file", "/dev/zero"], 1);
    assert!(message.contains("announced length"), "{message}");
    let message = bad(&folder.0, &["log", "--file", "/nonexistent"], 1);
    assert!(message.contains("cannot read /nonexistent"), "{message}");
}
