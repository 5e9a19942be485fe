//! Whether the installed unit lets the daemon write where the configuration wants the backups: the
//! unit makes every other directory read-only.

use std::path::{Path, PathBuf};

/// The unit.
const UNIT: &str = "hypercloud-etcd.service";
/// Where systemd looks for it and its drop-ins; the first one has the say.
const PLACES: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// What an administrator has to add before the unit can write to this directory; `None`: nothing,
/// or there is no unit on this host.
pub(super) fn missing_line(dir: &Path) -> Option<String> {
    let texts = unit_and_drop_ins(&PLACES.map(Path::new))?;
    (!allows(&texts, dir)).then(|| {
        format!(
            "Let it with: systemctl edit {UNIT}, the lines [Service] and ReadWritePaths={}, then: systemctl restart {UNIT}",
            dir.display()
        )
    })
}

/// The unit's text and those of its drop-ins, in the order in which systemd reads them.
fn unit_and_drop_ins(places: &[&Path]) -> Option<Vec<String>> {
    let mut texts = places
        .iter()
        .find_map(|place| std::fs::read_to_string(place.join(UNIT)).ok())
        .map(|unit| vec![unit])?;
    let mut drop_ins: Vec<PathBuf> = Vec::new();
    for place in places {
        let entries = std::fs::read_dir(place.join(format!("{UNIT}.d")));
        for path in entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            let is_masked = drop_ins
                .iter()
                .any(|other| other.file_name() == path.file_name());
            if path.extension().is_some_and(|end| end == "conf") && !is_masked {
                drop_ins.push(path);
            }
        }
    }
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    texts.extend(drop_ins.iter().flat_map(std::fs::read_to_string));
    Some(texts)
}

/// Whether these settings leave the directory writable.
fn allows(texts: &[String], dir: &Path) -> bool {
    let mut protected = false;
    let mut writable: Vec<PathBuf> = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        match (key.trim(), value.trim()) {
            ("ProtectSystem", value) => protected = value == "strict",
            ("ReadWritePaths", "") => writable.clear(),
            ("ReadWritePaths", value) => writable.extend(
                value
                    .split_whitespace()
                    .map(|path| path.trim_matches('"').trim_start_matches(['-', '+']).into()),
            ),
            _ => {}
        }
    }
    !protected || writable.iter().any(|path| dir.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = include_str!("../../../systemd/hypercloud-etcd.service");

    #[test]
    fn the_unit_allows_the_default_directory_and_no_other() {
        let unit = [OURS.to_owned()];
        assert!(allows(&unit, Path::new("/mnt/backup")));
        assert!(allows(&unit, Path::new("/mnt/backup/etcd")));
        for other in ["/mnt", "/mnt/backups", "/srv/backup"] {
            assert!(!allows(&unit, Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_drop_in_allows_another_and_may_take_the_default_away() {
        let with = |drop_in: &str| [OURS.to_owned(), format!("[Service]\n{drop_in}\n")];
        let srv = Path::new("/srv/backup");
        assert!(allows(&with("ReadWritePaths=/srv/backup"), srv));
        assert!(allows(&with("ReadWritePaths = -/var/x \"-/srv\""), srv));
        assert!(allows(&with("ProtectSystem=full"), srv));
        let only = with("ReadWritePaths=\nReadWritePaths=/srv/backup");
        assert!(allows(&only, srv) && !allows(&only, Path::new("/mnt/backup")));
    }

    #[test]
    fn drop_ins_are_read_by_name_and_the_first_place_has_the_say() {
        let directory = tempfile::tempdir().unwrap();
        let (etc, lib) = (directory.path().join("etc"), directory.path().join("lib"));
        let places = [etc.as_path(), lib.as_path()];
        assert_eq!(unit_and_drop_ins(&places), None);
        let put = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes())
                .unwrap();
        };
        let drop_in = |place: &Path, name| place.join(format!("{UNIT}.d")).join(name);
        put(lib.join(UNIT), "unit");
        put(drop_in(&lib, "10-a.conf"), "lib's a");
        put(drop_in(&etc, "20-b.conf"), "b");
        put(drop_in(&etc, "10-a.conf"), "etc's a");
        put(drop_in(&etc, "note.txt"), "no drop-in");
        assert_eq!(
            unit_and_drop_ins(&places).unwrap(),
            ["unit", "etc's a", "b"]
        );
    }
}
