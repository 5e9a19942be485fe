//! Man pages: one for each command, from its help, and one for the configuration, from the table that reads it.

use std::fmt::Write as _;

use clap::{Arg, Command};
use clap_mangen::Man;
use hypercloud_etcd::config;
use hypercloud_etcd::error::ExitCode;

const SOURCE: &str = concat!("hypercloud-etcd ", env!("CARGO_PKG_VERSION"));
const MANUAL: &str = "etcd backups";
const EXAMPLE: &str = include_str!("../../../config/examples/local.toml");

/// What every page ends with, beside the exit codes.
const FILES: [(&str, &str); 5] = [
    (
        "/etc/hypercloud-etcd/config.toml",
        "The configuration, hypercloud-etcd.toml(5).",
    ),
    (
        "/mnt/backup/etcd-ID.db",
        "A snapshot, exactly as etcd sent it.",
    ),
    (
        "/mnt/backup/etcd-ID.json",
        "Its manifest, written last: without it there is no backup.",
    ),
    (
        "/mnt/backup/pki/FINGERPRINT/",
        "The cluster's CA of that time: ca.crt and ca.key.",
    ),
    (
        "/var/lib/hypercloud-etcd/state.json",
        "What the daemon remembers of its runs; losing it loses no backup.",
    ),
];

/// Every page, as the name of its file and its text.
pub(super) fn all(command: Command) -> Vec<(String, String)> {
    let mut root = command.disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    of_command(&root, None, &mut pages);
    pages.push(("hypercloud-etcd.toml.5".to_owned(), of_configuration()));
    pages
}

