use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::catalog::tests::manifest;

/// What is told: each event's level and fields.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Level, String)>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0, "{field}={value:?}");
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), fields.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_suspect_backup_is_told_at_error_priority_under_its_own_id() {
    let heard = Heard::default();
    let mut backup = manifest("20261122T060000Z", 7);
    tracing::subscriber::with_default(heard.clone(), || {
        warn_of_suspicions(&backup);
        backup.suspicions = vec!["keys are gone".into()];
        warn_of_suspicions(&backup);
    });
    let told = heard.0.lock().unwrap();
    let [(level, fields)] = &told[..] else {
        panic!("one event: {told:?}")
    };
    assert_eq!(*level, Level::ERROR);
    for said in [
        &format!("message_id=\"{}\"", event::BACKUP_SUSPECT),
        "backup_id=20261122T060000Z",
        "keys are gone",
        "hypercloud-etcd accept 20261122T060000Z",
    ] {
        assert!(fields.contains(said), "{said}: {fields}");
    }
}
