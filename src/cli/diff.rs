//! Two texts, line by line: what goes, what comes, and a few lines around.

use std::ops::Range;

/// Lines without a change that are shown around one.
const CONTEXT: usize = 3;
/// Comparisons beyond this many are not made: what differs is then shown as a whole.
const MOST: usize = 4_000_000;

/// One line of the comparison.
#[derive(Clone, Copy)]
enum Line<'t> {
    Both(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The changes from `old` to `new` in the unified form; each line as `shown` has it.
pub(super) fn unified(old: &str, new: &str, shown: impl Fn(&str) -> String) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compared(&old, &new);
    let mut text = String::new();
    for hunk in hunks(&lines) {
        text.push_str(&header(&lines, &hunk));
        for line in &lines[hunk] {
            let (mark, line) = match line {
                Line::Both(line) => (' ', line),
                Line::Old(line) => ('-', line),
                Line::New(line) => ('+', line),
            };
            text.push(mark);
            text.push_str(&shown(line));
            text.push('\n');
        }
    }
    text
}

/// The longest common subsequence, between what is the same at both ends.
fn compared<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let is_same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(new).take_while(is_same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(is_same)
        .count();
    let (a, b) = (
        &old_rest[..old_rest.len() - tail],
        &new_rest[..new_rest.len() - tail],
    );
    let mut lines: Vec<Line> = old[..head].iter().map(|line| Line::Both(line)).collect();
    if a.len().saturating_mul(b.len()) > MOST {
        lines.extend(a.iter().map(|line| Line::Old(line)));
        lines.extend(b.iter().map(|line| Line::New(line)));
    } else {
        lines.extend(middle(a, b));
    }
    lines.extend(old[old.len() - tail..].iter().map(|line| Line::Both(line)));
    lines
}

fn middle<'t>(a: &[&'t str], b: &[&'t str]) -> Vec<Line<'t>> {
    // common[i][j]: how many lines a[i..] and b[j..] can have in common
    let mut common = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(Line::Both(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(Line::Old(a[i]));
            i += 1;
        } else {
            lines.push(Line::New(b[j]));
            j += 1;
        }
    }
    lines
}

/// Where the changes are, with their context; what touches is one.
fn hunks(lines: &[Line<'_>]) -> Vec<Range<usize>> {
    let mut hunks: Vec<Range<usize>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if matches!(line, Line::Both(_)) {
            continue;
        }
        let (start, end) = (
            at.saturating_sub(CONTEXT),
            (at + 1 + CONTEXT).min(lines.len()),
        );
        match hunks.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => hunks.push(start..end),
        }
    }
    hunks
}

/// `@@ -12,7 +12,8 @@`
fn header(lines: &[Line<'_>], hunk: &Range<usize>) -> String {
    let count = |range: Range<usize>, is_old: bool| {
        let counts = |line: &&Line| match line {
            Line::Both(_) => true,
            Line::Old(_) => is_old,
            Line::New(_) => !is_old,
        };
        lines[range].iter().filter(counts).count()
    };
    let side = |is_old| {
        let (before, within) = (count(0..hunk.start, is_old), count(hunk.clone(), is_old));
        // an empty side stands after the line before it
        format!("{},{within}", before + usize::from(within > 0))
    };
    format!("@@ -{} +{} @@\n", side(true), side(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str) -> String {
        unified(old, new, str::to_owned)
    }

    #[test]
    fn a_change_is_shown_with_what_is_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n";
        assert_eq!(
            diff(old, new),
            "@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+10\n"
        );
        assert_eq!(diff(old, old), "");
        assert_eq!(diff("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(diff("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        let far = diff(
            &"same\n".repeat(40),
            &format!("x\n{}y\n", "same\n".repeat(40)),
        );
        assert_eq!(far.matches("@@ -").count(), 2, "{far}");
    }

    #[test]
    fn texts_too_large_to_compare_are_shown_whole() {
        let old: String = (0..3000).map(|n| n.to_string() + "\n").collect();
        let new: String = (0..3000).map(|n| (n * 7).to_string() + "\n").collect();
        assert_eq!(
            diff(&old, &new)
                .lines()
                .filter(|line| line.starts_with('-'))
                .count(),
            2999
        );
    }
}