fn of_command(command: &Command, parent: Option<&str>, pages: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let children: Vec<&Command> = command
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
        .collect();
    for child in &children {
        of_command(child, Some(name), pages);
    }
    let man = Man::new(command.clone());
    let rendered = |render: fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>| {
        let mut text = Vec::new();
        // writing to memory does not fail
        let _ = render(&man, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut page = title(name, "1");
    page.push_str(&rendered(Man::render_name_section));
    page.push_str(&synopsis(command));
    page.push_str(&rendered(Man::render_description_section));
    let help = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let (verbatim, prose): (Vec<&str>, Vec<&str>) =
        help.split("\n\n").partition(|block| block.contains("\n  "));
    // the codes have a section of their own
    for block in prose
        .iter()
        .filter(|block| !block.starts_with("Exit codes:"))
    {
        let _ = write!(page, ".PP\n{}\n", roff(block));
    }
    page.push_str(&rendered(Man::render_options_section));
    if !children.is_empty() {
        page.push_str(&rendered(Man::render_subcommands_section));
    }
    for block in verbatim {
        let (heading, lines) = block.split_once(":\n").unwrap_or(("Notes", block));
        let heading = match heading {
            "Example" | "Examples" => "EXAMPLES".to_owned(),
            heading => heading.to_uppercase(),
        };
        let _ = write!(page, ".SH {}\n{}", roff(&heading), as_it_is(lines));
    }
    page.push_str(".SH EXIT STATUS\n");
    for code in ExitCode::ALL {
        let _ = write!(page, ".TP\n{}\n{}\n", code as u8, roff(code.meaning()));
    }
    page.push_str(&files());
    page.push_str(&see_also("", parent));
    pages.push((format!("{name}.1"), page));
}

/// How it is called: every option with its value, which the section of `clap_mangen` leaves out.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let (operands, options): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .partition(|argument| argument.is_positional());
    let mut words = vec![format!("\\fB{}\\fR", roff(name))];
    words.extend(options.into_iter().map(option));
    words.extend(operands.into_iter().map(operand));
    if command.has_subcommands() {
        words.push("\\fICOMMAND\\fR".to_owned());
    }
    format!(".SH SYNOPSIS\n{}\n", words.join(" "))
}

fn option(option: &Arg) -> String {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = match option.get_value_names() {
        Some(values) if option.get_action().takes_values() => {
            format!(" \\fI{}\\fR", roff(&values.join(" ")))
        }
        _ => String::new(),
    };
    bracketed(
        option,
        &format!("\\fB{}\\fR{value}", roff(&names.join("|"))),
    )
}

fn operand(operand: &Arg) -> String {
    let values = operand.get_value_names().unwrap_or_default();
    bracketed(operand, &format!("\\fI{}\\fR", roff(&values.join(" "))))
}

/// What may be left out stands in brackets.
fn bracketed(argument: &Arg, text: &str) -> String {
    if argument.is_required_set() {
        text.to_owned()
    } else {
        format!("[{text}]")
    }
}

/// Characters of a default that stand beside its key.
const LONGEST: usize = 72;

/// hypercloud-etcd.toml(5), from the same table that reads the file.
fn of_configuration() -> String {
    let mut page = title("hypercloud-etcd.toml", "5");
    page.push_str(
        ".SH NAME\nhypercloud\\-etcd.toml \\- configuration of hypercloud\\-etcd\n\
         .SH SYNOPSIS\n.I /etc/hypercloud\\-etcd/config.toml\n\
         .SH DESCRIPTION\nA TOML file. Every key has a default except where noted, so an empty file is valid; an unknown\n\
         key is refused. \\fBhypercloud\\-etcd check\\fR tells all mistakes at once, and\n\
         \\fBsystemctl reload hypercloud\\-etcd\\fR puts a changed file in force.\n\
         .SH KEYS\n",
    );
    let mut table = "";
    for key in config::describe() {
        if table != key.table {
            // writing to a string does not fail
            let _ = writeln!(page, ".SS [{}]", roff(key.table));
            table = key.table;
        }
        // a long list has no room in the heading
        let (heading, below) = match key.default {
            None => ("; no default".to_owned(), String::new()),
            Some(long) if long.len() > LONGEST => (String::new(), format!(" Default: {long}.")),
            Some(default) => (format!("; default {default}"), String::new()),
        };
        let _ = write!(
            page,
            ".TP\n\\fB{}\\fR ({}{})\n{} Accepted: {}.{}\n",
            roff(key.name),
            roff(key.kind),
            roff(&heading),
            roff(key.meaning),
            roff(key.accepts),
            roff(&below)
        );
    }
    let _ = write!(page, ".SH EXAMPLES\n{}", as_it_is(EXAMPLE));
    page.push_str(&files());
    page.push_str(&see_also(
        "hypercloud-etcd.toml(5)",
        Some("hypercloud-etcd"),
    ));
    page
}

fn title(name: &str, section: &str) -> String {
    format!(
        ".TH {} {section} \"\" \"{}\" \"{MANUAL}\"\n",
        roff(&name.to_uppercase()),
        roff(SOURCE)
    )
}

fn files() -> String {
    let mut text = ".SH FILES\n".to_owned();
    for (path, meaning) in FILES {
        let _ = write!(text, ".TP\n\\fI{}\\fR\n{}\n", roff(path), roff(meaning));
    }
    text
}

fn see_also(itself: &str, parent: Option<&str>) -> String {
    let own = ["hypercloud-etcd.toml(5)", "systemctl(1)", "journalctl(1)"];
    let above = parent.map(|parent| format!("{parent}(1)"));
    let pages = above.iter().map(String::as_str).chain(own);
    let pages = pages.filter(|page| *page != itself);
    let bold = pages.filter_map(|page| page.split_once('('));
    let bold: Vec<String> = bold
        .map(|(name, section)| format!("\\fB{}\\fR({section}", roff(name)))
        .collect();
    format!(".SH SEE ALSO\n{}\n", bold.join(",\n"))
}

/// Lines that stand as they are, to be copied.
fn as_it_is(lines: &str) -> String {
    let lines: String = lines
        .lines()
        .map(|line| roff(line.strip_prefix("  ").unwrap_or(line)) + "\n")
        .collect();
    format!(".nf\n{lines}.fi\n")
}

/// Text in which roff sees no commands, and no character becomes another.
fn roff(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (at, line) in text.lines().enumerate() {
        if at > 0 {
            safe.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            safe.push_str("\\&");
        }
        for character in line.chars() {
            match character {
                '\\' => safe.push_str("\\e"),
                '-' => safe.push_str("\\-"),
                '"' => safe.push_str("\\(dq"),
                '\'' => safe.push_str("\\(aq"),
                '`' => safe.push_str("\\(ga"),
                '^' => safe.push_str("\\(ha"),
                '~' => safe.push_str("\\(ti"),
                other => safe.push(other),
            }
        }
    }
    safe
}
