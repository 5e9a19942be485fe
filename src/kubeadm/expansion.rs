//! What the kubelet fills in before it starts a container: `$(NAME)` in its command line and its variables.

use std::collections::BTreeMap;

use super::pod::Container;

/// The variables of a container whose values its manifest tells.
pub(super) type Variables = BTreeMap<String, String>;

/// The variables that stand in the manifest, each with those before it filled in. One whose value only
/// the kubelet knows is none.
pub(super) fn variables(container: &Container) -> Variables {
    let mut variables = Variables::new();
    for variable in container.env.iter().flatten() {
        if variable.value_from.is_some() {
            variables.remove(&variable.name);
        } else {
            let value = filled_in(variable.value.as_deref().unwrap_or(""), &variables);
            variables.insert(variable.name.clone(), value);
        }
    }
    variables
}

/// The text with its variables: `$(NAME)` stays where there is none of that name, `$$` is `$`, and any
/// other `$` is itself.
pub(super) fn filled_in(text: &str, variables: &Variables) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let name = after.strip_prefix('(').and_then(|it| it.split_once(')'));
        if let Some((name, behind)) = name {
            match variables.get(name) {
                Some(value) => result.push_str(value),
                None => result.extend(["$(", name, ")"]),
            }
            rest = behind;
        } else {
            result.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    result + rest
}
