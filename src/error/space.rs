//! What to do about a disk that is too small.

pub(super) fn hint(held: Option<&str>) -> String {
    let otherwise = "Free some space or move backup.dir to a larger file system; no backup that the policy keeps is \
                     removed to make room.";
    match held {
        Some(id) => format!(
            "Nothing is removed while backup {id} is suspect: see hypercloud-etcd show {id}, and end it with: \
             hypercloud-etcd accept {id}. {otherwise}"
        ),
        None => otherwise.into(),
    }
}
