//! Whether a backup looks like what became of the cluster, or like an accident: its facts beside
//! those of the last good backup.
//!
//! A backup of a store that lost its keys is proven like any other, and would push the good ones
//! out. What is judged is what restoring would bring back: living keys and their bytes, never the
//! file's size, which a defragmentation changes. What comes and goes by itself is left out.
//!
//! Pure: two manifests in, sentences out.

use std::collections::HashSet;

use jiff::SignedDuration;

use crate::catalog::Manifest;
use crate::report::text;
use crate::snapshot::{Facts, TypeCount};

/// What counts as an accident; the `[anomaly]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether backups are compared at all.
    pub enabled: bool,
    /// By how many hundredths the keys, those of one type, or their bytes may fall.
    pub max_fall: u32,
    /// Types with fewer keys than this are not looked at by themselves, nor is a store with fewer.
    pub min_keys: u32,
    /// Types whose keys come and go by themselves.
    pub ignore: Vec<String>,
}

/// A store that keeps less than a tenth of its keys is almost empty, whatever they are.
const ALMOST_EMPTY: u64 = 10;
/// Values of less than this say nothing by their size: one large object more or less.
const MIN_BYTES: u64 = 4 << 20;
/// Two backups this close together can be of two members, of which the second is behind.
const CLOSE: SignedDuration = SignedDuration::from_mins(5);
/// How many revisions such a member may be behind.
const LAG: u64 = 1000;
/// Types that a sentence names.
const NAMED: usize = 3;

/// What is unlike the last good backup, a sentence each; none where nothing is.
#[must_use]
pub fn suspicions(settings: &Settings, last_good: &Manifest, new: &Manifest) -> Vec<String> {
    if !settings.enabled {
        return Vec::new();
    }
    let (before, now) = (&last_good.facts, &new.facts);
    let (old_cluster, cluster) = (&last_good.source.cluster_id, &new.source.cluster_id);
    let mut found = Vec::new();
    if cluster != old_cluster {
        found.push(format!(
            "the cluster's id is {cluster}, and was {old_cluster} in backup {}",
            last_good.id
        ));
    }
    let lag = before.revision.saturating_sub(now.revision);
    let is_close = new.started.duration_since(last_good.started).abs() < CLOSE;
    if lag > 0 && !(is_close && lag <= LAG && cluster == old_cluster) {
        found.push(format!(
            "the revision went back to {}, from {} in backup {}",
            now.revision, before.revision, last_good.id
        ));
    }
    found.extend(fallen(settings, before, now));
    found
}

/// What of the keys is gone: the largest loss hides the smaller ones that follow from it.
fn fallen(settings: &Settings, before: &Facts, now: &Facts) -> Vec<String> {
    let least = u64::from(settings.min_keys);
    let ignored: HashSet<&str> = settings.ignore.iter().map(String::as_str).collect();
    let lasting = |facts: &Facts| {
        let counted = facts.types.iter();
        let lasting = counted.filter(|(name, _)| !ignored.contains(name.as_str()));
        lasting.fold((0_u64, 0_u64), |(keys, bytes), (_, count)| {
            (
                keys.saturating_add(count.keys),
                bytes.saturating_add(count.bytes),
            )
        })
    };
    let ((old_keys, old_bytes), (keys, bytes)) = (lasting(before), lasting(now));
    let (had, has) = (before.total_key, now.total_key);
    // a small store can be nearly all events, and these expire
    let is_loss = old_keys < least || settings.is_fall(old_keys, keys);
    if had >= least && has < had / ALMOST_EMPTY && is_loss {
        return vec![format!("the store is almost empty: {}", fall(had, has))];
    }
    let mut found = Vec::new();
    if old_keys >= least && settings.is_fall(old_keys, keys) {
        found.push(format!("the keys fell {}", fall(old_keys, keys)));
    } else if old_bytes >= MIN_BYTES && settings.is_fall(old_bytes, bytes) {
        let (old, new) = (text::size(old_bytes), text::size(bytes));
        found.push(format!("the values shrank from {old} to {new}"));
    }
    found.extend(types(settings, &ignored, before, now));
    found
}

/// The types that lost more of their keys than is allowed, in one sentence, the largest loss first.
fn types(
    settings: &Settings,
    ignored: &HashSet<&str>,
    before: &Facts,
    now: &Facts,
) -> Option<String> {
    let keys = |count: Option<&TypeCount>| count.map_or(0, |count| count.keys);
    let mut fallen: Vec<(u64, u64, &str)> = before
        .types
        .iter()
        .filter(|(name, _)| !ignored.contains(name.as_str()))
        .map(|(name, count)| (count.keys, keys(now.types.get(name)), name.as_str()))
        .filter(|(had, has, _)| {
            *had >= u64::from(settings.min_keys) && settings.is_fall(*had, *has)
        })
        .collect();
    fallen.sort_by_key(|(had, has, name)| (std::cmp::Reverse(had - has), *name));
    let named = fallen.iter().take(NAMED);
    let named: Vec<String> = named
        .map(|(had, has, name)| format!("{name} {}", fall(*had, *has)))
        .collect();
    let more = match fallen.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {}", text::counted(more, "type more", "types more")),
    };
    (!named.is_empty()).then(|| format!("keys are gone: {}{more}", named.join(", ")))
}

fn fall(had: u64, has: u64) -> String {
    format!("from {had} to {has}")
}

impl Settings {
    fn is_fall(&self, had: u64, has: u64) -> bool {
        let lost = u128::from(had.saturating_sub(has));
        lost * 100 > u128::from(had) * u128::from(self.max_fall)
    }
}

#[cfg(test)]
mod tests;
