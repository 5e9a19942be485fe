//! Where events go: to the journal with their fields where stderr leads there, else to stderr.

use std::io::{self, IsTerminal as _};

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where they went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Journal,
    Stderr,
}

/// Opens the log, so that stdout holds the answer alone.
pub(super) fn start() -> Log {
    // the filter goes by prefix: a rule for `hyper` would silence this program, too
    let filter = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("hypercloud_etcd", LevelFilter::INFO);
    let journal = journal();
    let log = if journal.is_some() {
        Log::Journal
    } else {
        Log::Stderr
    };
    let lines = journal.is_none().then(|| {
        // the text of an event holds its facts; the fields are for the journal
        let text = format::debug_fn(|writer, field, value| match field.name() {
            "message" => write!(writer, "{value:?}"),
            _ => Ok(()),
        });
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .without_time()
            .with_target(false)
            .fmt_fields(text)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(lines)
        .init();
    log
}

/// The journal, where stderr leads to it: a run on a terminal must not log unseen.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var_os("JOURNAL_STREAM")?;
    let stderr = rustix::fs::fstat(io::stderr()).ok()?;
    if stream.to_str()? != format!("{}:{}", stderr.st_dev, stderr.st_ino) {
        return None;
    }
    // this fails where there is no journal socket; stderr will do
    let layer = tracing_journald::Layer::new().ok()?;
    Some(
        layer
            .with_field_prefix(None)
            .with_syslog_identifier(env!("CARGO_PKG_NAME").into())
            .with_priority_mappings(PriorityMappings {
                info: Priority::Informational,
                debug: Priority::Debug,
                ..PriorityMappings::new()
            }),
    )
}
