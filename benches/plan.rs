//! How long it takes to decide on 100,000 backups: `cargo bench --bench plan`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, not a part of the program"
)]

use std::time::{Duration, Instant};

use hypercloud_etcd::catalog::{BackupId, Summary};
use hypercloud_etcd::retention::{Plan, Policy};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const BACKUPS: i64 = 100_000;
const ROUNDS: usize = 11;

fn main() {
    let now: Timestamp = "2026-11-22T06:30:00Z".parse().unwrap();
    let backups: Vec<Summary> = (0..BACKUPS).map(|hour| backup(now, hour)).collect();
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let usual = Policy {
        keep_last: 24,
        keep_within: Duration::from_hours(48),
        keep_hourly: 48,
        keep_daily: 7,
        keep_weekly: 4,
        keep_monthly: 12,
        keep_yearly: 10,
        max_total_size: 100 << 30,
        min_verified: 3,
        zone: berlin,
    };
    let endless = Policy {
        keep_hourly: 1_000_000,
        keep_daily: 1_000_000,
        keep_weekly: 1_000_000,
        keep_monthly: 1_000_000,
        keep_yearly: 1_000_000,
        ..usual.clone()
    };
    for (name, policy) in [("usual policy", usual), ("every rule to the end", endless)] {
        let mut took: Vec<Duration> = Vec::new();
        let mut kept = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let plan = Plan::make(&policy, &backups, None, now);
            took.push(began.elapsed());
            kept = plan
                .decisions
                .iter()
                .filter(|decision| decision.keep)
                .count();
        }
        took.sort();
        println!(
            "{name}: {BACKUPS} backups, {kept} kept, median {:.1} ms, slowest {:.1} ms",
            took[ROUNDS / 2].as_secs_f64() * 1e3,
            took[ROUNDS - 1].as_secs_f64() * 1e3
        );
    }
}

fn backup(now: Timestamp, hours_ago: i64) -> Summary {
    let started = now - SignedDuration::from_hours(hours_ago);
    let id = BackupId::at(started);
    let sum = "ab".repeat(32);
    let json = json!({
        "format": 1, "id": id, "verified": hours_ago % 50 != 7, "pinned": hours_ago % 1000 == 3,
        "trigger": "schedule", "file": id.data_name(), "size": 68_000_000, "sha256": sum,
        "stored": {"size": 68_000_000, "sha256": sum, "seal": []},
        "hash": 1, "revision": 2, "totalKey": 3, "totalSize": 4, "version": "", "totalEntries": 3,
        "pageSize": 4096, "compactRevision": 0, "consistentIndex": 9, "clusterVersion": "3.5.0",
        "kvHash": {"hash": 1, "revision": 2, "compactRevision": 0}, "members": [], "types": {},
        "source": {"endpoint": "https://127.0.0.1:2379", "clusterId": "1", "memberId": "2", "etcdVersion": "3.5.1"},
        "verification": [], "started": started, "finished": started, "toolVersion": "0"
    });
    Summary::parse(&id.manifest_name(), json.to_string().as_bytes()).unwrap()
}
